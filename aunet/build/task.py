"""Construction of a training's loaders and task from a configuration."""

from collections.abc import Callable

import torch

from aunet.build.data import Settings, build_network, build_object, build_window
from aunet.build.preprocessing import build_store
from aunet.classes import Labels
from aunet.data.cohort.case import Cohort
from aunet.data.cohort.splits import Splits
from aunet.data.datamodule import SegmentationData
from aunet.data.patches.augmentation import Augmentation
from aunet.runs import ranks
from aunet.training.callbacks.run_clock import RunClock
from aunet.training.hardware import HardwareChoice, fused_where_possible
from aunet.training.schedules import rising
from aunet.training.segmentation_task import SegmentationTask


def build_data(settings: Settings, cohort: Cohort, splits: Splits, num_ranks: int | None = None) -> SegmentationData:
    """Return the loaders of a run for this rank; ``num_ranks`` is needed if the ranks are not started yet."""
    data, facts = settings["data"], settings["dataset"]
    return SegmentationData(
        cohort=cohort,
        splits=splits,
        store=build_store(settings, cohort),
        augmentation=build_augmentation(settings),
        sampling=data["sampling"],
        batch_size=facts["batch_size"],
        batches_per_epoch=settings["trainer"]["batches_per_epoch"],
        num_workers=_num_workers(data["num_workers"]),
        seed=settings["seed"],
        on_error=data["on_error"],
        rank=ranks.rank(),
        num_ranks=num_ranks or ranks.num_ranks(),
    )


def build_augmentation(settings: Settings) -> Augmentation:
    """Return the augmentation of the training batches, which changes nothing for the overfit probe."""
    if settings["trainer"]["probe"] == "overfit":
        return Augmentation(settings["dataset"]["patch_size"])
    return build_object(settings["data"]["augmentation"])


def build_schedule(settings: Settings) -> Callable[[float], float]:
    """Return the function from the share of the training done to the share of the learning rate."""
    if settings["trainer"]["probe"] == "lr_find":
        return rising
    schedule = settings["optimizer"]["schedule"]
    # An extended run has more epochs than the schedule in its config.yaml.
    epochs = {"max_epochs": settings["trainer"]["max_epochs"]} if "max_epochs" in schedule else {}
    return build_object(schedule, **epochs)


def build_task(
    settings: Settings, labels: Labels, augmentation: Augmentation, clock: RunClock, choice: HardwareChoice
) -> SegmentationTask:
    """Return the network with its loss and optimizer."""
    network, optimizer = build_network(settings), settings["optimizer"]
    factory = build_object(optimizer["factory"])
    return SegmentationTask(
        network=network,
        loss=build_object(settings["loss"]["function"]),
        is_nonfinite_skipped=settings["trainer"]["on_nonfinite"] == "skip",
        is_sharded=settings["trainer"]["strategy"] == "fsdp" and ranks.num_ranks() > 1,
        level_reduction=settings["loss"]["level_reduction"],
        labels=labels,
        optimizer=fused_where_possible(factory) if choice.is_fused else factory,
        schedule=build_schedule(settings),
        progress=clock.progress,
        window=build_window(settings, network),
        augmentation=augmentation,
        seed=settings["seed"],
        is_channels_last=choice.is_channels_last,
        autocast_type=choice.autocast_type,
    )


def _num_workers(setting: int | str) -> int:
    """Return the number of loader processes; "auto" means none without a GPU.

    Reading a patch takes milliseconds: on a CPU that also trains, more processes only take its time.
    """
    if setting == "auto":
        return min(8, torch.get_num_threads()) if torch.cuda.is_available() else 0
    return int(setting)
