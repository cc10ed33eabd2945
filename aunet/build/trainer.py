"""Construction of Lightning's trainer, and its callbacks; their task and data come from ``task.py``."""

import logging
import os
import warnings
from collections.abc import Sequence
from pathlib import Path

from pytorch_lightning import Callback, Trainer
from pytorch_lightning.plugins.environments import ClusterEnvironment, LightningEnvironment, TorchElasticEnvironment
from pytorch_lightning.strategies import DDPStrategy, ModelParallelStrategy, Strategy
from rich.progress import Progress
from torch import nn

from aunet.attention.recorder import AttentionRecorder, ValidationImage
from aunet.build.objects import build_entry
from aunet.config.schema import AttentionConfig, DatasetFacts, RunConfig, TrainerConfig
from aunet.data.datamodule import SegmentationData
from aunet.errors import UserError
from aunet.machine import is_started_as_rank
from aunet.networks import UNet
from aunet.networks.protocols import has_softmax_gates
from aunet.networks.slice_by_slice import unwrap
from aunet.runs.run_folder import RunFolder
from aunet.tracking.tracker import Tracker
from aunet.training.callbacks.accumulation import GroupMean, count_steps
from aunet.training.callbacks.epoch_tables import EpochTables
from aunet.training.callbacks.forecast import Forecast
from aunet.training.callbacks.patience import Patience
from aunet.training.callbacks.progress import ProgressDisplay
from aunet.training.callbacks.run_clock import RunClock
from aunet.training.callbacks.weight_average import WeightAverage, WeightsBack
from aunet.training.checkpoint_files import DirectFiles
from aunet.training.hardware import HardwareChoice
from aunet.training.segmentation_task import SegmentationTask
from aunet.training.sharding import WholeForValidation
from aunet.training.time_plan import duration_in_seconds
from aunet.training.trial_steps import BatchShape
from aunet.training.validation_pace import ValidationOfStop, ValidationPace


def build_clock(trainer: TrainerConfig) -> RunClock:
    """Return the clock that measures the progress of the run."""
    steps_per_epoch = count_steps(trainer.batches_per_epoch, trainer.accumulate)
    return RunClock(trainer.max_epochs, steps_per_epoch, duration_in_seconds(trainer.max_time), trainer.validate_every)


def build_forecast(
    dataset: DatasetFacts,
    trainer: TrainerConfig,
    choice: HardwareChoice,
    validation_shapes: Sequence[Sequence[int]],
    num_ranks: int = 1,
) -> Forecast:
    """Return the forecast that is made before the first step, for one of ``num_ranks`` processes."""
    shape = build_batch_shape(dataset, num_ranks)
    return Forecast(choice, shape, trainer.accumulate, validation_shapes, trainer.max_time, trainer.patience)


def build_batch_shape(dataset: DatasetFacts, num_ranks: int) -> BatchShape:
    """Return the shape of the batches of one of ``num_ranks`` processes."""
    patches = max(1, dataset.batch_size // num_ranks)
    return BatchShape(patches, dataset.in_channels, tuple(dataset.patch_size), dataset.num_classes)


def build_trainer(
    trainer: TrainerConfig,
    callbacks: Sequence[Callback],
    choice: HardwareChoice,
    folder: Path,
    network: nn.Module,
) -> Trainer:
    """Return Lightning's trainer without its checkpoints, tables and display, which are our own."""
    is_foreign = not isinstance(unwrap(network), UNet)  # others may hold parameters that no output depends on
    _ignore_known_warnings()
    return Trainer(
        default_root_dir=folder,
        max_epochs=trainer.max_epochs,
        accelerator=trainer.accelerator,
        devices=int(os.environ["LOCAL_WORLD_SIZE"]) if is_started_as_rank() else 1,
        num_nodes=int(os.environ["GROUP_WORLD_SIZE"]) if is_started_as_rank() else 1,
        strategy=_choose_strategy(trainer.strategy, is_foreign) if is_started_as_rank() else "auto",
        plugins=[_choose_environment(), *([] if trainer.strategy == "fsdp" else [DirectFiles()])],
        sync_batchnorm=trainer.sync_batchnorm,
        use_distributed_sampler=False,
        precision=choice.lightning_precision,
        deterministic=trainer.deterministic,
        accumulate_grad_batches=trainer.accumulate,
        gradient_clip_val=trainer.gradient_clip,
        logger=False,
        callbacks=[GroupMean(), *callbacks],
        num_sanity_val_steps=0,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        log_every_n_steps=1,
    )


def _ignore_known_warnings() -> None:
    logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)
    warnings.filterwarnings("ignore", message=r"`isinstance\(treespec, LeafSpec\)` is deprecated")  # Lightning's own
    warnings.filterwarnings("ignore", message=".*does not have many workers")  # chosen in _choose_num_workers
    warnings.filterwarnings("ignore", message="`training_step` returned `None`")  # a step that is skipped
    warnings.filterwarnings("ignore", message="You defined a `validation_step` but have no")  # a probe has none
    warnings.filterwarnings("ignore", message="It is recommended to use `self.log")  # the ranks agreed before


def _choose_environment() -> ClusterEnvironment:
    """Return the environment in which Lightning finds its ranks: torchrun's, else this process alone.

    Lightning would choose by the variables of SLURM, LSF or MPI, refuse ``--ntasks=4`` for one process, and queue the
    job again on SIGUSR1.
    """
    return TorchElasticEnvironment() if is_started_as_rank() else LightningEnvironment()


def _choose_strategy(name: str, is_foreign: bool) -> Strategy:
    if name == "ddp":
        return DDPStrategy(find_unused_parameters=is_foreign)
    number = int(os.environ["WORLD_SIZE"])
    return ModelParallelStrategy(data_parallel_size=number, tensor_parallel_size=1, save_distributed_checkpoint=False)


def build_callbacks(
    config: RunConfig,
    folder: Path,
    clock: RunClock,
    data: SegmentationData,
    task: SegmentationTask,
    progress: Progress,
    tracker: Tracker | None = None,
    extended_at: int | None = None,
    own: Sequence[Callback] = (),
) -> list[Callback]:
    """Return the callbacks of the training in the order of their calls; ``extended_at`` is as in ``Patience``.

    Those of the user (``own``) precede the tables, which then have what they log, and see the weights that are
    validated.
    """
    patience, decay = config.trainer.patience, config.trainer.ema
    average = None if decay is None else WeightAverage(decay)
    recorder = build_recorder(config.attention, folder, data, task, config.dataset.patch_size, tracker)
    return [
        ValidationPace(config.trainer.validate_every),
        *([average] if average else []),
        *own,
        *([task.schedule] if isinstance(task.schedule, Callback) else []),
        clock,
        *([Patience(patience, extended_at)] if patience else []),
        ProgressDisplay(progress, clock),
        EpochTables(folder, data.cohort.labels, config.dataset.batch_size, tracker, lambda: recorder.contrasts),
        recorder,
        ValidationOfStop(),
        *([WeightsBack(average)] if average else []),
        *([WholeForValidation()] if task.is_sharded else []),
    ]


def build_own_callbacks(trainer: TrainerConfig) -> list[Callback]:
    """Return the user's callbacks, ``trainer.callbacks``.

    Raises:
        UserError: an entry does not name one of Lightning's callbacks, or two of a kind cannot be distinguished.
    """
    built: list[Callback] = []
    for number, node in enumerate(trainer.callbacks):
        key = f"trainer.callbacks[{number}]"
        found = build_entry(node)
        if not isinstance(found, Callback):
            raise UserError(
                f"{key}={node}: not a callback of Lightning. Write {{_target_: my_package.MyCallback}}, a subclass of"
                " pytorch_lightning.Callback, and its arguments."
            )
        if found.state_key in [callback.state_key for callback in built]:
            raise UserError(
                f"{key}={node}: a callback before it has the same state_key, {found.state_key!r}, under which a"
                " checkpoint keeps its state. Leave one of them out, or give their class a state_key of its own."
            )
        built.append(found)
    return built


def build_recorder(
    attention: AttentionConfig,
    folder: Path,
    data: SegmentationData,
    task: SegmentationTask,
    patch_size: Sequence[int],
    tracker: Tracker | None,
) -> AttentionRecorder:
    """Return the recorder of the coefficients of the first validation cases."""
    dataset = data.validation_cases()
    shown = [dataset[index] for index in range(min(attention.cases, len(dataset)))]
    # Softmax gates are recorded on a patch instead, which the validation does not predict.
    if not has_softmax_gates(task.network):
        task.watch(case["case_id"] for case in shown)
    return AttentionRecorder(
        RunFolder(folder).attention.path,
        [ValidationImage(case["case_id"], case["image"], case["label"].numpy(), case["spacing"]) for case in shown],
        predict=lambda network, case: task.watched_coefficients(case.case_id, case.image),
        labels=data.cohort.labels,
        patch_size=patch_size,
        max_epochs_kept=attention.max_epochs_kept,
        tracker=tracker,
    )
