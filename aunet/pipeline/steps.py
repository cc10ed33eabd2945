"""The three parts of a run: training, scoring of the test cases, report."""

import logging
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from pytorch_lightning import Trainer
from torch import nn

from aunet.build.data import build_splits
from aunet.build.memory import check_step_memory
from aunet.build.model import choose_hardware, load_run, training_device
from aunet.build.preprocessing import build_digests, fill_in_intensities
from aunet.build.start import build_start, build_test_start, load_start_weights
from aunet.build.task import build_data, build_task
from aunet.build.trainer import build_callbacks, build_clock, build_forecast, build_own_callbacks, build_trainer
from aunet.config.draft import write_run_config
from aunet.config.schema import DataConfig, RunConfig, TrainerConfig
from aunet.data.cohort.case import Case, Cohort
from aunet.data.cohort.split_file import read_splits, write_splits
from aunet.data.cohort.splits import Splits
from aunet.data.datamodule import SegmentationData
from aunet.evaluation.test_scores import score_test_cases
from aunet.evaluation.viewer_cases import store_viewer_cases
from aunet.machine import peak_memory_bytes
from aunet.metrics.case_scores import summary_as_mapping
from aunet.networks.inspection.cost import forward_gflop
from aunet.pipeline.choose_postprocessing import choose_postprocessing
from aunet.pipeline.data_identity import check_same_data, foreign_facts, measure_training_range
from aunet.pipeline.region import join_facts, record_missed_tests, record_uncropped, take_in_region
from aunet.process_settings import describe_process
from aunet.reporting.report import build_report
from aunet.reporting.tables import score_table
from aunet.runs.ranks import first_rank_first, num_ranks, rank
from aunet.runs.run_folder import RunFolder
from aunet.runs.run_record import RunRecord
from aunet.terminal import run_progress, table_console
from aunet.tracking.tracker import Tracker
from aunet.tracking.tracker_group import TrackerGroup
from aunet.training.callbacks.checkpoints import Checkpoints
from aunet.training.callbacks.forecast import ForecastLine
from aunet.training.callbacks.run_clock import RunClock
from aunet.training.hardware import HardwareChoice, set_tf32
from aunet.training.init_overlap import check_overlap, note_on_validation
from aunet.training.nonfinite_loss import NonFiniteLossError, save_failed_batch
from aunet.training.segmentation_task import SegmentationTask

_log = logging.getLogger(__name__)


def train_run(
    config: RunConfig, cohort: Cohort, folder: Path, record: RunRecord, tracker: TrackerGroup | None
) -> Splits:
    """Train until the epochs, the time or the patience run out; continue an earlier run from its newest checkpoint."""
    start = time.monotonic()
    check_same_data(config.data, cohort, record)
    own = build_own_callbacks(config.trainer)
    run = RunFolder(folder)
    is_begun = run.splits.is_file()
    splits = _read_or_build_splits(config.data, cohort, folder)
    config = fill_in_intensities(config, cohort, splits, is_begun=is_begun)
    cropped, region_facts = take_in_region(config, cohort, splits, folder, record)
    data = build_data(cropped, cohort, splits)
    clock, choice = build_clock(config.trainer), choose_for_run(config.trainer, record)
    task = build_task(config, cohort.labels, data.augmentation, clock, choice)
    check_step_memory(config.dataset, task, choice)
    checkpoints = Checkpoints(run.checkpoints.path, config.trainer.checkpoint_minutes)
    newest, facts = checkpoints.newest(), dict[str, object]()
    if newest is None and config.init is not None:
        facts = _start_from(config.init, config, cohort, splits, task.network)
    facts = join_facts(join_facts(foreign_facts(config.data, cohort, record), region_facts), facts)
    facts["computing"] = choice.as_record() | {"compiled": _compile(config, task, choice, record)}
    training = set(splits.train)
    facts["training_range"] = measure_training_range([case for case in cohort.cases if case.case_id in training])
    facts["flips"] = data.augmentation.flips.as_record()
    _log.info(data.augmentation.flips.describe())
    if rank() == 0:  # before the record: a folder with a record can be resumed
        write_splits(run.splits, splits, cohort.cases, build_digests(config.data))
        write_run_config(config, folder)
    start_record(config, cohort, task.network, record, facts)
    if tracker:
        tracker.start()
    try:
        with first_rank_first():
            data.setup("fit")
        if data.splits != splits and rank() == 0:
            write_splits(run.splits, data.splits, cohort.cases, build_digests(config.data))
        splits = data.splits
        if config.data.region is not None:
            record_uncropped(data, record)
        _warn_of_absent_classes(data)
        prepared = time.monotonic()
        with run_progress() as progress:
            callbacks = build_callbacks(
                config, folder, clock, data, task, progress, tracker, record.facts.get("extended_at_step"), own
            )
            forecast = build_forecast(config.dataset, config.trainer, choice, data.validation_shapes())
            line = ForecastLine(forecast, clock, lambda speed: record.update(speed=speed))
            trainer = build_trainer(config.trainer, [*callbacks, checkpoints, line], choice, folder, task.network)
            trainer.fit(task, datamodule=data, ckpt_path=newest, weights_only=True)
    except NonFiniteLossError as error:
        raise save_failed_batch(error, folder) from None
    seconds = {"prepare": prepared - start, "train": clock.seconds}
    record.update(
        durations=_round(seconds),
        best_epoch=checkpoints.best_epoch,
        peak_memory_mib=_measure_peak_mib(),
        **_describe_end(trainer, clock),
    )
    return splits


def _warn_of_absent_classes(data: SegmentationData) -> None:
    remedy = "Draw other parts (data.split.seed, data.split.stratify=true) or name them in a file (data.split.file)."
    unlearnt, absent = data.absent_classes(data.splits.train), data.absent_classes(data.splits.val)
    if unlearnt:
        nowhere = "If no label file holds their values, correct data.classes: aunet doctor counts them. "
        _log.warning(
            "Classes: no training case has %s, so the network cannot learn them and scores for them mean nothing. %s%s",
            *(", ".join(unlearnt), nowhere if set(unlearnt) <= set(absent) else "", remedy),
        )
    if len(absent) == len(data.cohort.labels.foreground):
        _log.warning(
            "Classes: no validation case has any class, so no Dice is defined: the last epoch will count as the best,"
            " and trainer.patience will not end the training. %s",
            remedy,
        )
    elif absent:
        _log.warning(
            "Classes: no validation case has %s, so the best epoch is chosen by the other classes. %s",
            ", ".join(absent),
            remedy,
        )


def _describe_end(trainer: Trainer, clock: RunClock) -> dict[str, object]:
    """Return the epochs (the last may be cut short), the optimizer steps, and the setting that ended the training."""
    progress: Any = trainer.fit_loop.epoch_progress.current  # typed as if it lacked ``processed``
    epochs = progress.processed
    is_complete = epochs >= (trainer.max_epochs or 0)
    ended_by = "max_epochs" if is_complete else "max_time" if clock.is_over else "patience"
    return {"epochs": epochs, "steps": trainer.global_step, "ended_by": ended_by}


def score_run(
    config: RunConfig,
    cohort: Cohort,
    splits: Splits,
    folder: Path,
    record: RunRecord,
    tracker: Tracker | None,
) -> pd.DataFrame:
    """Predict and score the test cases with the best checkpoint."""
    start = time.monotonic()
    by_id = {case.case_id: case for case in cohort.cases}
    device = "cpu" if config.trainer.accelerator == "cpu" else None
    _choose_postprocessing(config, cohort, [by_id[case_id] for case_id in splits.val], folder, device)
    predictor = load_run(folder, device, config.trusted_modules)
    cases = [by_id[case_id] for case_id in splits.test]
    with run_progress() as progress:
        test = RunFolder(folder).test
        summary = score_test_cases(predictor, cases, cohort, test.path, progress, on_error=config.data.on_error)
    record_missed_tests(predictor.region, cases, record)
    if rank() == 0:
        store_viewer_cases(predictor, by_id, cohort, test)
    durations = record.facts["durations"] | _round({"test": time.monotonic() - start})
    record.update(scores=summary_as_mapping(summary), durations=durations, peak_memory_mib=_measure_peak_mib())
    if tracker:
        _show_scores(tracker, config, summary, splits, folder)
    return summary


def _choose_postprocessing(
    config: RunConfig, cohort: Cohort, cases: Sequence[Case], folder: Path, device: str | None
) -> None:
    """Choose the post-processing if it is set, or if it was chosen for weights that an extension has changed since."""
    if not (config.inference.choose_postprocessing or RunFolder(folder).postprocessing.is_file()):
        return
    predictor = load_run(folder, device, config.trusted_modules, {"choose_postprocessing": False})
    with run_progress() as progress:
        choose_postprocessing(predictor, cases, cohort, folder, progress, config.data.on_error)


def _show_scores(tracker: Tracker, config: RunConfig, summary: pd.DataFrame, splits: Splits, folder: Path) -> None:
    run = RunFolder(folder)
    for case_id in splits.test:
        path = run.test.picture(case_id)
        if path.is_file():  # a skipped case has none
            tracker.picture(f"test/{case_id}", path)
    tracker.table("test/scores", summary)
    tracker.table("test/case_scores", pd.read_csv(run.test.case_scores))
    if config.logger.checkpoints == "best":
        tracker.keep_file("best", run.checkpoints.best)


def report_run(summary: pd.DataFrame, cohort: Cohort, folder: Path, caveats: Sequence[str]) -> None:
    """Print the score table and write the report."""
    title = "Test scores, best checkpoint"
    table_console().print(score_table(summary, title, is_phantom=cohort.is_phantom, caveats=caveats))
    _log.info("Report: %s", build_report(folder))


def _read_or_build_splits(data: DataConfig, cohort: Cohort, folder: Path) -> Splits:
    """Return the splits that the run began with, or new ones."""
    file, split = RunFolder(folder).splits, data.split
    is_begun = file.is_file()
    splits = read_splits(file, cohort.cases, None, split.val, split.seed) if is_begun else build_splits(data, cohort)
    _log.info("Cases: %s", _count(splits, len(cohort.cases)))
    return splits


def choose_for_run(trainer: TrainerConfig, record: RunRecord) -> HardwareChoice:
    """Choose precision, layout and TF32: as the run began, or for a new run as the settings and the machine allow."""
    choice = choose_hardware(trainer)
    recorded = {key: value for key, value in record.facts.get("computing", {}).items() if key != "compiled"}
    choice = choice.going_on_from(recorded) if recorded else choice
    set_tf32(choice.is_tf32)
    _log.info("Computing in %s", choice.description)
    if choice.device == "cpu":
        _log.info("Processor: %s", describe_process())
    return choice


def _start_from(init: str, config: RunConfig, cohort: Cohort, splits: Splits, network: nn.Module) -> dict[str, object]:
    """Load the weights of ``init`` and return facts for the record; raise UserError if they have seen test cases."""
    start = build_start(config.data, init, cohort, splits)
    tested = build_test_start(config.data, init, cohort, splits)
    caveats = check_overlap(tested, is_allowed=config.init_overlap == "allow")
    transfer = load_start_weights(config, init, network)
    if rank() == 0:
        transfer.log()
        note = note_on_validation(start)
        for sentence in (*caveats, *([note] if note else [])):
            _log.warning("init=%s: %s", start.source, sentence)
    source = {"source": str(Path(transfer.source).absolute())}
    return {"init": transfer.as_record() | source, **({"caveats": caveats} if caveats else {})}


def _compile(config: RunConfig, task: SegmentationTask, choice: HardwareChoice, record: RunRecord) -> bool:
    """Compile the training's forward pass if possible and if the run began so (a new run: if set); return success."""
    began = record.facts.get("computing", {}).get("compiled", config.trainer.compile)
    if not began:
        return False
    task.to(training_device(choice))
    facts = config.dataset
    size = (facts.batch_size // num_ranks(), facts.in_channels, *facts.patch_size)
    return task.compile_forward(size)


def _count(splits: Splits, num_cases: int) -> str:
    train, val, test = (len(part) for part in (splits.train, splits.val, splits.test))
    unused = num_cases - train - val - test
    return f"{train} train, {val} validate, {test} test" + (
        f"; {unused} of {num_cases} are in no part" if unused else ""
    )


def start_record(
    config: RunConfig, cohort: Cohort, network: nn.Module, record: RunRecord, facts: dict[str, object]
) -> None:
    """Write the run's known facts and ``facts``; raise UserError if its data have changed since it began."""
    identity = check_same_data(config.data, cohort, record)
    record.start(
        data=config.data.name,
        is_phantom=cohort.is_phantom,
        data_description=cohort.description,
        **identity,
        model=config.model.name,
        seed=config.seed,
        parameters=sum(parameter.numel() for parameter in network.parameters()),
        gflop=forward_gflop(network, config.dataset.in_channels, config.dataset.patch_size),
        class_names=config.dataset.class_names,
        **({"regions": config.dataset.regions} if config.dataset.regions else {}),
        patch_size=config.dataset.patch_size,
        repeatable=config.trainer.max_time is None,
        **facts,
    )


def _round(seconds: dict[str, float]) -> dict[str, float]:
    return {name: round(value, 1) for name, value in seconds.items()}


def _measure_peak_mib() -> int:
    return round(peak_memory_bytes() / 2**20)
