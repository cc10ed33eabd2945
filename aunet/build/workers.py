"""The processes that read patches, as many as the memory that they share with the training has room for."""

import logging
import math

import torch

from aunet.config.schema import DatasetFacts, RunConfig
from aunet.data.patches.augmentation import Augmentation
from aunet.errors import UserError
from aunet.machine import free_shared_memory, memory_bytes
from aunet.messages import gigabytes

_log = logging.getLogger(__name__)

_MOST_WORKERS = 8
# Torch's loader lets every worker be two batches ahead.
_BATCHES_AHEAD = 2
# Draws of the augmentation: the box that a patch is read from is larger than the patch, and differs.
_NUM_DRAWS = 64
# Of a voxel: a float32 per channel, and the label's byte.
_BYTES_PER_CHANNEL = 4
_REMEDY = "Give the container more (docker run --shm-size=8g, or --ipc=host), or read without processes"


def choose_num_workers(setting: int | str, num_bytes: int, num_ranks: int) -> int:
    """Return the number of loader processes; "auto" means none without a GPU, and no more than have room.

    Reading a patch takes milliseconds: on a CPU that also trains, more processes only take its time. A worker hands
    its batches over in shared memory; if that is full, the system kills it with a bus error in the middle of a run.

    Args:
        setting: data.num_workers.
        num_bytes: of a batch.
        num_ranks: processes on this machine that have workers of their own.

    Raises:
        UserError: the batches of the workers that ``setting`` names do not fit.
    """
    wanted = _default_number() if setting == "auto" else int(setting)
    free = free_shared_memory()
    if not wanted or free is None or wanted * _BATCHES_AHEAD * num_bytes * num_ranks <= free:
        return wanted
    room = f"/dev/shm has {gigabytes(free)} free for the batches of {gigabytes(num_bytes)} that processes hand over"
    if setting != "auto":
        raise UserError(f"data.num_workers={wanted}: {room}, {_BATCHES_AHEAD} each. {_REMEDY}: data.num_workers=0.")
    fitting = free // (_BATCHES_AHEAD * num_bytes * num_ranks)
    _log.warning("%s: data.num_workers=auto becomes %d. %s: data.num_workers=0.", room, fitting, _REMEDY)
    return fitting


def batch_bytes(config: RunConfig, augmentation: Augmentation, num_ranks: int) -> int:
    """Return the bytes of a batch of one rank, its patches read from the largest box of some draws."""
    boxes = [augmentation.geometry.draw(config.seed, 0, sample).box[1] for sample in range(_NUM_DRAWS)]
    voxels = math.prod(map(max, zip(*boxes, strict=True)))
    facts = config.dataset
    return facts.batch_size // num_ranks * voxels * (_BYTES_PER_CHANNEL * facts.in_channels + 1)


def check_memory(facts: DatasetFacts, num_ranks: int) -> None:
    """Raise UserError if a batch with the network's output and its gradient, the least of a step, exceeds the memory.

    Only sizes that were mistyped fail: the features of the network need more than these.
    """
    voxels = facts.batch_size // num_ranks * math.prod(facts.patch_size)
    needed = voxels * _BYTES_PER_CHANNEL * (facts.in_channels + 2 * facts.num_classes)
    if needed > memory_bytes():
        raise UserError(
            f"data.batch_size={facts.batch_size} with data.patch_size={facts.patch_size}: a batch and the network's"
            f" output need more than {gigabytes(needed)}, and this machine has {gigabytes(memory_bytes())}. Set a"
            " smaller one, or both to null, which chooses sizes that fit."
        )


def _default_number() -> int:
    return min(_MOST_WORKERS, torch.get_num_threads()) if torch.cuda.is_available() else 0
