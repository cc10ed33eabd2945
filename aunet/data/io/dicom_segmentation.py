"""DICOM segmentation objects (SEG) as label maps: the number of a segment is its value."""

import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset
from pydicom.pixels import pixel_array

from aunet.data.io.dicom_geometry import (
    SAME_DIRECTION,
    SAME_SPACING,
    farthest_from_line,
    grid_affine,
    line_tolerance,
)
from aunet.data.io.dicom_slices import HEADER_ERRORS, read_dataset
from aunet.data.io.grid import Affine, Shape, Voxels
from aunet.errors import UserError

_logger = logging.getLogger(__name__)

SEGMENTATIONS = ("1.2.840.10008.5.1.4.1.1.66.4", "1.2.840.10008.5.1.4.1.1.66.7")
OUTLINES = "1.2.840.10008.5.1.4.1.1.481.3"
_LABEL_MAP = SEGMENTATIONS[1]
# Of the distance between slices.
_OFF_GRID = 0.05
# Slices without a segment are made up, so a damaged position could claim any number of them.
_MOST_SLICES = 10_000


def read_segmentation(path: Path) -> tuple[Voxels, Affine]:
    """Read the label map (columns, rows, slices) of the slices that are stored, and its affine (4, 4) to RAS+ mm.

    Slices without a segment are usually not stored: those between others are filled with 0. If segments overlap, the
    later one counts, with a warning.

    Raises:
        UserError: for fractional segmentations, frames without a place, and frames that form no voxel grid.
    """
    header, frames, places = _header_and_places(path)
    heights, affine, shape = _grid(header, frames, path)
    try:
        pixels: Voxels = pixel_array(header)
    except (*HEADER_ERRORS, RuntimeError) as error:
        raise UserError(
            f"{path}: its pixels cannot be read ({error}); the file may be truncated: copy it again."
        ) from None
    planes = pixels.reshape(-1, *shape[1::-1])
    if len(planes) != len(places):
        raise UserError(f"{path}: {len(planes)} frames of pixels, and places for {len(places)}; copy it again.")
    label = np.zeros(shape[::-1], np.uint16)
    overlap = 0
    for plane, height, segment in zip(planes, heights, places, strict=True):
        is_inside = plane > 0
        overlap += int(np.count_nonzero(label[height][is_inside]))
        label[height][is_inside] = plane[is_inside] if segment is None else segment
    if overlap:
        _logger.warning("%s: %d voxels lie in two segments; the later of them counts", path, overlap)
    return label.transpose(2, 1, 0), affine


def read_segmentation_grid(path: Path) -> tuple[Shape, Affine]:
    """Read the shape and affine of ``read_segmentation``; errors as there."""
    header, frames, _ = _header_and_places(path)
    _, affine, shape = _grid(header, frames, path)
    return shape, affine


def _header_and_places(path: Path) -> tuple[Dataset, list[Dataset], list[int | None]]:
    """Return the object, the groups of each frame, and the segment of each; None if pixels hold its number."""
    try:
        header = read_dataset(path)
        frames = list(header.PerFrameFunctionalGroupsSequence)
        if header.get("SegmentationType") == "FRACTIONAL":
            raise UserError(f"{path}: a fractional segmentation; a label map is needed: convert it to a binary one.")
        if header.get("SOPClassUID") == _LABEL_MAP:
            return header, frames, [None] * len(frames)
        # The only segment of an object may be named once for all frames.
        shared = header.SharedFunctionalGroupsSequence[0]
        named = [_group(frame, shared, "SegmentIdentificationSequence") for frame in frames]
        return header, frames, [int(segment.ReferencedSegmentNumber) for segment in named]
    except UserError:
        raise
    except (*HEADER_ERRORS, IndexError) as error:
        raise UserError(
            f"{path}: a DICOM segmentation, but no slices of a volume; give another export of it ({error})."
        ) from None


def _grid(header: Dataset, frames: Sequence[Dataset], path: Path) -> tuple[list[int], Affine, Shape]:
    """Return the slice of each frame, the affine, and the shape (columns, rows, slices)."""
    try:
        shared = header.SharedFunctionalGroupsSequence[0]
        orientations = np.array(
            [_group(frame, shared, "PlaneOrientationSequence").ImageOrientationPatient for frame in frames], float
        )
        sides = np.array([_group(frame, shared, "PixelMeasuresSequence").PixelSpacing for frame in frames], float)
        positions = np.array(
            [_group(frame, shared, "PlanePositionSequence").ImagePositionPatient for frame in frames], float
        )
        measures = _group(frames[0], shared, "PixelMeasuresSequence")
        told = float(measures.get("SpacingBetweenSlices") or measures.get("SliceThickness") or 0)
        size = int(header.Columns), int(header.Rows)
        if (orientations.shape[1:], sides.shape[1:], positions.shape[1:]) != ((6,), (2,), (3,)):
            raise ValueError("an orientation has six numbers, a pixel two sides, a position three")
    except (*HEADER_ERRORS, IndexError) as error:
        raise UserError(f"{path}: its frames have no place in the patient ({error}); export it again.") from None
    _check_alike(orientations, sides, path)
    orientation, (rows, columns) = orientations[0], sides[0].tolist()
    normal = np.cross(orientation[:3], orientation[3:])
    normal *= np.sign((normal * (-1, -1, 1))[np.abs(normal).argmax()])
    numbers, step = _numbers_and_step(positions, normal, told, path)
    lowest = positions[numbers.index(0)]
    affine = grid_affine(orientation[:3] * columns, orientation[3:] * rows, step, lowest)
    return numbers, affine, (*size, max(numbers) + 1)


def _check_alike(orientations: NDArray[np.float64], sides: NDArray[np.float64], path: Path) -> None:
    """Raise UserError unless all frames have one orientation (frames, 6), at a right angle, and one pixel size."""
    directions = orientations[0].reshape(2, 3)
    if not np.allclose(directions @ directions.T, np.eye(2), atol=SAME_DIRECTION):
        raise UserError(
            f"{path}: ImageOrientationPatient is {orientations[0].tolist()}; it must be two unit vectors at a right"
            " angle. Export the segmentation again."
        )
    for name, values, tolerance in (
        ("ImageOrientationPatient", orientations, SAME_DIRECTION),
        ("PixelSpacing", sides, SAME_SPACING),
    ):
        distances = np.abs(values - values[0]).max(axis=1)
        if not (distances <= tolerance).all():
            frame = int(distances.argmax())
            raise UserError(
                f"{path}: {name} of frame {frame + 1} is {values[frame].tolist()} and of frame 1 {values[0].tolist()};"
                " a voxel grid has one. Export the segmentation of one series."
            )


def _numbers_and_step(
    positions: NDArray[np.float64], normal: NDArray[np.float64], told: float, path: Path
) -> tuple[list[int], NDArray[np.float64]]:
    """Return the slice of each frame by its position (frames, 3), and the step to the next slice, both in LPS+ mm.

    Slices may be askew above one another, as a tilted gantry leaves them: the step then differs from ``normal``.
    ``told`` is their distance in mm by the header, 0 if it has none.
    """
    heights = positions @ normal
    gaps = np.array(np.diff(np.unique(np.round(heights, 3))), dtype=np.float64)
    # Slices that are all stored at every second place, say, lie on a finer grid by the header.
    ratios = gaps / (told or np.inf)
    is_finer = np.rint(ratios).all() and np.allclose(ratios, np.rint(ratios), atol=_OFF_GRID)
    distance = told if is_finer or not gaps.size else float(gaps.min())
    if gaps.size:  # the header may mean the distance along a tilted stack, which is longer
        distance = float(np.ptp(heights) / np.rint(gaps / distance).sum())
    if not distance:
        raise UserError(f"{path}: a single slice without a thickness has no depth; export it again.")
    places = (heights - heights.min()) / distance
    if not places.max() < _MOST_SLICES:
        raise UserError(f"{path}: its slices lie {np.ptp(heights):g} mm apart, {distance:g} mm each; export it again.")
    numbers = np.rint(places).astype(int)
    if np.abs(places - numbers).max() > _OFF_GRID:
        raise UserError(f"{path}: its slices are unevenly spaced; a voxel grid needs equal steps. Export it again.")
    first, last = positions[numbers.argmin()], positions[numbers.argmax()]
    step = (last - first) / numbers.max() if numbers.max() else distance * normal
    farthest, aside = farthest_from_line(positions, numbers, first, step)
    if aside > line_tolerance(step):
        raise UserError(
            f"{path}: its slices do not lie on one line: frame {farthest + 1} is {aside:.3g} mm aside of it. Export"
            " the segmentation of one series."
        )
    return numbers.tolist(), step


def _group(frame: Dataset, shared: Dataset, name: str) -> Dataset:
    return (frame.get(name) or shared.get(name) or [Dataset()])[0]
