"""Label maps as DICOM segmentation objects (SEG) that refer to the series of slices they were made for.

Segment n is class n, so a class that was not found keeps its number and has no frames. Segments of regions overlap:
that of a tumour holds its core too. The object belongs to the
patient and the study of the series, as DICOM demands: it repeats their names and identifiers.
"""

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom import Dataset
from pydicom.pixels import iter_pixels

from aunet.classes import Labels
from aunet.data.io.dicom_series import read_series_slices
from aunet.data.io.dicom_slices import Slice
from aunet.data.io.grid import Affine, Volume, align, check_same_grid
from aunet.errors import UserError
from aunet.export.segment_codes import SegmentCode, codes_of_classes
from aunet.files import replaced_atomically
from aunet.messages import shortened

_logger = logging.getLogger(__name__)
_LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0])
# mm: DICOM stores coordinates as decimal text of 16 characters, which is far finer.
_ROUNDING = 0.01


def write_segmentation(
    path: Path,
    label: NDArray[np.uint8],
    affine: Affine,
    labels: Labels,
    scan: Path,
    codes: Mapping[str, SegmentCode] | None = None,
) -> None:
    """Write a label map of a DICOM series as a binary segmentation object.

    The written frames are read back: the centroid of each class must lie where the label map has it.

    Args:
        path: of the file, which appears as a whole or not at all.
        label: (H, W, D) values of classes, on the voxels of the series in any axis order.
        affine: (4, 4) from voxels of ``label`` to RAS+ mm.
        labels: names of the classes.
        scan: folder of the series, or FOLDER#NUMBER of one in it, or a file with many slices.
        codes: coded names of classes, by class, instead of those of ``segment_codes``.

    Raises:
        UserError: if highdicom is not installed, if the label map is not on the grid of the series, if the series lacks
            what a segmentation refers to, or if the frames lie elsewhere than the label map.
    """
    check_installed(str(path))
    from aunet.export.segmentation_object import build_segmentation

    slices, grid = read_series_slices(scan)
    placed = _place_on_series(Volume(label, affine, path), slices, grid, scan)
    own = codes_of_classes(tuple(name for _, name in labels.foreground), codes or {})
    _report_gaps(path, placed, labels, own)
    normal = np.cross(slices[0].along_row, slices[0].along_column)
    pitch = abs(float(_LPS_TO_RAS @ normal @ grid[:3, 2]))
    written = build_segmentation(placed, labels, own, slices, pitch, scan)
    with replaced_atomically(path) as temporary:
        written.save_as(temporary)
        _check_places(path, pydicom.dcmread(temporary), label, affine, labels, _deviation(slices, grid) + _ROUNDING)


def check_installed(subject: str) -> None:
    """Raise UserError about ``subject`` if the package that builds segmentation objects is missing."""
    if find_spec("highdicom") is None:
        raise UserError(f"{subject}: DICOM SEG needs highdicom: pip install 'aunet[seg]'.")


def _place_on_series(label: Volume, slices: Sequence[Slice], grid: Affine, scan: Path) -> NDArray[np.uint8]:
    """Return the label map (columns, rows, slices) in the order of the slices."""
    rows, columns = slices[0].shape
    series = Volume(np.broadcast_to(np.uint8(0), (columns, rows, len(slices))), grid, scan)
    aligned = align(label, series)
    check_same_grid(series, aligned, scan.name)
    return aligned.array


def _report_gaps(path: Path, label: NDArray[np.uint8], labels: Labels, codes: Sequence[SegmentCode]) -> None:
    """Warn of classes without voxels and of those coded as tissue."""
    found = set(np.unique(label).tolist())
    assert max(found) < labels.num_classes, f"value {max(found)} among {labels.num_classes} classes"
    if empty := [name for number, name in labels.foreground if found.isdisjoint(labels.values_of(number))]:
        _logger.warning("%s: segments without voxels, as none was found: %s", path, shortened(empty))
    generic = [name for (_, name), code in zip(labels.foreground, codes, strict=True) if code.is_generic]
    if generic:
        _logger.warning("%s: coded as tissue, as no code is known for the name: %s", path, shortened(generic))


def _deviation(slices: Sequence[Slice], grid: Affine) -> float:
    """Return the largest distance (mm) of a slice from its place on the evenly spaced grid."""
    positions = np.array([plane.position for plane in slices]) @ _LPS_TO_RAS
    expected = grid[:3, 3] + np.arange(len(slices))[:, None] * grid[:3, 2]
    return float(np.linalg.norm(positions - expected, axis=1).max())


@dataclass(frozen=True)
class _Places:
    """Number of voxels of each value and the sum of their coordinates (values, 3) in mm, RAS+."""

    counts: NDArray[np.float64]
    sums: NDArray[np.float64]

    @property
    def centroids(self) -> NDArray[np.float64]:
        return self.sums / np.maximum(self.counts, 1)[:, None]


def _check_places(
    path: Path, written: Dataset, label: NDArray[np.uint8], affine: Affine, labels: Labels, tolerance: float
) -> None:
    """Raise UserError unless each class has as many voxels in the frames, and its centroid within ``tolerance`` mm."""
    expected = _places_of_classes(_places_in_label_map(label, affine, labels.num_classes), labels)
    found = _places_in_frames(written, labels.num_classes)
    distances = np.linalg.norm(found.centroids - expected.centroids, axis=1)
    for number, name in labels.foreground:
        if found.counts[number] != expected.counts[number] or distances[number] > tolerance:
            raise UserError(
                f"{path}: not written, as its frames would hold {found.counts[number]:.0f} voxels of {name} where the"
                f" label map has {expected.counts[number]:.0f}, with their centroid {distances[number]:.3g} mm aside."
                " Report this series as a fault of aunet, and write another format, such as .nii.gz."
            )


def _places_in_label_map(label: NDArray[np.uint8], affine: Affine, num_classes: int) -> _Places:
    counts, voxels = np.zeros(num_classes), np.zeros((num_classes, 3))
    for depth, plane in enumerate(np.moveaxis(label, 2, 0)):
        first, second = np.nonzero(plane)
        values = plane[first, second]
        here = np.bincount(values, minlength=num_classes)
        counts += here
        voxels[:, 2] += depth * here
        for axis, places in enumerate((first, second)):
            voxels[:, axis] += np.bincount(values, places, minlength=num_classes)
    return _Places(counts, voxels @ affine[:3, :3].T + counts[:, None] * affine[:3, 3])


def _places_of_classes(of_values: _Places, labels: Labels) -> _Places:
    """Return the places of each class from those of the values that make it up."""
    values = [list(labels.values_of(index)) for index in range(labels.num_classes)]
    return _Places(
        np.array([of_values.counts[of].sum() for of in values]),
        np.array([of_values.sums[of].sum(axis=0) for of in values]),
    )


def _places_in_frames(written: Dataset, num_classes: int) -> _Places:
    """Return the places by the position and orientation of each frame alone."""
    counts, sums = np.zeros(num_classes), np.zeros((num_classes, 3))
    shared = written.SharedFunctionalGroupsSequence[0]
    along_row, along_column = np.reshape(shared.PlaneOrientationSequence[0].ImageOrientationPatient, (2, 3)).astype(
        float
    )
    row_distance, column_distance = (float(side) for side in shared.PixelMeasuresSequence[0].PixelSpacing)
    planes: Iterable[NDArray[np.uint8]] = iter_pixels(written)
    for frame, plane in zip(written.PerFrameFunctionalGroupsSequence, planes, strict=True):
        segment = (frame.get("SegmentIdentificationSequence") or shared.SegmentIdentificationSequence)[0]
        number = int(segment.ReferencedSegmentNumber)
        position = np.array(frame.PlanePositionSequence[0].ImagePositionPatient, float)
        rows, columns = np.nonzero(plane)
        counts[number] += rows.size
        sums[number] += rows.size * position
        sums[number] += columns.sum() * column_distance * along_row + rows.sum() * row_distance * along_column
    return _Places(counts, sums @ _LPS_TO_RAS)
