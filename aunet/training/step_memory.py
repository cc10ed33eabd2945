"""The memory of a training step, measured on small batches of random images before the training and scaled up.

Activations, which take nearly all of it, are proportional to the voxels of a batch. Gradients and the optimizer's state
depend on the parameters alone.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import cast

import torch
from torch import Tensor, nn

from aunet.data.patches.sampling import Batch
from aunet.inference.memory import LiveBytes
from aunet.training.segmentation_task import SegmentationTask
from aunet.training.trial_steps import BatchShape, random_batch, restored_after

# Factors of living tensors for all that processes take (experiments/benchmarks/README.md): kernels reorder inputs, and
# malloc's heap has gaps, in bf16 more of both. That of a GPU, for the workspaces of its kernels, is not measured.
_WORKSPACE, _WORKSPACE_OF_AUTOCAST, _WORKSPACE_OF_GPU = 1.3, 2.0, 1.2
_BESIDE = 150e6
# Scaled tensors exceed those of a step by up to 5 %.
_LEAST_SHARE = 0.9
# Cells of the coarsest level along each axis of the measured patches; batch norm needs more than one.
_CELLS = 2
_STATE_SAMPLE = 64


@dataclass(frozen=True)
class StepMemory:
    """The memory in bytes that training steps take beside what the process holds before the first one.

    Attributes:
        fixed: gradients, state of the optimizer and buffers of their exchange, whatever the batch.
        moments: for each operation of a step, the bytes that live after it: those of any batch, and those per voxel.
        workspace: factor for what kernels take beside their tensors.
        beside: bytes of all else that a process begins to hold: tables of kernels, stacks of threads, batches.
    """

    fixed: float
    moments: Sequence[tuple[float, float]]
    workspace: float
    beside: float

    def activations(self, shape: BatchShape) -> float:
        """Return the most bytes of tensors that live at once in a step on a batch of ``shape``."""
        return max(whatever + per_voxel * shape.voxels for whatever, per_voxel in self.moments)

    def least(self, shape: BatchShape) -> float:
        """Return bytes that steps on batches of ``shape`` certainly exceed."""
        return _LEAST_SHARE * (self.fixed + self.activations(shape))

    def of(self, shape: BatchShape) -> float:
        """Return the expected bytes for batches of ``shape``."""
        return self.beside + self.fixed + self.workspace * self.activations(shape)


def measure_step_memory(task: SegmentationTask, shape: BatchShape, num_ranks: int = 1) -> StepMemory | None:
    """Measure two small batches of ``task`` on its device; its weights and the random state stay as they are.

    Args:
        task: the training; its network is in training mode.
        shape: of the batches of this process.
        num_ranks: processes that exchange gradients.

    Returns:
        The memory; None if the network takes no smaller patch, or computes something else for a larger batch.
    """
    sides = zip(shape.patch_size, task.inferer.size_multiple, strict=True)
    small = replace(shape, patch_size=tuple(min(side, _CELLS * unit) for side, unit in sides))
    try:
        with restored_after(task, task.device):
            # The first counts what is made once, too. A batch of one takes other paths through torch.
            _, two, three = (live_bytes(task, replace(small, patches=number)) for number in (2, 2, 3))
    except Exception:  # noqa: BLE001 - whatever a foreign network raises
        return None
    if len(two) != len(three):
        return None
    voxels = math.prod(small.patch_size)
    size = sum(parameter.numel() * parameter.element_size() for parameter in task.network.parameters())
    moments = {
        (3 * of_two - 2 * of_three, (of_three - of_two) / voxels) for of_two, of_three in zip(two, three, strict=True)
    }
    fixed = size * (1 + (num_ranks > 1)) + _state_bytes(task)
    return StepMemory(fixed, sorted(moments), _workspace(task), 0.0 if task.device.type == "cuda" else _BESIDE)


def _workspace(task: SegmentationTask) -> float:
    if task.device.type == "cuda":
        return _WORKSPACE_OF_GPU
    with task.autocast():
        return _WORKSPACE_OF_AUTOCAST if torch.is_autocast_enabled(task.device.type) else _WORKSPACE


def live_bytes(task: SegmentationTask, shape: BatchShape) -> list[int]:
    """Return the bytes that live after each operation of a step, without the augmentation, which holds far less."""
    batch = random_batch(shape, lambda number: shape.patch_size)
    moved = {key: value.to(task.device) if isinstance(value, Tensor) else value for key, value in batch.items()}
    task.network.zero_grad()
    with LiveBytes() as live:
        task.trial_step(cast(Batch, moved), lambda batch, seed: batch)
    return live.history


def _state_bytes(task: SegmentationTask) -> float:
    """Return the bytes of the optimizer's state for all parameters, from that for a small one."""
    parameter = nn.Parameter(torch.zeros(_STATE_SAMPLE, device=task.device))
    parameter.grad = torch.zeros_like(parameter)
    optimizer = task.new_optimizer([parameter])
    optimizer.step()
    state = optimizer.state[parameter].values()
    each = sum(value.nbytes for value in state if isinstance(value, Tensor) and value.shape == parameter.shape)
    return each / _STATE_SAMPLE * sum(parameter.numel() for parameter in task.network.parameters())
