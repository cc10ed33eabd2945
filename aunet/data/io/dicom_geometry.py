"""The voxel grid of a series of slices: their order along the normal, and the affine that places them."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from aunet.data.io.dicom_slices import Slice
from aunet.errors import UserError

_LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0])
SAME_DIRECTION = 1e-3
SAME_SPACING = 1e-4  # mm
_SAME_PLACE = 1e-3  # mm
# A slice may lie this far from its place at equal steps: a share of a step, or mm that rounding to 0.1 mm explains.
_PLACE_TOLERANCE = 0.05
_ROUNDING = 0.101
_NAMED = 5


def order_slices(slices: Sequence[Slice], scan: Path) -> tuple[list[Slice], NDArray[np.float64]]:
    """Sort the slices by position and return the affine (4, 4) of voxels (column, row, slice) to RAS+ mm with them.

    The third axis runs along the normal of the slices, towards right, anterior or superior, whichever is nearest: an
    axial scan runs from foot to head. Slices that a tilted gantry leaves askew above one another keep their places: the
    affine is sheared.

    Raises:
        UserError: if slices differ in size or direction, share a position, are missing or have unequal steps.
    """
    first = slices[0]
    normal = _normal(first)
    for plane in slices:
        _check_parallel(plane, first, scan)
        _check_values(plane, first, scan)
    ordered = sorted(slices, key=lambda plane: float(plane.position @ normal))
    positions = np.array([plane.position for plane in ordered])
    heights = positions @ normal
    _check_distinct(ordered, heights, scan)
    _check_steps(ordered, heights, scan)
    step = (positions[-1] - positions[0]) / (len(ordered) - 1) if len(ordered) > 1 else _pitch(first, scan) * normal
    _check_line(ordered, positions, step, scan)
    lowest = ordered[0]
    column, row = lowest.along_row * lowest.spacing[0], lowest.along_column * lowest.spacing[1]
    return ordered, grid_affine(column, row, step, lowest.position)


def gantry_tilt(affine: NDArray[np.float64]) -> float:
    """Return the angle in degrees between the normal of the slices and the step from one to the next."""
    normal = np.cross(affine[:3, 0], affine[:3, 1])
    cosine = abs(normal @ affine[:3, 2]) / (np.linalg.norm(normal) * np.linalg.norm(affine[:3, 2]))
    return float(np.degrees(np.arccos(min(cosine, 1.0))))


def _normal(plane: Slice) -> NDArray[np.float64]:
    """Return the unit normal, in LPS+, signed so that its largest component points right, anterior or superior."""
    normal = np.cross(plane.along_row, plane.along_column)
    along_axes = _LPS_TO_RAS @ normal
    return normal * np.sign(along_axes[np.abs(along_axes).argmax()])


def grid_affine(
    column: NDArray[np.float64], row: NDArray[np.float64], step: NDArray[np.float64], position: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the affine (4, 4) to RAS+ mm: steps to the next column, row and slice, and the first voxel, in LPS+ mm."""
    affine = np.eye(4)
    affine[:3] = _LPS_TO_RAS @ np.column_stack([column, row, step, position])
    return affine


def farthest_from_line(
    positions: NDArray[np.float64], numbers: NDArray[np.int_], first: NDArray[np.float64], step: NDArray[np.float64]
) -> tuple[int, float]:
    """Return which of the positions (slices, 3) is farthest from ``first + number * step``, and by how many mm."""
    distances = np.linalg.norm(positions - (first + numbers[:, None] * step), axis=1)
    farthest = int(distances.argmax())
    return farthest, float(distances[farthest])


def line_tolerance(step: NDArray[np.float64]) -> float:
    """Return how many mm a slice may lie aside of the line that all of them form."""
    return max(_PLACE_TOLERANCE * float(np.linalg.norm(step)), _ROUNDING)


def _check_parallel(plane: Slice, first: Slice, scan: Path) -> None:
    directions = np.array([plane.along_row, plane.along_column])
    if not np.allclose(directions @ directions.T, np.eye(2), atol=SAME_DIRECTION):
        raise UserError(
            f"{plane.file}: ImageOrientationPatient is {directions.ravel().tolist()}; it must be two unit vectors at a"
            " right angle. Convert the scan again from its source."
        )
    for what, value, expected, tolerance in (
        ("rows and columns", plane.shape, first.shape, 0.0),
        ("pixel spacing", plane.spacing, first.spacing, SAME_SPACING),
        ("orientation", directions.ravel(), [*first.along_row, *first.along_column], SAME_DIRECTION),
    ):
        if not np.allclose(value, expected, rtol=0, atol=tolerance):
            raise UserError(
                f"{scan}: the slices of one volume must be alike, but {plane.file.name} has {what}"
                f" {np.round(value, 4).tolist()} and {first.file.name} {np.round(expected, 4).tolist()}."
                " Keep the slices of one volume in the folder."
            )


def _check_values(plane: Slice, first: Slice, scan: Path) -> None:
    """Raise UserError if only some slices say how their numbers are scaled, or if their units differ."""
    for what, value, expected in (
        ("RescaleIntercept", "present" if plane.has_scale else "missing", "present" if first.has_scale else "missing"),
        ("unit of the values", plane.unit, first.unit),
    ):
        if value != expected:
            raise UserError(
                f"{scan}: the slices of one volume must be alike, but the {what} of {_name(plane)} is"
                f" {value or 'missing'} and of {_name(first)} {expected or 'missing'}. Export the series again, or keep"
                " the slices of one volume in the folder."
            )


def _check_distinct(ordered: Sequence[Slice], heights: NDArray[np.float64], scan: Path) -> None:
    equal = np.flatnonzero(np.diff(heights) < _SAME_PLACE)
    if equal.size:
        named = [f"{heights[at]:g} mm ({_names(ordered[at], ordered[at + 1])})" for at in equal.tolist()]
        raise UserError(
            f"{scan}: two slices lie at one position along their normal: {_enumerated(named)}. Copies, or several times"
            " or echoes in one series: keep one file a position."
        )


def _check_steps(ordered: Sequence[Slice], heights: NDArray[np.float64], scan: Path) -> None:
    """Raise UserError for a gap of whole steps, naming where slices are missing, and for other unequal steps."""
    if len(ordered) < 3:
        return
    steps = np.diff(heights)
    usual = float(np.quantile(steps, 0.5, method="lower"))
    expected = np.linspace(heights[0], heights[-1], len(heights))
    tolerance = max(_PLACE_TOLERANCE * usual, min(_ROUNDING, usual / 4))
    if np.abs(heights - expected).max() <= tolerance:
        return
    counts = np.rint(steps / usual)
    if counts.min() >= 1 and counts.max() > 1 and (np.abs(steps - counts * usual) <= 2 * tolerance).all():
        raise UserError(
            f"{scan}: slices are missing at {_enumerated(_missing(ordered, heights, counts))};"
            f" the others are {usual:g} mm apart. Restore the missing files."
        )
    distances = np.abs(steps - usual)
    odd = np.flatnonzero(distances > min(tolerance, distances.max() / 2))
    named = [f"{steps[at]:g} mm from {_name(ordered[at])} to {_name(ordered[at + 1])}" for at in odd.tolist()]
    raise UserError(
        f"{scan}: the slices are unevenly spaced: {_enumerated(named)}, where {usual:g} mm is usual. A voxel grid needs"
        " equal steps: keep the evenly spaced slices, or resample the series and give it as NIfTI."
    )


def _missing(ordered: Sequence[Slice], heights: NDArray[np.float64], counts: NDArray[np.float64]) -> list[str]:
    named: list[str] = []
    for at in np.flatnonzero(counts > 1).tolist():
        places = np.linspace(heights[at], heights[at + 1], int(counts[at]) + 1)[1:-1]
        between = f"between {_name(ordered[at])} and {_name(ordered[at + 1])}"
        named.append(f"{', '.join(f'{place:g}' for place in places[:_NAMED])} mm ({between})")
    return named


def _check_line(
    ordered: Sequence[Slice], positions: NDArray[np.float64], step: NDArray[np.float64], scan: Path
) -> None:
    farthest, aside = farthest_from_line(positions, np.arange(len(ordered)), positions[0], step)
    if aside > line_tolerance(step):
        raise UserError(
            f"{scan}: the slices do not lie on one line: {_name(ordered[farthest])} is {aside:.3g} mm"
            " aside of it. They may be of two scans: keep those of one, or resample them and give the scan as NIfTI."
        )


def _pitch(plane: Slice, scan: Path) -> float:
    if not plane.pitch:
        raise UserError(f"{scan}: a single slice without SliceThickness has no depth; give the whole series.")
    return plane.pitch


def _name(plane: Slice) -> str:
    return f"{plane.file.name} frame {plane.frame + 1}" if plane.frame else plane.file.name


def _names(first: Slice, second: Slice) -> str:
    """Return both names, with their folders if they are equal."""
    if first.file != second.file and first.file.name == second.file.name:
        return ", ".join(f"{plane.file.parent.name}/{_name(plane)}" for plane in (first, second))
    return f"{_name(first)}, {_name(second)}"


def _enumerated(named: Sequence[str]) -> str:
    return "; ".join(named[:_NAMED]) + (f" and {len(named) - _NAMED} more" if len(named) > _NAMED else "")
