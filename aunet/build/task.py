"""Construction of a training's loaders and task from a configuration."""

import math
from collections.abc import Callable, Sequence

import torch
from monai.losses.focal_loss import FocalLoss
from torch import nn
from torch.optim import Optimizer

from aunet.build.inferer import build_validation_inferer
from aunet.build.mirror_images import check_exchanges
from aunet.build.network import build_network
from aunet.build.objects import build_object
from aunet.build.store import build_store
from aunet.build.workers import batch_bytes, check_memory, choose_num_workers
from aunet.classes import Labels
from aunet.config.schema import LossConfig, OptimizerConfig, RunConfig, TargetNode, TrainerConfig
from aunet.data.cohort.case import Cohort
from aunet.data.cohort.splits import Splits
from aunet.data.datamodule import SegmentationData
from aunet.data.patches.augmentation import Augmentation
from aunet.errors import UserError
from aunet.losses.class_weights import build_weighted_loss, list_weights
from aunet.messages import did_you_mean
from aunet.networks import UNet
from aunet.networks.slice_by_slice import unwrap
from aunet.runs import ranks
from aunet.training.callbacks.run_clock import RunClock
from aunet.training.hardware import HardwareChoice, fused_where_possible
from aunet.training.schedules import rising
from aunet.training.segmentation_task import SegmentationTask


def build_data(config: RunConfig, cohort: Cohort, splits: Splits, num_ranks: int | None = None) -> SegmentationData:
    """Return the loaders of a run for this rank; ``num_ranks`` is needed if the ranks are not started yet."""
    data, augmentation = config.data, build_augmentation(config)
    num_ranks = num_ranks or ranks.num_ranks()
    check_memory(config.dataset, num_ranks)
    return SegmentationData(
        cohort=cohort,
        splits=splits,
        store=build_store(config, cohort),
        augmentation=augmentation,
        sampling=data.sampling,
        batch_size=config.dataset.batch_size,
        batches_per_epoch=config.trainer.batches_per_epoch,
        num_workers=choose_num_workers(data.num_workers, batch_bytes(config, augmentation, num_ranks), num_ranks),
        seed=config.seed,
        on_error=data.on_error,
        rank=ranks.rank(),
        num_ranks=num_ranks,
    )


def build_augmentation(config: RunConfig) -> Augmentation:
    """Return the augmentation of the training batches, which changes nothing for the overfit probe."""
    if config.trainer.probe == "overfit":
        return Augmentation(config.dataset.patch_size)
    augmentation = build_object(config.data.augmentation)
    if isinstance(augmentation, Augmentation):
        check_exchanges(augmentation.flips, config.dataset.labels, "data.augmentation.flip_axes")
    return augmentation


def build_optimizer_factory(optimizer: OptimizerConfig) -> Callable[..., Optimizer]:
    """Return the function from parameters to their optimizer; raise UserError if it would refuse its arguments."""
    factory: Callable[..., Optimizer] = build_object(optimizer.factory)
    try:
        factory([nn.Parameter(torch.zeros(1))])
    except (TypeError, ValueError) as error:
        raise UserError(
            f"optimizer.factory: {optimizer.factory['_target_']} with {_arguments(optimizer.factory)}: {error}. Correct"
            " optimizer.factory.<argument>=…"
        ) from error
    return factory


def build_schedule(optimizer: OptimizerConfig, trainer: TrainerConfig) -> Callable[[float], float]:
    """Return the function from the share of the training done to the share of the learning rate.

    Raises:
        UserError: if it refuses its arguments, or if a share of the learning rate is not a number from 0 on.
    """
    if trainer.probe == "lr_find":
        return rising
    # An extended run has more epochs than the schedule in its config.yaml.
    epochs = {"max_epochs": trainer.max_epochs} if counts_epochs(optimizer) else {}
    schedule: Callable[[float], float] = build_object(optimizer.schedule, **epochs)
    try:
        is_sound = all(0 <= schedule(progress) < math.inf for progress in (0.0, 0.5, 1.0))
    except (TypeError, ValueError, ArithmeticError) as error:
        is_sound, reason = False, f": {error}"
    else:
        reason = " has a share of the learning rate that is not a number from 0 on"
    if not is_sound:
        raise UserError(
            f"optimizer.schedule: {optimizer.schedule['_target_']} with {_arguments(optimizer.schedule)}{reason}."
            " Correct optimizer.schedule.<argument>=…"
        )
    return schedule


def counts_epochs(optimizer: OptimizerConfig) -> bool:
    """Return whether the schedule counts epochs, however many of them a limit of time leaves."""
    return "max_epochs" in optimizer.schedule


def _arguments(node: TargetNode) -> str:
    return ", ".join(f"{name}={value}" for name, value in node.items() if not name.startswith("_")) or "no arguments"


def build_task(
    config: RunConfig, labels: Labels, augmentation: Augmentation, clock: RunClock, choice: HardwareChoice
) -> SegmentationTask:
    """Return the network with its loss and optimizer."""
    network, factory = build_network(config), build_optimizer_factory(config.optimizer)
    check_statistics(network, config)
    freeze_parts(network, config.trainer.freeze)
    return SegmentationTask(
        network=network,
        loss=build_loss(config.loss, labels),
        region_weights=build_region_weights(config.loss, labels),
        is_nonfinite_skipped=config.trainer.on_nonfinite == "skip",
        is_sharded=config.trainer.strategy == "fsdp" and ranks.num_ranks() > 1,
        level_reduction=config.loss.level_reduction,
        labels=labels,
        optimizer=fused_where_possible(factory) if choice.is_fused else factory,
        schedule=build_schedule(config.optimizer, config.trainer),
        progress=clock.share_of_epochs if counts_epochs(config.optimizer) else clock.progress,
        inferer=build_validation_inferer(config, network, choice.autocast_type),
        augmentation=augmentation,
        seed=config.seed,
        is_channels_last=choice.is_channels_last,
        autocast_type=choice.autocast_type,
    )


def build_loss(loss: LossConfig, labels: Labels) -> nn.Module:
    """Return the loss, with the weights of the classes if they are set; of regions it is that of one region.

    Raises:
        UserError: the weights do not fit the classes or the loss, or the loss does not fit regions.
    """
    if "weight" in loss.function:
        raise UserError("loss.function.weight: write loss.class_weights=[1,2,…], which fits every loss, instead.")
    if labels.regions:
        return _check_for_regions(build_object(loss.function))
    if loss.class_weights is None:
        return build_object(loss.function)
    make: Callable[..., nn.Module] = build_object(loss.function, _partial_=True)
    return build_weighted_loss(make, list_weights(loss.class_weights, labels.outputs))


def build_region_weights(loss: LossConfig, labels: Labels) -> list[float] | None:
    """Return the factor of each region's loss; None without ``loss.class_weights``, and for exclusive classes.

    Raises:
        UserError: the weights do not fit the regions.
    """
    if not labels.regions or loss.class_weights is None:
        return None
    return list_weights(loss.class_weights, labels.outputs)


def _check_for_regions(loss: nn.Module) -> nn.Module:
    """Return ``loss``; raise UserError if it takes the rest beside a region by a sigmoid of its own."""
    if any(isinstance(part, FocalLoss) and part.include_background and not part.use_softmax for part in loss.modules()):
        raise UserError(
            "loss.function.include_background=true: this loss has a sigmoid for each class, and a region of"
            " data.target_regions has none for the voxels outside it. Set loss.function.include_background=false."
        )
    return loss


def check_statistics(network: nn.Module, config: RunConfig) -> None:
    """Raise UserError if a norm of our networks would have a single value per channel, at the coarsest level."""
    unet, facts = unwrap(network), config.dataset
    if not isinstance(unet, UNet) or unet.layers.norm == "group":
        return
    num_ranks = ranks.num_ranks()
    patches = facts.batch_size if config.trainer.sync_batchnorm else max(1, facts.batch_size // num_ranks)
    sides = zip(facts.patch_size, unet.size_multiple, strict=False)  # a 2D network takes slices one voxel thick
    voxels = math.prod(length // unit for length, unit in sides)
    if voxels * (patches if unet.layers.norm == "batch" else 1) > 1:
        return
    of_ranks = f" on each of {num_ranks} processes" if num_ranks > 1 else ""
    larger = [2 * length if length > 1 else 1 for length in facts.patch_size]
    raise UserError(
        f"data.patch_size={list(facts.patch_size)}: with data.batch_size={facts.batch_size}{of_ranks} the coarsest"
        f" level of model={config.model.name} has a single voxel, of which norm={unet.layers.norm} has no statistics."
        f" Set data.patch_size={larger}, or model.network.norm=group."
    )


def freeze_parts(network: nn.Module, parts: Sequence[str]) -> None:
    """Exclude from the training the parameters whose names begin with one of ``parts``, as in ``encoder.levels``.

    Raises:
        UserError: a part has no parameter, or nothing is left to train.
    """
    bare = unwrap(network)
    for part in parts:
        frozen = [value for name, value in bare.named_parameters() if f"{name}.".startswith(f"{part}.")]
        if not frozen:
            known = [name for name, _ in bare.named_modules() if name]
            raise UserError(
                f"trainer.freeze: {part}: the network has no such part.{did_you_mean(part, known)} Its parts are"
                f" {', '.join(name for name in known if '.' not in name)}."
            )
        for parameter in frozen:
            parameter.requires_grad_(False)
    if parts and not any(parameter.requires_grad for parameter in bare.parameters()):
        raise UserError(f"trainer.freeze={list(parts)}: nothing is left to train. Leave one part out.")
