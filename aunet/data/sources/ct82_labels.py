"""Label maps whose axes contradict their affine, flipped onto the scan's grid by comparison with the image.

A label fits the scan if its border is also one in the image: the pancreas is brighter than the fat around it. Of the
eight ways to flip a label the right one shows this by far: on two real scans with labels of the pancreas the contrast
of inside to rim, in standard deviations, was 1.01 and 1.04, and at most 0.06 and 0.11 for the seven others.
"""

import hashlib
import json
from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import binary_dilation

from aunet.data.cohort.case import Case
from aunet.data.io.dicom_files import files_of_scan
from aunet.data.io.volume import Volume, read_label, read_volume, write_label
from aunet.errors import UserError

_VERSION = 1
_RIM = 3.0  # mm
_SOFT_TISSUE = (-150.0, 250.0)  # HU; values beyond are set to the bound, so that gas and bone do not decide
_PLAUSIBLE = (-50.0, 200.0)  # HU of the pancreas on the whole, fatty or enhanced
_LEAST_CONTRAST = 0.3
_LEAD = 2.0
_Flip = tuple[int, ...]


def placed_label(case: Case, folder: Path) -> Case:
    """Return the case with its label on the grid of its scan; the label is made once and kept in ``folder``.

    Raises UserError, naming the case, if no way to flip the label fits the scan, or if more than one does.
    """
    assert case.label is not None
    target = folder / f"{case.case_id}-{_key(case)}.nii.gz"
    if not target.is_file():
        image, label = read_volume(case.images[0]), read_label(case.label)
        flipped = np.flip(label.array, fitting_flip(image, label, case.case_id))
        write_label(target, np.ascontiguousarray(_as_bytes(flipped, case)), image.affine)
    return replace(case, label=target)


def fitting_flip(image: Volume, label: Volume, case_id: str) -> _Flip:
    """Return the axes along which to flip ``label`` so that it lies on the organ it outlines in ``image``."""
    if image.shape != label.shape:
        raise UserError(
            f"case {case_id}: {image.name} has shape {image.shape}, {label.name} {label.shape}; they are not of one"
            " scan, or slices are missing. Download both again."
        )
    mask = label.array != 0
    if not mask.any():
        raise UserError(f"case {case_id}: {label.name} marks no voxel; download it again or take the case out.")
    contrasts = {flip: _contrast(image, mask, flip) for flip in _flips()}
    (best, contrast), (_, second) = sorted(contrasts.items(), key=lambda pair: pair[1], reverse=True)[:2]
    if contrast < max(_LEAST_CONTRAST, _LEAD * second):
        told = ", ".join(f"{flip}: {value:.2f}" for flip, value in contrasts.items())
        raise UserError(
            f"case {case_id}: {label.name} does not clearly fit {image.name} in any of the ways to flip it (contrast of"
            f" inside to rim by flipped axes, {told}; at least {_LEAST_CONTRAST} and {_LEAD:g} times the second is"
            " needed). It may be of another scan: download both again, or take the case out."
        )
    return best


def _as_bytes(label: NDArray[np.integer], case: Case) -> NDArray[np.uint8]:
    if label.min() < 0 or label.max() > 255:
        raise UserError(f"{case.label}: case {case.case_id} has label values beyond 0 to 255; it is not a label map.")
    return label.astype(np.uint8)


def _key(case: Case) -> str:
    """Return a key of the files' sizes and times, as their content is 10 GB and takes minutes to read."""
    files = [file for path in (*case.images, case.label) if path for file in files_of_scan(path)]
    stamps = [(str(file.absolute()), (status := file.stat()).st_size, status.st_mtime_ns) for file in files]
    return hashlib.sha256(json.dumps([_VERSION, stamps]).encode()).hexdigest()[:16]


def _flips() -> list[_Flip]:
    return [tuple(axis for axis in range(3) if flags[axis]) for flags in product((False, True), repeat=3)]


def _contrast(image: Volume, mask: NDArray[np.bool_], flip: _Flip) -> float:
    """Return how much brighter ``image`` is inside the flipped mask than around it, in standard deviations.

    The result is -inf if the mask shows no organ. The rim is taken within slices, where voxels are finest.
    """
    box, inside = _cropped(np.flip(mask, flip), image)
    values = np.clip(image.array[box], *_SOFT_TISSUE)
    around = np.asarray(binary_dilation(inside, _disc(image)), dtype=np.bool_)
    rim = around & ~inside
    organ, surroundings = values[inside], values[rim]
    if not _PLAUSIBLE[0] < np.median(organ) < _PLAUSIBLE[1] or not surroundings.size:
        return -np.inf
    deviation = np.sqrt((organ.var() + surroundings.var()) / 2)
    return float((organ.mean() - surroundings.mean()) / deviation) if deviation else 0.0


def _cropped(mask: NDArray[np.bool_], image: Volume) -> tuple[tuple[slice, ...], NDArray[np.bool_]]:
    """Return the box that holds the mask and its rim, and the mask in it."""
    margins = [*np.ceil(_RIM / np.array(image.spacing[:2])).astype(int), 0]
    box: list[slice] = []
    for axis, margin in enumerate(margins):
        others = tuple(other for other in range(3) if other != axis)
        places = np.flatnonzero(mask.any(axis=others))
        box.append(slice(max(0, int(places[0] - margin)), int(places[-1] + margin) + 1))
    return tuple(box), mask[tuple(box)]


def _disc(image: Volume) -> NDArray[np.bool_]:
    """Return which offsets (i, j, 1) within a slice are no farther than the rim is wide."""
    reach = np.ceil(_RIM / np.array(image.spacing[:2])).astype(int)
    offsets = np.meshgrid(
        *(np.arange(-far, far + 1) * step for far, step in zip(reach, image.spacing[:2], strict=True))
    )
    return (np.hypot(*offsets) <= _RIM).T[:, :, None]
