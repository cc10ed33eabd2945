"""Spacing, patch and batch that fit a dataset, if the configuration leaves them open."""

import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass

import nibabel
import numpy as np
from numpy.typing import NDArray

from aunet.data.cohort.case import Case
from aunet.data.io.volume import read_grid
from aunet.errors import UserError

_log = logging.getLogger(__name__)
_LARGEST_PATCH = 400_000  # voxels: half a torso at 4 mm
# For the same number of patches, many steps of few patches reach a higher Dice than few steps of many
# (experiments/recipe.md). Two is the smallest batch whose batch norm statistics mix cases; tiny patches need more.
_VOXELS_PER_BATCH = 100_000
_SMALLEST_BATCH = 2
_LARGEST_BATCH = 8
# Scans whose headers are compared with a plan, and ratios of spacing and of volume beyond which it cannot be meant:
# a coarse network for 0.5 mm scans has voxels of up to 10 mm; metres and micrometres differ by 1000.
_MOST_COMPARED = 20
_OTHER_UNIT = 50
_MOSTLY_PADDING = 8


@dataclass(frozen=True)
class PatchPlan:
    """Spacing in mm (right, anterior, superior) and patch in voxels of the prepared scans, and patches per batch."""

    spacing: tuple[float, ...]
    patch_size: tuple[int, ...]
    batch_size: int


def plan_patches(
    cases: Sequence[Case],
    spacing: Sequence[float] | None,
    patch_size: Sequence[int] | None,
    batch_size: int | None,
    multiple: int = 16,
) -> PatchPlan:
    """Fill in the values that are None from the headers of the scans.

    The spacing is the scans' median. The patch is, along each axis, the multiple of ``multiple`` nearest to their
    median length, its longest side shortened until it has at most 400,000 voxels; images, which are one voxel thick,
    have patches as thick. The batch has as many patches, 2 to 8, as fit 100,000 voxels.
    """
    if spacing is None or patch_size is None:
        grids = [ras_grid(case) for case in cases]
        spacing = spacing or [float(side) for side in np.median([sides for _, sides in grids], axis=0)]
        lengths = np.median([shape * sides for shape, sides in grids], axis=0) / spacing
        patch_size = patch_size or _patch_within_budget(lengths, multiple)
    fitting = _VOXELS_PER_BATCH // int(np.prod(patch_size))
    batch_size = batch_size or min(_LARGEST_BATCH, max(_SMALLEST_BATCH, fitting))
    return PatchPlan(tuple(spacing), tuple(patch_size), batch_size)


def check_plan(cases: Sequence[Case], plan: PatchPlan) -> None:
    """Compare a plan with the headers of some scans; log a warning if a patch is many times as large as all of them.

    Raises:
        UserError: if the spacing is that of another unit than mm, or if patches of pictures have a depth.
    """
    grids = [ras_grid(case) for case in cases[:: 1 + len(cases) // _MOST_COMPARED] if _is_readable(case)]
    if not grids:
        return
    if plan.patch_size[-1] > 1 and all(shape[-1] == 1 for shape, _ in grids):
        flat = ",".join(map(str, (*plan.patch_size[:-1], 1)))
        raise UserError(
            f"data.patch_size={list(plan.patch_size)}: the images are one voxel thick. Set data.patch_size=[{flat}]."
        )
    found = np.median([sides for _, sides in grids], axis=0)
    ratios = np.array(plan.spacing) / found
    if max(ratios.max(), 1 / ratios.min()) > _OTHER_UNIT:
        raise UserError(
            f"data.spacing={list(plan.spacing)}: the voxels of the scans are {_times(found)} mm (median), so these"
            " cannot be mm. Set data.spacing=null, which takes the median, or"
            f" data.spacing=[{','.join(f'{side:.3g}' for side in found)}]."
        )
    largest = np.max([shape * sides for shape, sides in grids], axis=0) / plan.spacing
    if np.prod(plan.patch_size) > _MOSTLY_PADDING * np.prod(np.maximum(largest, 1)):
        _log.warning(
            "data.patch_size=%s: the largest scan has %s voxels at this spacing, so patches are mostly padding, and"
            " memory and time grow with it. Set data.patch_size=null, which chooses one that fits.",
            *(list(plan.patch_size), _times(np.rint(largest))),
        )


def _is_readable(case: Case) -> bool:
    try:
        ras_grid(case)
    except UserError:  # reported when the case is prepared
        return False
    return True


def _times(values: NDArray[np.float64]) -> str:
    return "×".join(f"{value:.3g}" for value in values)


def _patch_within_budget(lengths: NDArray[np.float64], multiple: int) -> list[int]:
    units = np.where(lengths > 1, multiple, 1)
    patch = np.maximum(1, np.rint(lengths / units)).astype(int)
    while (patch * units).prod() > _LARGEST_PATCH:
        patch[(patch * (units > 1)).argmax()] -= 1
    return [int(length) for length in patch * units]


def expected_shape(case: Case, spacing: Sequence[float]) -> tuple[int, ...]:
    """Estimate the shape of a scan on voxels of ``spacing`` mm from its header."""
    shape, sides = ras_grid(case)
    # A last voxel that begins within the field of view is kept, as by ``resampling.respaced_grid``.
    return tuple(max(1, math.ceil(length - 1e-3)) for length in shape * sides / np.array(spacing))


def ras_grid(case: Case) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return shape and spacing (mm) of a scan with its axes in the order right, anterior, superior."""
    shape, affine = read_grid(case.images[0])
    order = np.argsort(nibabel.io_orientation(affine)[:, 0])
    return np.array(shape)[order], np.linalg.norm(affine[:3, :3], axis=0)[order]
