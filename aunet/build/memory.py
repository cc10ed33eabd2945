"""The memory that the training of a run needs, measured and checked before it starts."""

import os

from aunet.build.model import training_device
from aunet.build.trainer import build_batch_shape
from aunet.config.schema import DatasetFacts
from aunet.machine import is_started_as_rank
from aunet.networks import UNet
from aunet.networks.slice_by_slice import unwrap
from aunet.runs.ranks import any_rank, num_ranks
from aunet.training.hardware import HardwareChoice
from aunet.training.memory_check import MemoryNeed, free_bytes
from aunet.training.segmentation_task import SegmentationTask
from aunet.training.step_memory import measure_step_memory

# Bytes for each voxel of a batch and each parameter that no usual network exceeds: the U-Nets here take 600 to 2,100
# for a voxel. Measuring takes seconds, so batches that fit even so start at once.
_MOST_PER_VOXEL, _MOST_PER_PARAMETER = 10_000, 40


def check_step_memory(dataset: DatasetFacts, task: SegmentationTask, choice: HardwareChoice) -> None:
    """Move ``task`` to its device; raise UserError, or log a warning, if its steps need more memory than there is."""
    task.to(training_device(choice))
    num_local = int(os.environ["LOCAL_WORLD_SIZE"]) if is_started_as_rank() else 1
    if any_rank(_is_doubtful(dataset, task, num_local)):  # all of them measure, as losses of a batch meet
        need = measure_memory_need(dataset, task, num_ranks(), num_local)
        if need is not None:
            need.check()


def _is_doubtful(dataset: DatasetFacts, task: SegmentationTask, num_local: int) -> bool:
    num_parameters = sum(parameter.numel() for parameter in task.network.parameters())
    most = _MOST_PER_VOXEL * build_batch_shape(dataset, num_ranks()).voxels + _MOST_PER_PARAMETER * num_parameters
    return most * (1 if task.device.type == "cuda" else num_local) > free_bytes(task.device)[0]


def measure_memory_need(
    dataset: DatasetFacts, task: SegmentationTask, processes: int, num_local: int
) -> MemoryNeed | None:
    """Measure the memory of the training of ``task`` on its device; None if it cannot be measured ahead.

    Args:
        dataset: of the run.
        task: on its device; its weights and the random state stay as they are.
        processes: that share each batch.
        num_local: those of them on this machine.
    """
    shape = build_batch_shape(dataset, processes)
    memory = None if task.is_sharded else measure_step_memory(task, shape, processes)
    if memory is None:
        return None
    available, swap = free_bytes(task.device)
    return MemoryNeed(
        memory=memory,
        shape=shape,
        num_ranks=processes,
        num_sharing=1 if task.device.type == "cuda" else num_local,
        size_multiple=task.inferer.size_multiple,
        available=available,
        swap=swap,
        has_recomputation=isinstance(unwrap(task.network), UNet),
    )
