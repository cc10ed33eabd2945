"""Measurements of one case, small enough to keep for a whole cohort."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from hashlib import sha256

import nibabel
import numpy as np
from nibabel.orientations import apply_orientation, io_orientation
from numpy.typing import NDArray

from aunet.classes import Labels
from aunet.data.io.grid import Voxels
from aunet.data.io.volume import Volume
from aunet.data.organ_positions import boxes_of_values, center_of_value
from aunet.data.preprocessing.image_intensities import MOST_SAMPLES, PERCENTILES, Intensities, percentiles_of


@dataclass(frozen=True)
class ClassFacts:
    """Size, centre (RAS+ mm) and intensity percentiles of one class in one case."""

    num_voxels: int
    volume_ml: float
    center: tuple[float, float, float]
    percentiles: tuple[float, ...]

    @property
    def median(self) -> float:
        """Return the median of its intensities in the first channel."""
        return self.percentiles[PERCENTILES.index(50.0)]


@dataclass(frozen=True)
class CaseFacts:
    """Measurements of one readable case; ``shape`` and ``spacing`` (mm) are in the order right, anterior, superior.

    ``values`` counts the voxels of each integer in the label file; ``classes`` holds the classes of the run that occur.
    """

    case_id: str
    patient: str
    shape: tuple[int, int, int]
    spacing: tuple[float, float, float]
    orientation: str
    intensities: Intensities
    image_digest: str
    label_digest: str
    values: Mapping[int, int]
    classes: Mapping[int, ClassFacts]


def counted_values(array: NDArray[np.integer]) -> dict[int, int]:
    """Count the voxels of each value plane by plane, so that no copy of the whole label map is sorted."""
    counts: dict[int, int] = {}
    for plane in _planes(array):
        for value, count in zip(*np.unique(plane, return_counts=True), strict=True):
            counts[int(value)] = counts.get(int(value), 0) + int(count)
    return dict(sorted(counts.items()))


def with_classes(label: Volume, class_of_value: Mapping[int, int], values: Mapping[int, int]) -> Volume:
    """Return the label map in classes, uint8; values without a class become background."""
    known = np.array(sorted(values))
    classes = np.array([class_of_value.get(int(value), 0) for value in known], dtype=np.uint8)
    array = np.empty(label.shape, dtype=np.uint8, order="F")
    for source, target in zip(_planes(label.array), _planes(array), strict=True):
        target[...] = classes[np.searchsorted(known, source)]
    return replace(label, array=array)


def measured_classes(image: Volume | None, label: Volume, labels: Labels) -> dict[int, ClassFacts]:
    """Measure each class in ``label``; without an ``image`` on the same grid, its intensities are NaN."""
    if not labels.regions:
        return _measured_values(image, label)
    facts: dict[int, ClassFacts] = {}
    for index, _ in labels.foreground:
        mask = replace(label, array=labels.mask(label.array, index).astype(np.uint8))
        if (found := _measured_values(image, mask).get(1)) is not None:
            facts[index] = found
    return facts


def _measured_values(image: Volume | None, label: Volume) -> dict[int, ClassFacts]:
    voxel_ml = abs(float(np.linalg.det(label.affine[:3, :3]))) / 1000
    facts: dict[int, ClassFacts] = {}
    for index, box in boxes_of_values(label).items():
        mask = label.array[box] == index
        count = int(np.count_nonzero(mask))
        x, y, z = center_of_value(label, index, box).tolist()
        inside = np.array([np.nan]) if image is None else image.array[box][mask]
        step = 1 + inside.size // MOST_SAMPLES
        facts[index] = ClassFacts(count, count * voxel_ml, (x, y, z), percentiles_of(inside[::step]))
    return facts


def ras_shape_and_spacing(volume: Volume) -> tuple[tuple[int, int, int], tuple[float, float, float], str]:
    """Return shape and spacing (mm) in the order right, anterior, superior, and the stored axes' ends, such as LPS."""
    order: list[int] = np.argsort(io_orientation(volume.affine)[:, 0]).tolist()
    right, front, head = ((volume.shape[axis], volume.spacing[axis]) for axis in order)
    orientation = "".join(str(code) for code in nibabel.aff2axcodes(volume.affine))
    return (right[0], front[0], head[0]), (right[1], front[1], head[1]), orientation


def content_digest(volume: Volume) -> str:
    """Return 16 hexadecimal digits of the voxels in RAS order, the same however the scan's axes are stored."""
    turned: Voxels = apply_orientation(volume.array, io_orientation(volume.affine))
    digest = sha256(str(turned.shape).encode())
    for plane in _planes(turned):
        digest.update(np.ascontiguousarray(plane, dtype=np.float32).data)
    return digest.hexdigest()[:16]


def _planes(array: Voxels) -> Iterator[Voxels]:
    for index in range(array.shape[2]):
        yield array[:, :, index]
