"""The processes that share one training: which one this is, and how they agree.

They are started by torchrun, by ``aunet train trainer.devices=2`` or by hand. In a run of one process everything here
is trivial and torch.distributed is not touched.
"""

import os
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, TypeVar

import torch
from torch import Tensor, distributed, nn
from torch.distributed.nn.functional import all_gather

T = TypeVar("T")

# Longer than any rank waits for another in good order: preparing a cohort, predicting a large case.
_PATIENCE = timedelta(hours=6)


def is_started_as_rank() -> bool:
    """Whether torchrun started this process."""
    return "TORCHELASTIC_RUN_ID" in os.environ


def join_ranks(accelerator: str) -> None:
    """Meet the other processes of this run; on GPUs, take this process's own."""
    if not is_started_as_rank() or distributed.is_initialized():
        return
    has_gpu = accelerator in ("auto", "gpu", "cuda") and torch.cuda.is_available()
    if has_gpu:
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    distributed.init_process_group("cpu:gloo,cuda:nccl" if has_gpu else "gloo", timeout=_PATIENCE)


def leave_ranks() -> None:
    """Part from the other processes."""
    if distributed.is_initialized():
        distributed.destroy_process_group()


def rank() -> int:
    """Number of this process, from 0."""
    return distributed.get_rank() if distributed.is_initialized() else 0


def num_ranks() -> int:
    """How many processes train together."""
    return distributed.get_world_size() if distributed.is_initialized() else 1


def share_of(items: Sequence[T]) -> Sequence[T]:
    """What of ``items`` is for this process: every one belongs to exactly one."""
    return items[rank() :: num_ranks()]


def gathered(value: T) -> list[T]:
    """The ``value`` of every process, by rank; all must ask."""
    if num_ranks() == 1:
        return [value]
    values: list[Any] = [None] * num_ranks()
    distributed.all_gather_object(values, value)
    return values


def any_rank(flag: bool) -> bool:
    """Whether ``flag`` is set in any process; all must ask."""
    if num_ranks() == 1:
        return flag
    flags = torch.tensor([int(flag)])
    distributed.all_reduce(flags, distributed.ReduceOp.MAX)
    return bool(flags.item())


def of_first_rank(value: T) -> T:
    """The ``value`` of rank 0, for all; all must ask."""
    if num_ranks() == 1:
        return value
    values: list[Any] = [value]
    distributed.broadcast_object_list(values, src=0)
    return values[0]


def share_buffers(network: nn.Module) -> None:
    """Give every process the running statistics of rank 0, which are those a checkpoint keeps."""
    if num_ranks() > 1:
        for buffer in network.buffers():
            distributed.broadcast(buffer, src=0)


def whole_batch(part: Tensor) -> Tensor:
    """The parts (B, ...) of all ranks as one batch, for a loss that is no mean over samples; gradients come back.

    Each rank then has the loss of the whole batch, and the mean of their gradients is its gradient.
    """
    return part if num_ranks() == 1 else torch.cat(all_gather(part.contiguous()))


@contextmanager
def first_rank_first() -> Generator[None]:
    """What follows is done by rank 0, then by the others, who find its results on disk."""
    if rank() != 0:
        distributed.barrier()
    yield
    if rank() == 0 and num_ranks() > 1:
        distributed.barrier()
