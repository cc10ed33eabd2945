"""The three parts of a run: training, scoring of the test cases, report."""

import logging
import time
from pathlib import Path

import pandas as pd
import torch
import yaml
from pytorch_lightning.loggers import Logger
from torch import nn

from aunet.atomic_files import replaced_atomically, write_json, write_text
from aunet.build import (
    Settings,
    build_callbacks,
    build_clock,
    build_data,
    build_digests,
    build_splits,
    build_task,
    build_trainer,
    choose_hardware,
    load_run,
)
from aunet.data.case import Cohort
from aunet.data.fingerprint import dataset_fingerprint
from aunet.data.split_file import read_splits
from aunet.data.splits import Splits
from aunet.errors import UserError
from aunet.metrics.case_scores import summary_as_mapping
from aunet.reporting.html_report import build_report
from aunet.reporting.tables import score_table, table_console
from aunet.training.checkpoints import Checkpoints
from aunet.training.peak_memory import peak_memory_bytes
from aunet.training.progress import run_progress
from aunet.training.ranks import first_rank_first, rank
from aunet.training.run_record import RunRecord
from aunet.training.scoring import score_test_cases
from aunet.training.segmentation_task import NonFiniteLossError
from aunet.training.trackers import finish_wandb, wandb_logger

_log = logging.getLogger(__name__)


def train_run(settings: Settings, cohort: Cohort, folder: Path, record: RunRecord) -> Splits:
    """Train until the epochs or the time are used up; a run that was begun before goes on where it stood."""
    start = time.monotonic()
    splits = _splits(settings, cohort, folder)
    data = build_data(settings, cohort, splits)
    choice, clock = choose_hardware(settings), build_clock(settings)
    _log.info("Computing in %s", choice.reason)
    task = build_task(settings, data, clock, choice)
    if rank() == 0:  # before the record: a folder that has one can be resumed
        write_json(folder / "splits.json", splits.as_dict())
        write_text(folder / "config.yaml", yaml.safe_dump(settings, sort_keys=False))
    _start_record(settings, cohort, task.network, record)
    logger = _logger(settings, folder) if rank() == 0 else None
    checkpoints = Checkpoints(folder / "checkpoints", settings["trainer"]["checkpoint_minutes"])
    try:
        with first_rank_first():
            data.setup("fit")
        splits = _without_skipped(splits, data.splits, folder)
        prepared = time.monotonic()
        with run_progress() as progress:
            callbacks = build_callbacks(settings, folder, clock, data, task, progress, logger)
            trainer = build_trainer(settings, [*callbacks, checkpoints], logger, choice, folder, task.network)
            trainer.fit(task, datamodule=data, ckpt_path=checkpoints.newest(), weights_only=True)
    except NonFiniteLossError as error:
        raise _saved_with_batch(error, folder) from None
    finally:
        finish_wandb(logger)
    seconds = {"prepare": prepared - start, "train": clock.seconds}
    record.update(durations=_rounded(seconds), best_epoch=checkpoints.best_epoch, peak_memory_mib=_peak_mib())
    return splits


def score_run(settings: Settings, cohort: Cohort, splits: Splits, folder: Path, record: RunRecord) -> pd.DataFrame:
    """Predict and score the test cases with the best checkpoint."""
    start = time.monotonic()
    by_id = {case.case_id: case for case in cohort.cases}
    predictor = load_run(folder, trusted_modules=settings["trusted_modules"])
    with run_progress() as progress:
        summary = score_test_cases(
            predictor,
            [by_id[case_id] for case_id in splits.test],
            cohort,
            folder / "test",
            progress,
            on_error=settings["data"]["on_error"],
        )
    durations = record.facts["durations"] | _rounded({"test": time.monotonic() - start})
    record.update(scores=summary_as_mapping(summary), durations=durations, peak_memory_mib=_peak_mib())
    return summary


def report_run(summary: pd.DataFrame, cohort: Cohort, folder: Path) -> None:
    """Print the score table and write the report."""
    table_console().print(score_table(summary, "Test scores, best checkpoint", is_phantom=cohort.is_phantom))
    _log.info("Report: %s", build_report(folder))


def _splits(settings: Settings, cohort: Cohort, folder: Path) -> Splits:
    """The splits the run began with, else new ones."""
    file, split = folder / "splits.json", settings["data"]["split"]
    is_begun = file.is_file()
    splits = (
        read_splits(file, cohort.cases, None, split["val"], split["seed"])
        if is_begun
        else build_splits(settings, cohort)
    )
    _log.info("Cases: %s", _counts(splits, len(cohort.cases)))
    return splits


def _counts(splits: Splits, num_cases: int) -> str:
    train, val, test = (len(part) for part in (splits.train, splits.val, splits.test))
    unused = num_cases - train - val - test
    return f"{train} train, {val} validate, {test} test" + (
        f"; {unused} of {num_cases} are in no part" if unused else ""
    )


def _without_skipped(splits: Splits, usable: Splits, folder: Path) -> Splits:
    """The splits of the cases that could be prepared, which are then those the run's folder tells."""
    if usable != splits and rank() == 0:
        write_json(folder / "splits.json", usable.as_dict())
    return usable


def _start_record(settings: Settings, cohort: Cohort, network: nn.Module, record: RunRecord) -> None:
    fingerprint = dataset_fingerprint(cohort.cases, build_digests(settings))
    if record.facts.get("data_fingerprint", fingerprint) != fingerprint:
        raise UserError(
            f"data.root={settings['data']['root']}: its files have changed since this run began (fingerprint"
            f" {record.facts['data_fingerprint']} then, {fingerprint} now). Restore them, or start another run."
        )
    record.start(
        data=settings["data"]["name"],
        is_phantom=cohort.is_phantom,
        data_description=cohort.description,
        data_fingerprint=fingerprint,
        model=settings["model"]["name"],
        seed=settings["seed"],
        parameters=sum(parameter.numel() for parameter in network.parameters()),
        class_names=settings["dataset"]["class_names"],
        patch_size=settings["dataset"]["patch_size"],
        repeatable=settings["trainer"]["max_time"] is None,
    )


def _saved_with_batch(error: NonFiniteLossError, folder: Path) -> UserError:
    """Keep the batch whose loss is not finite, and say what can be done."""
    path = folder / "failed_batch.pt"
    with replaced_atomically(path) as temporary:
        torch.save({"step": error.step, **error.batch}, temporary)
    return UserError(
        f"{folder}: {error}. The batch, before augmentation, is in {path.name}; the checkpoint before it stays. Look at"
        " these cases, lower optimizer.factory.lr, set trainer.precision=float32, or go past it in another run with"
        " trainer.on_nonfinite=skip."
    )


def _logger(settings: Settings, folder: Path) -> Logger | None:
    if settings["logger"]["name"] != "wandb":
        return None
    return wandb_logger(folder, settings["logger"]["project"], settings["data"]["name"], settings)


def _rounded(seconds: dict[str, float]) -> dict[str, float]:
    return {name: round(value, 1) for name, value in seconds.items()}


def _peak_mib() -> int:
    return round(peak_memory_bytes() / 2**20)
