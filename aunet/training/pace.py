"""The speed of a training on this machine, measured ahead on random batches, without changing anything."""

import math
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from aunet.data.patches.sampling import Sample, joined
from aunet.evaluation.forward_time import wait_for
from aunet.inference.sliding_window import predict_volume
from aunet.inference.window_layout import Window
from aunet.training.segmentation_task import SegmentationTask

# Timing stops after so many seconds, which are enough against clock noise, or so many batches.
_ENOUGH_SECONDS, _ENOUGH_BATCHES = 0.5, 5
# A batch of more voxels is tried on a small part first, and not measured as a whole if that would take longer than
# _LONGEST_BATCH seconds: two batches of 4 s keep a measurement within 10 s.
_SMALL_BATCH_VOXELS = 150_000
_LONGEST_BATCH = 4.0


@dataclass(frozen=True)
class BatchShape:
    """Shape of a batch: (patches, channels, *patch_size) voxels, with labels of ``num_classes`` classes."""

    patches: int
    channels: int
    patch_size: tuple[int, ...]
    num_classes: int

    @property
    def voxels(self) -> int:
        """Return the number of voxels of all patches together."""
        return self.patches * math.prod(self.patch_size)


@dataclass(frozen=True)
class Pace:
    """A measured pace.

    Attributes:
        step_seconds: of an optimizer step with the batches whose gradients it takes.
        window_seconds: of one window of the validation.
        flop: of an optimizer step: convolutions and matrix products; one multiply-add counts as two.
        measured: the batch that was measured; smaller than the training's if a step takes long.
    """

    step_seconds: float
    window_seconds: float
    flop: float
    measured: BatchShape


@dataclass(frozen=True)
class _Trial:
    """Seconds and FLOP of one batch, and seconds of one window of the validation."""

    batch_seconds: float
    window_seconds: float
    flop: float

    def scaled(self, factor: float) -> "_Trial":
        """Return the trial of a batch and windows with ``factor`` times the voxels."""
        return _Trial(self.batch_seconds * factor, self.window_seconds * factor, self.flop * factor)


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
    with _restored(task, task.device):
        measured = _measurable(task, shape)
        trial = _try(task, measured).scaled(shape.voxels / measured.voxels)
        # Windows are whole patches, one at a time.
        window_seconds = trial.window_seconds * measured.patches / shape.patches
        update_seconds = _update_seconds(task)
    if task.device.type == "cuda":  # a run records the peak memory of its training alone
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    return Pace(accumulate * trial.batch_seconds + update_seconds, window_seconds, accumulate * trial.flop, measured)


def count_windows(shapes: Sequence[Sequence[int]], window: Window) -> float:
    """Return how many windows' worth of voxels the prediction of volumes of these ``shapes`` (voxels) computes.

    A volume that is predicted in one pass counts as its padded size over that of a window.
    """
    return sum(_num_windows(shape, window) for shape in shapes)


def _num_windows(shape: Sequence[int], window: Window) -> float:
    usual = replace(window, one_pass_voxels=0).lay_out(shape)
    layout = window.lay_out(shape)
    return len(layout.corners) * math.prod(layout.window) / math.prod(usual.window)


def _measurable(task: SegmentationTask, shape: BatchShape) -> BatchShape:
    """Return ``shape``, or the largest part of it that can be measured in time, judged by its smallest part."""
    multiple = task.window.size_multiple
    smallest = _part(shape, multiple, 0)
    # A compiled network would be recompiled for another size, which takes a minute.
    if task.is_compiled or shape.voxels <= _SMALL_BATCH_VOXELS or smallest.voxels >= shape.voxels:
        return shape
    try:
        _batch_seconds(task, smallest)  # warm-up
        seconds_per_voxel = _batch_seconds(task, smallest) / smallest.voxels
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
        first = _batch_seconds(task, shape)
    seconds: list[float] = []
    while not seconds or (sum(seconds) < _ENOUGH_SECONDS and len(seconds) < _ENOUGH_BATCHES):
        if first > 2 * _LONGEST_BATCH:  # the machine is slower than expected
            seconds.append(first)
            break
        seconds.append(_batch_seconds(task, shape))
    return _Trial(sum(seconds) / len(seconds), _window_seconds(task, shape), counter.get_total_flops())


def _window_seconds(task: SegmentationTask, shape: BatchShape) -> float:
    """Return the seconds of one patch in validation; a quick one is timed again after this warm-up."""
    image = torch.rand(shape.channels, *shape.patch_size)
    window = Window(shape.patch_size, size_multiple=task.window.size_multiple)

    def predict() -> None:
        with task.autocast():
            predict_volume(task.network, image, window)

    first = _seconds(predict, task.device)
    return first if first > _ENOUGH_SECONDS / 2 else _seconds(predict, task.device)


def _batch_seconds(task: SegmentationTask, shape: BatchShape) -> float:
    augmentation = task.augmentation.for_patches_of(shape.patch_size)
    batch = random_batch(shape, lambda number: augmentation.geometry.draw(0, 0, number).box[1])
    batch = {key: value.to(task.device) if isinstance(value, Tensor) else value for key, value in batch.items()}
    task.network.zero_grad()
    return _seconds(lambda: task.trial_step(batch, augmentation), task.device)


def random_batch(shape: BatchShape, box_of: Callable[[int], Sequence[int]]) -> Sample:
    """Return a batch of random images and labels in the form of ``sampling.joined``.

    ``box_of`` returns the size (voxels) of the box to read for each patch.
    """
    draw = torch.Generator().manual_seed(0)

    def sample(number: int) -> Sample:
        box = tuple(box_of(number))
        return {
            "image": torch.rand(shape.channels, *box, generator=draw),
            "label": torch.randint(shape.num_classes, (1, *box), generator=draw, dtype=torch.uint8),
            "case_id": "random",
            "key": torch.tensor((0, number)),
            "move": torch.zeros(3),
        }

    return joined([sample(number) for number in range(shape.patches)])


def _update_seconds(task: SegmentationTask) -> float:
    """Return the seconds of the optimizer's second step, on copies of the weights with the current gradients."""
    copies: list[nn.Parameter] = []
    for parameter in task.network.parameters():
        copies.append(nn.Parameter(parameter.detach().clone()))
        copies[-1].grad = parameter.grad
    optimizer: Any = task.new_optimizer(copies)
    optimizer.step()  # creates its state
    return _seconds(optimizer.step, task.device)


def _seconds(work: Callable[[], Any], device: torch.device) -> float:
    wait_for(device)
    start = time.perf_counter()
    work()
    wait_for(device)
    return time.perf_counter() - start


@contextmanager
def _restored(module: nn.Module, device: torch.device) -> Generator[None]:
    """Restore, after the block, everything that a step without its update changes."""
    buffers = [
        (owner, name, buffer, buffer.clone())
        for owner in module.modules()
        for name, buffer in owner.named_buffers(recurse=False)
    ]
    gradients = [(parameter, parameter.grad) for parameter in module.parameters()]
    try:
        with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
            for parameter, _ in gradients:
                parameter.grad = None
            yield
    finally:
        with torch.no_grad():
            for owner, name, buffer, kept in buffers:
                buffer.copy_(kept)
                setattr(owner, name, buffer)  # a module may have put another tensor in its place
        for parameter, gradient in gradients:
            parameter.grad = gradient
