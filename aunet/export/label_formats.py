"""The registry of formats in which `aunet predict` writes label maps."""

from collections.abc import Mapping
from pathlib import Path

from aunet.data.io import itk_images
from aunet.data.io.formats import format_of_name
from aunet.errors import UserError
from aunet.export.dicom_seg import check_installed, write_segmentation
from aunet.export.segment_codes import SegmentCode, read_codes
from aunet.inference.output_format import OutputFormat, Scan
from aunet.inference.prediction import Prediction
from aunet.messages import did_you_mean

LABEL_FORMATS: dict[str, OutputFormat] = {
    "nii.gz": OutputFormat(".nii.gz"),
    "nii": OutputFormat(".nii"),
    "nrrd": OutputFormat(".nrrd"),
    "mha": OutputFormat(".mha"),
    "png": OutputFormat(".png", scans="pictures"),
}
"""By their names for ``--format``. A further format is a line here."""
_SEGMENTATION = "dicom-seg"


def find_format(name: str, codes: Path | None = None) -> OutputFormat:
    """Return the format ``name``, with or without a leading dot.

    ``codes`` is a file of coded names for the segments of dicom-seg, as ``segment_codes.read_codes`` reads it.

    Raises:
        UserError: for an unknown format, one whose package is missing, and for a file of codes that is damaged or
            that the format has no use for.
    """
    key = name.lower().removeprefix(".")
    if key == _SEGMENTATION:
        check_installed(f"--format {name}")  # before hours of prediction
        return _segmentation_format({} if codes is None else read_codes(codes))
    found = LABEL_FORMATS.get(key)
    if found is None:
        names = (*LABEL_FORMATS, _SEGMENTATION)
        raise UserError(f"--format {name}: not one of {', '.join(names)}.{did_you_mean(name, names)}")
    if format_of_name(Path(f"label{found.suffix}")) in (itk_images.NRRD, itk_images.META_IMAGE):
        itk_images.check_installed(f"--format {name}")
    if codes is not None:
        raise UserError(f"--segment-codes {codes}: {key} has no coded names; add --format {_SEGMENTATION}.")
    return found


def _segmentation_format(codes: Mapping[str, SegmentCode]) -> OutputFormat:
    def write(path: Path, prediction: Prediction, scan: Scan) -> None:
        series = scan if isinstance(scan, Path) else scan[0]
        write_segmentation(path, prediction.label, prediction.affine, prediction.labels, series, codes)

    return OutputFormat(".dcm", write, scans="DICOM")
