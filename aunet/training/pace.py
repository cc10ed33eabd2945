"""The speed of a training on this machine, measured ahead on random batches, without changing anything."""

import math
from collections.abc import Sequence
from dataclasses import astuple, dataclass, replace

import torch
from torch.utils.flop_counter import FlopCounterMode

from aunet.inference.inferers import Inferer
from aunet.inference.window_layout import padded_size
from aunet.networks import UNet
from aunet.networks.heads import MultiscaleHead, SingleHead
from aunet.training.segmentation_task import SegmentationTask
from aunet.training.trial_steps import BatchShape, restored_after, time_batch, time_update, time_window

# Timing stops after so many seconds, which are enough against clock noise, or so many batches.
_ENOUGH_SECONDS, _ENOUGH_BATCHES = 0.5, 5
# A batch of more voxels is tried on a small part first, and not measured as a whole if that would take longer than
# _LONGEST_BATCH seconds: two batches of 4 s keep a measurement within 10 s.
_SMALL_BATCH_VOXELS = 150_000
_LONGEST_BATCH = 4.0


@dataclass(frozen=True)
class Pace:
    """A measured pace.

    Attributes:
        step_seconds: of an optimizer step with the batches whose gradients it takes.
        window_seconds: of one window of the validation.
        flop: of an optimizer step: convolutions and matrix products; one multiply-add counts as two.
        measured: the batch that was measured; smaller than the training's if a step takes long.
        gflop: of the forward pass of one patch, as ``inspection.cost.forward_gflop`` counts them, which takes a second;
            None if they were not counted, as for a part of a patch.
    """

    step_seconds: float
    window_seconds: float
    flop: float
    measured: BatchShape
    gflop: float | None = None


@dataclass(frozen=True)
class _Trial:
    """Seconds and FLOP of one batch, and of one window of the validation."""

    batch_seconds: float
    window_seconds: float
    flop: float
    window_flop: float

    def scaled(self, factor: float) -> "_Trial":
        """Return the trial of a batch and windows with ``factor`` times the voxels."""
        return _Trial(*(factor * value for value in astuple(self)))


def measure_pace(task: SegmentationTask, shape: BatchShape, accumulate: int = 1) -> Pace:
    """Measure the pace of ``task`` on its network's device, in a few steps on random images.

    A step is the augmentation, the forward pass, the loss, the backward pass and the optimizer, the last on a copy of
    the weights. Weights, running statistics, gradients and torch's random state are restored afterwards. If a batch
    would take longer than a few seconds, a smaller one is measured and scaled by its voxels.

    Args:
        task: the training; its network is in training mode.
        shape: of the batches of this process.
        accumulate: batches per optimizer step.

    Raises:
        torch.OutOfMemoryError: the GPU's memory does not hold a step.
    """
    with restored_after(task, task.device):
        measured = _measurable(task, shape)
        first = _try(task, measured)
        trial = first.scaled(shape.voxels / measured.voxels)
        # Windows are whole patches, one at a time.
        window_seconds = trial.window_seconds * measured.patches / shape.patches
        update_seconds = time_update(task)
    if task.device.type == "cuda":  # a run records the peak memory of its training alone
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    is_whole = measured.patch_size == shape.patch_size == _padded(shape.patch_size, task.inferer)
    # Other networks, and a head with deep supervision, may compute less in a validation.
    is_known = isinstance(task.network, UNet) and isinstance(task.network.head, MultiscaleHead | SingleHead)
    return Pace(
        accumulate * trial.batch_seconds + update_seconds,
        window_seconds,
        accumulate * trial.flop,
        measured,
        first.window_flop / 1e9 if is_whole and is_known else None,
    )


def count_windows(shapes: Sequence[Sequence[int]], inferer: Inferer) -> float:
    """Return how many windows' worth of voxels the prediction of volumes of these ``shapes`` (voxels) computes.

    A volume that is predicted in one pass counts as its padded size over that of a window.
    """
    return sum(_num_windows(shape, inferer) for shape in shapes)


def _num_windows(shape: Sequence[int], inferer: Inferer) -> float:
    return inferer.lay_out(shape).num_voxels / math.prod(_padded(inferer.patch_size, inferer))


def _padded(patch_size: Sequence[int], inferer: Inferer) -> tuple[int, ...]:
    return padded_size(patch_size, patch_size, inferer.size_multiple)


def _measurable(task: SegmentationTask, shape: BatchShape) -> BatchShape:
    """Return ``shape``, or the largest part of it that can be measured in time, judged by its smallest part."""
    multiple = task.inferer.size_multiple
    smallest = _part(shape, multiple, 0)
    # A compiled network would be recompiled for another size, which takes a minute.
    if task.is_compiled or shape.voxels <= _SMALL_BATCH_VOXELS or smallest.voxels >= shape.voxels:
        return shape
    try:
        time_batch(task, smallest)  # warm-up
        seconds_per_voxel = time_batch(task, smallest) / smallest.voxels
    except (RuntimeError, ValueError):  # raised by networks for one size only
        return shape
    return _part(shape, multiple, int(_LONGEST_BATCH / seconds_per_voxel))


def _part(shape: BatchShape, multiple: Sequence[int], most_voxels: int) -> BatchShape:
    """Return the largest part of a batch with at most ``most_voxels``: fewer patches, then a shorter longest side.

    A side keeps two multiples, so that the coarsest level has more than one voxel, which batch norm needs.
    """
    patches = max(1, min(shape.patches, most_voxels // math.prod(shape.patch_size)))
    size = list(shape.patch_size)
    shortest = [min(side, 2 * unit) for side, unit in zip(size, multiple, strict=True)]
    while patches * math.prod(size) > most_voxels and size != shortest:
        axis = max(range(len(size)), key=lambda axis: size[axis] - shortest[axis])
        size[axis] = max(shortest[axis], size[axis] - multiple[axis])
    return replace(shape, patches=patches, patch_size=tuple(size))


def _try(task: SegmentationTask, shape: BatchShape) -> _Trial:
    """Time batches of ``shape`` after a warm-up batch, whose FLOP are counted, and a window of the validation."""
    with FlopCounterMode(display=False) as counter:
        first = time_batch(task, shape)
    seconds: list[float] = []
    while not seconds or (sum(seconds) < _ENOUGH_SECONDS and len(seconds) < _ENOUGH_BATCHES):
        if first > 2 * _LONGEST_BATCH:  # the machine is slower than expected
            seconds.append(first)
            break
        seconds.append(time_batch(task, shape))
    window_seconds, window_flop = time_window(task, shape)
    return _Trial(sum(seconds) / len(seconds), window_seconds, counter.get_total_flops(), window_flop)
