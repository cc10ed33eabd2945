"""Steps of a training on random batches and products of matrices, timed on the training's device."""

import math
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import cast

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from aunet.data.patches.sampling import Batch, Sample, joined
from aunet.evaluation.forward_time import wait_for
from aunet.inference.sliding_window import predict_volume
from aunet.inference.window_layout import Window
from aunet.training.segmentation_task import SegmentationTask

# A window that takes longer is not timed again: its warm-up hardly counts beside it.
_QUICK_SECONDS = 0.25
# Sides of the square matrices. On a processor three of these stay in the cache, so memory does not limit the rate
# (two cores with AVX2: 2 GFLOP, 16 ms); a GPU needs larger ones to fill all of its cores (1.1 TFLOP, a few ms).
_SIDE, _GPU_SIDE = 1024, 8192
_PRODUCTS = 5


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


def random_batch(shape: BatchShape, box_of: Callable[[int], Sequence[int]]) -> Batch:
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


def time_batch(task: SegmentationTask, shape: BatchShape) -> float:
    """Return the seconds of a forward and backward pass on a random batch, with its augmentation."""
    augmentation = task.augmentation.for_patches_of(shape.patch_size)
    batch = random_batch(shape, lambda number: augmentation.geometry.draw(0, 0, number).box[1])
    moved = {key: value.to(task.device) if isinstance(value, Tensor) else value for key, value in batch.items()}
    task.network.zero_grad()
    return _seconds(lambda: task.trial_step(cast(Batch, moved), augmentation), task.device)


def time_window(task: SegmentationTask, shape: BatchShape) -> tuple[float, int]:
    """Return seconds and FLOP of one patch in validation; a quick one is timed again after this warm-up."""
    image = torch.rand(shape.channels, *shape.patch_size)
    window = Window(shape.patch_size, size_multiple=task.inferer.size_multiple)

    def predict() -> None:
        with task.autocast():
            predict_volume(task.network, image, window)

    with FlopCounterMode(display=False) as counter:
        first = _seconds(predict, task.device)
    seconds = first if first > _QUICK_SECONDS else _seconds(predict, task.device)
    return seconds, counter.get_total_flops()


def time_update(task: SegmentationTask) -> float:
    """Return the seconds of the optimizer's second step, on copies of the weights with the current gradients."""
    copies: list[nn.Parameter] = []
    for parameter in task.network.parameters():
        copies.append(nn.Parameter(parameter.detach().clone()))
        copies[-1].grad = parameter.grad
    optimizer = task.new_optimizer(copies)
    optimizer.step()  # creates its state
    return _seconds(optimizer.step, task.device)


@cache
def matrix_rate(device: torch.device, dtype: torch.dtype) -> float:
    """Return FLOP/s of the fastest of a few products of square matrices; one multiply-add counts as two.

    It is measured once per process, after a warm-up product. ``dtype`` is that of the factors; on a GPU with TF32
    enabled, float32 products use it, as the convolutions do.
    """
    side = _GPU_SIDE if device.type == "cuda" else _SIDE
    factor = torch.ones(side, side, device=device, dtype=dtype)
    with torch.no_grad():
        seconds = [_seconds(lambda: torch.mm(factor, factor), device) for _ in range(1 + _PRODUCTS)]
    return 2.0 * side**3 / min(seconds[1:])


@contextmanager
def restored_after(module: nn.Module, device: torch.device) -> Generator[None]:
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


def _seconds(work: Callable[[], object], device: torch.device) -> float:
    wait_for(device)
    start = time.perf_counter()
    work()
    wait_for(device)
    return time.perf_counter() - start
