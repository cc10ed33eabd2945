"""The files that a prediction leaves: the label map, and volumes and a picture in folders beside it."""

import logging
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from aunet.classes import Labels, class_name
from aunet.data.io.formats import NIFTI, format_of_name
from aunet.data.io.volume import Volume, align, check_same_grid, read_grid, read_label, write_volume
from aunet.errors import UserError
from aunet.export.label_formats import LABEL_FORMATS
from aunet.files import folder_replaced_atomically
from aunet.inference.output_format import OutputFormat
from aunet.inference.prediction import LABEL_MAP, FloatVolume, Outputs, Prediction
from aunet.inference.prediction_files import ScanFile

_log = logging.getLogger(__name__)
_PROBABILITIES, _UNCERTAINTY, _ATTENTION, _OVERLAYS = "probabilities", "uncertainty", "attention", "overlays"
INNER_FOLDERS = (_PROBABILITIES, _UNCERTAINTY, _ATTENTION, _OVERLAYS)
"""The folders beside the label maps, to which only predictions write."""


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

    def write(
        self,
        file: ScanFile,
        prediction: Prediction,
        scan: Volume | None = None,
        window: tuple[float, float] | None = None,
    ) -> None:
        """Write all files, the label map last, by which a scan counts as done.

        Args:
            file: the scan and the path of its label map.
            prediction: of the scan.
            scan: the picture's background; required if one is drawn.
            window: intensities of ``scan`` that the picture shows black and white, None for robust ends.
        """
        for path, volume in self._volumes(file, prediction):
            write_volume(path, volume, prediction.affine)
        if prediction.attention:  # in one step, as the names of the gates are not known to ``is_complete``
            with folder_replaced_atomically(self.folder / _ATTENTION / file.name) as folder:
                for name, coefficients in prediction.attention.items():
                    write_volume(folder / (name + _volume_suffix(file)), coefficients, prediction.affine)
        if self.has_overlay:
            assert scan is not None, "a picture shows the scan"
            # Matplotlib takes a second to import.
            from aunet.reporting.pictures.overlay import overlay_picture
            from aunet.reporting.pictures.planes import in_ras_order

            image, spacing = in_ras_order(scan.array, scan.affine)
            label = in_ras_order(prediction.label, prediction.affine)[0]
            names = prediction.labels, prediction.volumes_ml, self.overlay(file)
            overlay_picture(image, label, spacing, *names, title=file.name, intensities=window)
        label_format = self.label_format or LABEL_FORMATS["nii.gz"]
        label_format.write(file.label_map, prediction, file.files)

    def remove_volumes(self, file: ScanFile) -> None:
        """Remove the volumes and the picture of a scan that another run or other settings made."""
        for kind in (_PROBABILITIES, _UNCERTAINTY, _ATTENTION):
            shutil.rmtree(self.folder / kind / file.name, ignore_errors=True)
        self.overlay(file).unlink(missing_ok=True)

    def check_places(self, files: Sequence[ScanFile]) -> None:
        """Raise UserError for a scan that lies where further files are written."""
        folders = [(self.folder / kind).resolve() for kind in INNER_FOLDERS]
        for file in files:
            for folder in folders:
                if file.scan.resolve().is_relative_to(folder):
                    raise UserError(
                        f"{file.scan}: lies in {folder}, which --output {self.folder} uses for its own files; give"
                        " another --output folder."
                    )

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
                for index, name in enumerate(labels.outputs, labels.first_output)
            ]
        if outputs.uncertainty:
            needed += [self.folder / _UNCERTAINTY / file.name / f"entropy{suffix}"]
        if outputs.attention:
            needed += [self.folder / _ATTENTION / file.name]
        return all(path.exists() for path in needed) and _is_whole(file)

    def _volumes(self, file: ScanFile, prediction: Prediction) -> Iterator[tuple[Path, FloatVolume]]:
        suffix = _volume_suffix(file)
        labels = prediction.labels
        for channel, name in enumerate(labels.outputs):
            if prediction.probabilities is not None:
                name_of_file = _class_file(channel + labels.first_output, name) + suffix
                yield self.folder / _PROBABILITIES / file.name / name_of_file, prediction.probabilities[channel]
        for name, volume in (
            ("mutual_information", prediction.mutual_information),
            ("entropy", prediction.entropy),
        ):
            if volume is not None:
                yield self.folder / _UNCERTAINTY / file.name / (name + suffix), volume


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
        shape, affine = read_grid(file.scan)
        scan = Volume(np.broadcast_to(np.uint8(0), shape), affine, file.scan)
        check_same_grid(scan, align(label, scan) if label.is_sparse else label, file.name)
    except UserError as error:
        _log.warning("%s: does not fit its scan or is damaged: %s It is predicted again.", file.label_map, error)
        return False
    return True
