"""The memory of a forward pass, measured on a small patch, and the memory that is available."""

import math
import weakref
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_iter

from aunet.inference.sliding_window import device_of, evaluating
from aunet.machine import available_memory_bytes

# Cells of the coarsest level along each axis of the measured patch: its memory is already proportional to its voxels.
_CELLS = 4
# Measured beside the peak of the process: kernels reorder their input and output, which torch does not see.
_WORKSPACE = 1.1
_SHARE_OF_AVAILABLE = 0.5


def bytes_per_voxel(
    network: nn.Module, in_channels: int, size_multiple: Sequence[int], autocast_type: torch.dtype | None = None
) -> float:
    """Measure the largest memory of a forward pass without gradients, in bytes per voxel of its input."""
    size = [_CELLS * multiple for multiple in size_multiple]
    device = device_of(network)
    image = torch.zeros(1, in_channels, *size, device=device)
    live = LiveBytes()
    with (
        torch.no_grad(),
        evaluating(network),
        torch.autocast(device.type, autocast_type, enabled=autocast_type is not None),
        live,
    ):
        network(image)
    return _WORKSPACE * live.peak / math.prod(size)


def available_bytes(device: torch.device) -> float:
    """Return half of the memory that is free on ``device``; the other half is for volumes and other processes."""
    if device.type == "cuda":
        return _SHARE_OF_AVAILABLE * torch.cuda.mem_get_info(device)[0]
    return _SHARE_OF_AVAILABLE * available_memory_bytes()


class LiveBytes(TorchDispatchMode):
    """The bytes of the tensors that operations return, as long as they live.

    Attributes:
        history: their sum after each operation.
    """

    def __init__(self) -> None:
        super().__init__()
        self._live: dict[int, int] = {}
        self._bytes = 0
        self.history: list[int] = []

    @property
    def peak(self) -> int:
        """Return the largest sum."""
        return max(self.history, default=0)

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """Leave the compiler alone: torch would load it for the first operation, in 70 MiB and more than a second."""
        return False

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run ``func`` and note the storages of its outputs."""
        output = func(*args, **(kwargs or {}))
        for value in tree_iter(output):
            if isinstance(value, Tensor):
                self._note(value.untyped_storage())
        self.history.append(self._bytes)
        return output

    def _note(self, storage: torch.UntypedStorage) -> None:
        key = storage.data_ptr()
        if key not in self._live:
            self._live[key] = storage.nbytes()
            self._bytes += self._live[key]
            weakref.finalize(storage, self._forget, key)

    def _forget(self, key: int) -> None:
        self._bytes -= self._live.pop(key, 0)
