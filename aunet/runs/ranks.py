"""The processes (ranks) that share one training: the rank of this one, and their exchange.

They are started by torchrun, by ``aunet train trainer.devices=2`` or by hand. In a run of one process everything here
is trivial and torch.distributed is not touched.
"""

from collections.abc import Generator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import TypeVar

import torch
from torch import Tensor, distributed, nn
from torch.distributed.nn.functional import all_gather

from aunet.machine import is_started_as_rank, local_rank

T = TypeVar("T")

# Longer than any rank waits for another in normal operation: preparing a cohort, predicting a large case.
_PATIENCE = timedelta(hours=6)


def join_ranks(accelerator: str) -> None:
    """Join the process group of this run; on GPUs, select this process's own."""
    if not is_started_as_rank() or distributed.is_initialized():
        return
    has_gpu = accelerator in ("auto", "gpu", "cuda") and torch.cuda.is_available()
    if has_gpu:
        torch.cuda.set_device(local_rank())
    distributed.init_process_group("cpu:gloo,cuda:nccl" if has_gpu else "gloo", timeout=_PATIENCE)


def leave_ranks() -> None:
    """Leave the process group."""
    if distributed.is_initialized():
        distributed.destroy_process_group()


def rank() -> int:
    """Return the number of this process, from 0."""
    return distributed.get_rank() if distributed.is_initialized() else 0


def num_ranks() -> int:
    """Return the number of processes that train together."""
    return distributed.get_world_size() if distributed.is_initialized() else 1


def share_of(items: Sequence[T]) -> Sequence[T]:
    """Return the ``items`` of this process; each item belongs to exactly one process."""
    return items[rank() :: num_ranks()]


def gathered(value: T) -> list[T]:
    """Return the ``value`` of every process, by rank; all must call this."""
    if num_ranks() == 1:
        return [value]
    values = [value] * num_ranks()
    distributed.all_gather_object(values, value)
    return values


def any_rank(flag: bool) -> bool:
    """Return whether ``flag`` is set in any process; all must call this."""
    if num_ranks() == 1:
        return flag
    flags = torch.tensor([int(flag)])
    distributed.all_reduce(flags, distributed.ReduceOp.MAX)
    return bool(flags.item())


def of_first_rank(value: T) -> T:
    """Return the ``value`` of rank 0 in all processes; all must call this."""
    if num_ranks() == 1:
        return value
    values = [value]
    distributed.broadcast_object_list(values, src=0)
    return values[0]


def share_buffers(network: nn.Module) -> None:
    """Copy the running statistics of rank 0, which a checkpoint keeps, to every process."""
    if num_ranks() > 1:
        for buffer in network.buffers():
            distributed.broadcast(buffer, src=0)


def whole_batch(part: Tensor) -> Tensor:
    """Join the parts (B, ...) of all ranks into one batch, for a loss that is not a mean over samples.

    Gradients flow back. Each rank has the loss of the whole batch, and the mean of their gradients is its gradient.
    """
    return part if num_ranks() == 1 else torch.cat(all_gather(part.contiguous()))


@contextmanager
def first_rank_first() -> Generator[None]:
    """Run the block on rank 0, then on the others, which find its results on disk."""
    if rank() != 0:
        distributed.barrier()
    yield
    if rank() == 0 and num_ranks() > 1:
        distributed.barrier()
