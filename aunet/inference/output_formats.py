"""The registry of formats in which `aunet predict` writes label maps."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from aunet.data.io.formats import PICTURE, format_of_name
from aunet.data.io.volume import label_suffix
from aunet.errors import UserError
from aunet.inference.prediction import Prediction
from aunet.messages import did_you_mean

Scan = Path | tuple[Path, ...]
WriteLabelMap = Callable[[Path, Prediction, Scan], None]


def _write_file(path: Path, prediction: Prediction, scan: Scan) -> None:
    prediction.write(path)


@dataclass(frozen=True)
class OutputFormat:
    """A format of label maps.

    Attributes:
        suffix: of its files.
        write: writes the label map of a prediction to a path in one step; it also receives the file of the scan, or
            those of its channels, for formats that refer to it.
        is_flat: whether it holds pictures only.
    """

    suffix: str
    write: WriteLabelMap = _write_file
    is_flat: bool = False

    def suffix_for(self, scan: Path) -> str:
        """Return the suffix of the label map of ``scan``; that of a picture is always PNG.

        Raises:
            UserError: if this format holds pictures only and ``scan`` is not one.
        """
        if format_of_name(scan) is PICTURE:
            return label_suffix(scan)
        if self.is_flat:
            raise UserError(f"--format {self.suffix[1:]}: {scan} is a volume, and a {self.suffix[1:]} is a picture.")
        return self.suffix


OUTPUT_FORMATS: dict[str, OutputFormat] = {
    "nii.gz": OutputFormat(".nii.gz"),
    "nii": OutputFormat(".nii"),
    "nrrd": OutputFormat(".nrrd"),
    "mha": OutputFormat(".mha"),
    "png": OutputFormat(".png", is_flat=True),
}
"""By their names for ``--format``. A further format is a line here."""


def find_format(name: str, formats: Mapping[str, OutputFormat] = OUTPUT_FORMATS) -> OutputFormat:
    """Return the format ``name``, with or without a leading dot; raise UserError if there is none."""
    found = formats.get(name.lower().removeprefix("."))
    if found is None:
        raise UserError(f"--format {name}: not one of {', '.join(formats)}.{did_you_mean(name, formats)}")
    return found
