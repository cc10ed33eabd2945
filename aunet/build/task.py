"""Construction of a training's loaders and task from a configuration."""

from collections.abc import Callable

import torch

from aunet.build.data import build_object
from aunet.build.inferer import build_inferer
from aunet.build.model import build_network
from aunet.build.store import build_store
from aunet.classes import Labels
from aunet.config.schema import OptimizerConfig, RunConfig, TrainerConfig
from aunet.data.cohort.case import Cohort
from aunet.data.cohort.splits import Splits
from aunet.data.datamodule import SegmentationData
from aunet.data.patches.augmentation import Augmentation
from aunet.runs import ranks
from aunet.training.callbacks.run_clock import RunClock
from aunet.training.hardware import HardwareChoice, fused_where_possible
from aunet.training.schedules import rising
from aunet.training.segmentation_task import SegmentationTask


def build_data(config: RunConfig, cohort: Cohort, splits: Splits, num_ranks: int | None = None) -> SegmentationData:
    """Return the loaders of a run for this rank; ``num_ranks`` is needed if the ranks are not started yet."""
    data = config.data
    return SegmentationData(
        cohort=cohort,
        splits=splits,
        store=build_store(config, cohort),
        augmentation=build_augmentation(config),
        sampling=data.sampling,
        batch_size=config.dataset.batch_size,
        batches_per_epoch=config.trainer.batches_per_epoch,
        num_workers=_choose_num_workers(data.num_workers),
        seed=config.seed,
        on_error=data.on_error,
        rank=ranks.rank(),
        num_ranks=num_ranks or ranks.num_ranks(),
    )


def build_augmentation(config: RunConfig) -> Augmentation:
    """Return the augmentation of the training batches, which changes nothing for the overfit probe."""
    if config.trainer.probe == "overfit":
        return Augmentation(config.dataset.patch_size)
    return build_object(config.data.augmentation)


def build_schedule(optimizer: OptimizerConfig, trainer: TrainerConfig) -> Callable[[float], float]:
    """Return the function from the share of the training done to the share of the learning rate."""
    if trainer.probe == "lr_find":
        return rising
    # An extended run has more epochs than the schedule in its config.yaml.
    epochs = {"max_epochs": trainer.max_epochs} if "max_epochs" in optimizer.schedule else {}
    return build_object(optimizer.schedule, **epochs)


def build_task(
    config: RunConfig, labels: Labels, augmentation: Augmentation, clock: RunClock, choice: HardwareChoice
) -> SegmentationTask:
    """Return the network with its loss and optimizer."""
    network, factory = build_network(config), build_object(config.optimizer.factory)
    return SegmentationTask(
        network=network,
        loss=build_object(config.loss.function),
        is_nonfinite_skipped=config.trainer.on_nonfinite == "skip",
        is_sharded=config.trainer.strategy == "fsdp" and ranks.num_ranks() > 1,
        level_reduction=config.loss.level_reduction,
        labels=labels,
        optimizer=fused_where_possible(factory) if choice.is_fused else factory,
        schedule=build_schedule(config.optimizer, config.trainer),
        progress=clock.progress,
        window=build_inferer(config, network, choice.autocast_type),
        augmentation=augmentation,
        seed=config.seed,
        is_channels_last=choice.is_channels_last,
        autocast_type=choice.autocast_type,
    )


def _choose_num_workers(setting: int | str) -> int:
    """Return the number of loader processes; "auto" means none without a GPU.

    Reading a patch takes milliseconds: on a CPU that also trains, more processes only take its time.
    """
    if setting == "auto":
        return min(8, torch.get_num_threads()) if torch.cuda.is_available() else 0
    return int(setting)
