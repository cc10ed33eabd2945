"""Probabilities beside label maps, as ``aunet predict --probabilities`` writes them, and their calibration."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from aunet.classes import IGNORED, matching_name
from aunet.data.io.volume import Volume, align, check_same_grid, is_image, read_volume, stem
from aunet.errors import UserError
from aunet.metrics.calibration import Calibration, measure_calibration
from aunet.metrics.label_map_scores import ClassValues

# Interpolation and rounding of a file may leave [0, 1] by this much.
_ROUNDING = 1e-3


def measure_calibrations(
    folder: Path,
    prediction: Path,
    values_of_class: ClassValues,
    reference: Volume,
    numbers_of_class: ClassValues | None = None,
) -> dict[str, Calibration]:
    """Return the calibration of each class of a case by name; one volume is in memory at a time.

    Args:
        folder: holds ``<name of the label map>/<value>_<class>.nii.gz`` for each class.
        prediction: the predicted label map of the case.
        values_of_class: the values of each class in it; of a region, whose file has its own number, the lowest is that.
        reference: label map (H, W, D); the volumes lie on its grid.
        numbers_of_class: the values of each class in the reference, in which voxels without reference are ``IGNORED``;
            None if both label maps number them alike and every voxel has a reference.

    Raises:
        UserError: a file is missing, is named after another class, lies on another grid, or does not hold
            probabilities.
    """
    is_counted = None if numbers_of_class is None else reference.array != IGNORED
    measured: dict[str, Calibration] = {}
    for name, values in values_of_class.items():
        file = _file_of(folder / stem(prediction), name, min(values))
        _check_name(file, name, values_of_class)
        volume = align(read_volume(file), reference)
        check_same_grid(reference, volume, stem(prediction))
        lowest, highest = float(volume.array.min()), float(volume.array.max())
        if lowest < -_ROUNDING or highest > 1 + _ROUNDING:
            raise UserError(
                f"{volume.name}: holds values from {lowest:g} to {highest:g}; probabilities lie between 0 and 1. Give"
                " the folder probabilities/ that `aunet predict --probabilities` writes."
            )
        is_inside = np.isin(reference.array, list((numbers_of_class or values_of_class)[name]))
        found = measure_calibration(np.clip(volume.array, 0, 1), is_inside, is_counted)
        if found is not None:
            measured[name] = found
    return measured


def _file_of(folder: Path, name: str, value: int) -> Path:
    """Return the file of a class, whose number begins its name."""
    found = sorted(file for file in folder.glob(f"{value:02d}_*") if is_image(file))
    if len(found) != 1:
        state = "two files" if found else "no file"
        raise UserError(
            f"{folder}: {state} of class {name}, whose name begins {value:02d}_. Give the folder"
            " probabilities/ that `aunet predict --probabilities` writes, with a folder for each case in it."
        )
    return found[0]


def _check_name(file: Path, name: str, classes: Iterable[str]) -> None:
    """Raise UserError if ``file`` is named after another of the classes, as that of a model which numbers them anew."""
    told = matching_name(stem(file).partition("_")[2])
    others = {matching_name(other): other for other in classes if matching_name(other) != matching_name(name)}
    if told in others:
        raise UserError(
            f"{file}: is named after class {others[told]}, but its number is that of {name} in the label maps. Give the"
            " probabilities of the model that predicted them, or correct --classes."
        )
