"""A format in which `aunet predict` writes label maps; ``aunet.export.label_formats`` lists them."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from aunet.data.io.formats import DICOM, PICTURE, format_of, format_of_name
from aunet.data.io.volume import label_suffix
from aunet.errors import UserError
from aunet.inference.prediction import Prediction

Scan = Path | tuple[Path, ...]
WriteLabelMap = Callable[[Path, Prediction, Scan], None]


def write_file(path: Path, prediction: Prediction, scan: Scan) -> None:
    """Write the label map in the format of the suffix of ``path``."""
    prediction.write(path)


@dataclass(frozen=True)
class OutputFormat:
    """A format of label maps.

    Attributes:
        suffix: of its files.
        write: writes the label map of a prediction to a path in one step; it also receives the file of the scan, or
            those of its channels, for formats that refer to it.
        scans: those whose label maps it holds: "volumes" of any format, "pictures", or volumes in "DICOM".
    """

    suffix: str
    write: WriteLabelMap = write_file
    scans: Literal["volumes", "pictures", "DICOM"] = "volumes"

    def suffix_for(self, scan: Path) -> str:
        """Return the suffix of the label map of ``scan``; that of a picture is always PNG.

        Raises:
            UserError: if this format cannot hold the label map of ``scan``.
        """
        if format_of_name(scan) is PICTURE and self.scans != "DICOM":
            return label_suffix(scan)
        if self.scans == "pictures":
            raise UserError(f"--format {self.suffix[1:]}: {scan} is a volume, and a {self.suffix[1:]} is a picture.")
        if self.scans == "DICOM" and format_of(scan) is not DICOM:
            raise UserError(
                f"--format dicom-seg: {scan} is not DICOM, and a segmentation object refers to the slices of a series."
                " Give the folder of the series, or choose another format."
            )
        return self.suffix
