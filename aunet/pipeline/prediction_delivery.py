"""The files that a prediction leaves: the label map, and volumes and a picture in folders beside it."""

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from aunet.classes import Labels, class_name
from aunet.data.io.formats import NIFTI, format_of_name
from aunet.data.io.volume import Volume, read_grid, read_label, write_volume
from aunet.errors import UserError
from aunet.export.label_formats import LABEL_FORMATS
from aunet.inference.output_format import OutputFormat
from aunet.inference.prediction import LABEL_MAP, FloatVolume, Outputs, Prediction
from aunet.inference.prediction_files import ScanFile
from aunet.reporting.pictures.overlay import overlay_picture
from aunet.reporting.pictures.planes import in_ras_order

_log = logging.getLogger(__name__)
_PROBABILITIES, _UNCERTAINTY, _ATTENTION, _OVERLAYS = "probabilities", "uncertainty", "attention", "overlays"


@dataclass(frozen=True)
class Delivery:
    """The files to leave of every scan.

    Attributes:
        folder: of the label maps; further files are in folders in it.
        outputs: volumes beside the label map.
        has_overlay: whether a picture is drawn.
        label_format: of the label maps of volumes; None for that of the scan.
    """

    folder: Path
    outputs: Outputs = LABEL_MAP
    has_overlay: bool = False
    label_format: OutputFormat | None = None

    def write(self, file: ScanFile, scan: Volume, prediction: Prediction, window: tuple[float, float] | None) -> None:
        """Write all files, the label map last, by which a scan counts as done.

        ``window`` are the intensities of ``scan`` that the picture shows black and white, None for robust ends.
        """
        for path, volume in self._volumes(file, prediction):
            write_volume(path, volume, prediction.affine)
        if self.has_overlay:
            image, spacing = in_ras_order(scan.array, scan.affine)
            label = in_ras_order(prediction.label, prediction.affine)[0]
            names = prediction.labels, prediction.volumes_ml, self.overlay(file)
            overlay_picture(image, label, spacing, *names, title=file.name, intensities=window)
        label_format = self.label_format or LABEL_FORMATS["nii.gz"]
        label_format.write(file.label_map, prediction, file.files)

    def overlay(self, file: ScanFile) -> Path:
        """Return the path of the picture of a scan."""
        return self.folder / _OVERLAYS / f"{file.name}.png"

    def is_complete(self, file: ScanFile, labels: Labels) -> bool:
        """Return whether all files of a scan are there and its label map is whole, on the scan's grid."""
        if not file.label_map.is_file():
            return False
        outputs, suffix = self.outputs, _volume_suffix(file)
        needed = [self.overlay(file)] * self.has_overlay
        if outputs.probabilities:
            needed += [
                self.folder / _PROBABILITIES / file.name / (_class_file(index, name) + suffix)
                for index, name in enumerate(labels.names)
            ]
        if outputs.uncertainty:
            needed += [self.folder / _UNCERTAINTY / file.name / f"entropy{suffix}"]
        if outputs.attention:
            needed += [self.folder / _ATTENTION / file.name]
        return all(path.exists() for path in needed) and _is_whole(file)

    def _volumes(self, file: ScanFile, prediction: Prediction) -> Iterator[tuple[Path, FloatVolume]]:
        suffix = _volume_suffix(file)
        for index, name in enumerate(prediction.labels.names):
            if prediction.probabilities is not None:
                path = self.folder / _PROBABILITIES / file.name / (_class_file(index, name) + suffix)
                yield path, prediction.probabilities[index]
        for name, volume in (
            ("mutual_information", prediction.mutual_information),
            ("entropy", prediction.entropy),
        ):
            if volume is not None:
                yield self.folder / _UNCERTAINTY / file.name / (name + suffix), volume
        for name, volume in prediction.attention.items():
            yield self.folder / _ATTENTION / file.name / (name + suffix), volume


def _volume_suffix(file: ScanFile) -> str:
    """Return the suffix of volumes of real numbers: that of the label map, or NIfTI if its format cannot hold them."""
    named = format_of_name(file.label_map)
    if named is None or named.write_image is None:
        return NIFTI.label_suffix
    return file.label_map.name.removeprefix(file.name)


def _class_file(index: int, name: str) -> str:
    """Return the stem of the file of a class, whose number keeps names apart that differ by separators only."""
    return f"{index:02d}_{class_name(name)}"


def _is_whole(file: ScanFile) -> bool:
    try:
        label = read_label(file.label_map)
        shape, _ = read_grid(file.scan)
    except UserError as error:
        _log.warning("%s It is predicted again.", error)
        return False
    if label.is_sparse:  # stored without its empty slices, and proven to lie on the scan when it was written
        return True
    if label.shape != shape:
        _log.warning(
            "%s: its shape %s is not that of %s, %s. It is predicted again.",
            *(file.label_map, label.shape, file.scan, shape),
        )
    return label.shape == shape
