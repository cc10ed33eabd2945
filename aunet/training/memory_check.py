"""The memory that a training needs beside that which is available: a line, and a check before its start."""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import torch

from aunet.errors import UserError
from aunet.machine import available_memory_bytes, free_swap_bytes
from aunet.messages import gigabytes
from aunet.training.step_memory import StepMemory
from aunet.training.trial_steps import BatchShape

_log = logging.getLogger(__name__)
# Share of the expected memory that every measured training took: no warning comes for one that fits.
_SURE = 0.74
# Share of the available memory that a proposal may take.
_COMFORTABLE = 0.9


@dataclass(frozen=True)
class MemoryNeed:
    """The memory of a training's steps on one device.

    Attributes:
        memory: of one process.
        shape: of the batches of one process.
        num_ranks: processes that share each batch.
        num_sharing: those of them that share this memory: all of a machine without GPUs, else one.
        size_multiple: of the sides of a patch (voxels).
        available: bytes that are free.
        swap: free bytes on disk, which keep the system from ending the process.
        has_recomputation: whether the network has the setting ``recomputed_levels``.
    """

    memory: StepMemory
    shape: BatchShape
    num_ranks: int
    num_sharing: int
    size_multiple: Sequence[int]
    available: float
    swap: float
    has_recomputation: bool

    @property
    def needed(self) -> float:
        """Return the bytes that a step needs."""
        return self._needed(self.shape)

    def line(self) -> str:
        """Return the estimate for the user."""
        return f"Memory of a training step: about {gigabytes(self.needed)}, {gigabytes(self.available)} are available."

    def check(self) -> None:
        """Raise UserError if the tensors of a step alone exceed the memory, log a warning if the step surely does."""
        if not (words := self.excess()):
            return
        if self.num_sharing * self.memory.least(self.shape) > self.available + self.swap:
            raise UserError(words)
        _log.warning("%s", words)

    def excess(self) -> str:
        """Return settings, need and what fits if a step needs more than there is, even if the estimate is too high."""
        if _SURE * self.needed <= self.available:
            return ""
        batch_size = self.shape.patches * self.num_ranks
        return (
            f"data.patch_size={list(self.shape.patch_size)} with data.batch_size={batch_size}: a training step needs"
            f" about {gigabytes(self.needed)} of memory, and {gigabytes(self.available)} are available."
            f" {self._remedy()}"
        )

    def _needed(self, shape: BatchShape) -> float:
        return self.num_sharing * self.memory.of(shape)

    def _remedy(self) -> str:
        batches = [f"data.batch_size={of.patches * self.num_ranks}{self._about(of)}" for of in self._fewer_patches()]
        patches = [f"data.patch_size={list(of.patch_size)}{self._about(of)}" for of in self._smaller_patches()]
        levels = ["model.network.recomputed_levels=[1,2], which keeps less"] if self.has_recomputation else []
        if batches or patches:
            return f"Take {', or '.join([*batches, *patches, *levels])}."
        return "No smaller patch fits either: end other programs, or take a smaller network."

    def _about(self, shape: BatchShape) -> str:
        return f" (about {gigabytes(self._needed(shape))})"

    def _fewer_patches(self) -> Iterator[BatchShape]:
        """Yield the batch with the most patches that fits, if any does."""
        for patches in range(self.shape.patches - 1, 0, -1):
            shape = replace(self.shape, patches=patches)
            if self._fits(shape):
                yield shape
                return

    def _smaller_patches(self) -> Iterator[BatchShape]:
        """Yield a batch whose patches' longest sides are cut until it fits, if that is possible."""
        size = list(self.shape.patch_size)
        while any(side > 2 * unit for side, unit in zip(size, self.size_multiple, strict=True)):
            sides = zip(size, self.size_multiple, strict=True)
            axis = max((side - 2 * unit, at) for at, (side, unit) in enumerate(sides))[1]
            size[axis] = max(2 * self.size_multiple[axis], size[axis] - self.size_multiple[axis])
            shape = replace(self.shape, patch_size=tuple(size))
            if self._fits(shape):
                yield shape
                return

    def _fits(self, shape: BatchShape) -> bool:
        return self._needed(shape) <= _COMFORTABLE * self.available


def free_bytes(device: torch.device) -> tuple[float, float]:
    """Return the bytes of memory that are free for ``device``, and those of swap space beside it."""
    if device.type == "cuda":
        unused = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return torch.cuda.mem_get_info(device)[0] + unused, 0.0
    return available_memory_bytes(), free_swap_bytes()
