"""The probes ``trainer=overfit``, ``lr_find`` and ``profile``: instead of a run, an answer and a table in minutes."""

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import pandas as pd
from pytorch_lightning import Callback, Trainer
from rich.table import Table

from aunet.build.data import build_splits
from aunet.build.model import load_run
from aunet.build.preprocessing import build_digests, fill_in_intensities
from aunet.build.store import keep_region
from aunet.build.task import build_data, build_task
from aunet.build.trainer import build_callbacks, build_clock, build_trainer
from aunet.config.draft import write_run_config
from aunet.config.schema import RunConfig
from aunet.data.cohort.case import Cohort
from aunet.data.cohort.split_file import write_splits
from aunet.data.datamodule import SegmentationData
from aunet.errors import UserError
from aunet.evaluation.test_scores import score_test_cases
from aunet.files import write_text
from aunet.pipeline.steps import choose_for_run, start_record
from aunet.reporting.curves import draw_range_test
from aunet.reporting.report import build_report
from aunet.runs.ranks import num_ranks
from aunet.runs.run_folder import RunFolder
from aunet.runs.run_record import RunRecord
from aunet.terminal import run_progress, table_console
from aunet.tracking.tracker_group import TrackerGroup
from aunet.training.callbacks.checkpoints import Checkpoints
from aunet.training.hardware import HardwareChoice
from aunet.training.nonfinite_loss import NonFiniteLossError, save_failed_batch
from aunet.training.probes.learning_rate import LearningRateTest, smooth, suggest_learning_rate
from aunet.training.probes.overfit import ENOUGH, OverfitCheck, batch_with_most_classes, repeated
from aunet.training.probes.time_profile import EPOCHS_NEEDED, FIXED_PARTS, PartEnd, TimeProfile
from aunet.training.segmentation_task import SegmentationTask

_log = logging.getLogger(__name__)
_OPERATORS_SHOWN = 12


@dataclass(frozen=True)
class Probe:
    """The parts of a probe."""

    config: RunConfig
    folder: Path
    data: SegmentationData
    task: SegmentationTask
    choice: HardwareChoice
    tracker: TrackerGroup | None = None

    def trainer(self, callbacks: Sequence[Callback]) -> Trainer:
        """Return a trainer with ``callbacks``, without which it shows no progress bar and saves nothing."""
        return build_trainer(self.config.trainer, callbacks, self.choice, self.folder, self.task.network)


def run_probe(
    config: RunConfig, cohort: Cohort, folder: Path, record: RunRecord, tracker: TrackerGroup | None = None
) -> None:
    """Run the probe ``trainer.probe``; log its answer, write it below ``folder`` and keep it in the run's record."""
    if num_ranks() > 1:
        raise UserError(f"trainer={config.trainer.name}: one process answers. Set trainer.devices=1.")
    splits = build_splits(config.data, cohort)
    config = fill_in_intensities(config, cohort, splits)
    data = build_data(keep_region(config, folder), cohort, splits)
    choice = choose_for_run(config.trainer, record)
    task = build_task(config, cohort.labels, data.augmentation, build_clock(config.trainer), choice)
    write_splits(RunFolder(folder).splits, splits, cohort.cases, build_digests(config.data))
    write_run_config(config, folder)
    start_record(config, cohort, task.network, record, {"computing": choice.as_record()})
    data.setup("fit")
    answer = _PROBES[str(config.trainer.probe)](Probe(config, folder, data, task, choice, tracker))
    record.update(**answer)


def _overfit(probe: Probe) -> dict[str, object]:
    labels, trainer = probe.data.cohort.labels, probe.config.trainer
    batch = batch_with_most_classes(probe.data.train_dataloader(), labels.num_classes)
    check = OverfitCheck(batch, labels)
    try:
        probe.trainer([check]).fit(probe.task, repeated(batch, trainer.batches_per_epoch))
    except NonFiniteLossError as error:
        raise save_failed_batch(error, probe.folder) from None
    table = pd.DataFrame(check.rows)
    write_text(probe.folder / "overfit.csv", table.to_csv(index=False))
    scores = {name.removeprefix("dice/"): value for name, value in check.rows[-1].items() if name.startswith("dice/")}
    told = ", ".join(f"{name} {value:.3f}" for name, value in scores.items())
    steps = check.rows[-1]["step"]
    if check.is_reached:
        _log.info("Overfit: after %d steps the Dice on the batch is above %s (%s).", steps, ENOUGH, told)
    else:
        _log.warning(
            "Overfit: after %d steps the Dice on the batch is not above %s (%s). Look at the labels, try"
            " trainer=lr_find for another optimizer.factory.lr, or give trainer.max_epochs more.",
            steps,
            ENOUGH,
            told,
        )
    return {"overfit": {"is_reached": check.is_reached, "steps": steps, "dice": scores}}


def _find_learning_rate(probe: Probe) -> dict[str, object]:
    test = LearningRateTest()
    try:
        probe.trainer([test]).fit(probe.task, probe.data.train_dataloader())
    except NonFiniteLossError as error:
        if not test.losses:
            raise save_failed_batch(error, probe.folder) from None
        _log.info("The loss is no longer finite at step %d: the test ends there.", len(test.losses))
    smoothed = smooth(test.losses)
    suggestion = suggest_learning_rate(test.rates, test.losses)
    table = pd.DataFrame({"learning_rate": test.rates, "loss": test.losses, "smoothed_loss": smoothed})
    write_text(probe.folder / "learning_rate.csv", table.to_csv(index=False))
    curve = probe.folder / "learning_rate.png"
    draw_range_test(test.rates, test.losses, list(smoothed), suggestion, curve)
    if suggestion is None:
        _log.warning(
            "The loss did not fall at any learning rate between %g and %g: %s", test.rates[0], test.rates[-1], curve
        )
    else:
        _log.info("The loss fell fastest at optimizer.factory.lr=%g; look at %s", suggestion, curve)
    return {"learning_rate": suggestion}


def _profile(probe: Probe) -> dict[str, object]:
    if (number := probe.config.trainer.max_epochs) < EPOCHS_NEEDED:
        raise UserError(
            f"trainer.max_epochs={number}: trainer=profile needs {EPOCHS_NEEDED} epochs. Leave the key out."
        )
    times, clock = TimeProfile(), build_clock(probe.config.trainer)
    if probe.tracker:
        probe.tracker.start()
    with run_progress() as progress:
        callbacks = build_callbacks(probe.config, probe.folder, clock, probe.data, probe.task, progress, probe.tracker)
        tables, saving = PartEnd(times, "tables and tracker"), PartEnd(times, "checkpoints")
        checkpoints = Checkpoints(RunFolder(probe.folder).checkpoints.path)
        probe.trainer([times, *callbacks, tables, checkpoints, saving]).fit(probe.task, datamodule=probe.data)
    epochs, steps = probe.config.data.max_epochs, probe.config.data.batches_per_epoch
    in_run = times.run_parts(epochs, steps, _end_of_run(probe))
    parts, operators = times.parts(), times.operators()
    for name, rows in (("profile", parts), ("profile_operators", operators), ("profile_run", in_run)):
        write_text(probe.folder / f"{name}.csv", pd.DataFrame(rows).to_csv(index=False))
    _print("Where an epoch's time goes", parts)
    _print("Operators of the training steps", operators[:_OPERATORS_SHOWN])
    _print(f"Where a run's time goes: {epochs} epochs of {steps} steps, extrapolated", in_run)
    fixed = sum(float(row["share"]) for row in in_run if row["part"] in FIXED_PARTS)
    _log.info("Start-up, validation, recording, logging and checkpoints: %.1f %% of such a run.", 100 * fixed)
    _log.info("The tables in full: %s", probe.folder / "profile*.csv")
    return {"profile": {row["part"]: row["share"] for row in parts}, "profile_run": {"fixed_share": round(fixed, 4)}}


def _end_of_run(probe: Probe) -> dict[str, float]:
    """Return the seconds of the test, extrapolated from two cases, the report and the tracker's end."""
    start = time.perf_counter()
    device = "cpu" if probe.config.trainer.accelerator == "cpu" else None
    predictor = load_run(probe.folder, device, probe.config.trusted_modules)
    marks = [time.perf_counter()]
    cases = probe.data.cases(probe.data.splits.test)
    with TemporaryDirectory() as folder, run_progress() as progress:
        for case in cases[:2]:
            score_test_cases(predictor, [case], probe.data.cohort, Path(folder), progress)
            marks.append(time.perf_counter())
    others = (len(cases) - len(marks) + 1) * (marks[-1] - marks[-2]) if cases else 0.0
    scored = time.perf_counter()
    build_report(probe.folder)
    reported = time.perf_counter()
    if probe.tracker:
        probe.tracker.finish()
    finished = time.perf_counter()
    test = marks[-1] - start + others
    return {"test": test, "report": reported - scored, "end of the tracker": finished - reported}


def _print(title: str, rows: Sequence[Mapping[str, object]]) -> None:
    table = Table(*(name.replace("_", " ") for name in rows[0]), title=title)
    for row in rows:
        table.add_row(*(f"{value:.1%}" if name == "share" else str(value) for name, value in row.items()))
    table_console().print(table)


_PROBES: dict[str, Callable[[Probe], dict[str, object]]] = {
    "overfit": _overfit,
    "lr_find": _find_learning_rate,
    "profile": _profile,
}
