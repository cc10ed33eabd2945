"""What ``trainer=overfit``, ``lr_find`` and ``profile`` do instead of a run: minutes, an answer and a table."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import yaml
from pytorch_lightning import Callback, Trainer
from rich.table import Table

from aunet.atomic_files import write_text
from aunet.build import Settings, build_splits
from aunet.build_preprocessing import build_digests, with_intensities
from aunet.build_task import build_data, build_task
from aunet.build_trainer import build_callbacks, build_clock, build_trainer
from aunet.commands.train_run import choose_for_run, saved_with_batch, start_record
from aunet.data.case import Cohort
from aunet.data.datamodule import SegmentationData
from aunet.data.split_file import write_splits
from aunet.errors import UserError
from aunet.reporting.learning_rate_curve import learning_rate_curve
from aunet.reporting.tables import table_console
from aunet.training.batch_overfit import ENOUGH, OverfitCheck, batch_with_most_classes, repeated
from aunet.training.hardware_choice import HardwareChoice
from aunet.training.learning_rate_test import LearningRateTest, smooth, suggest_learning_rate
from aunet.training.progress_bar import run_progress
from aunet.training.ranks import num_ranks
from aunet.training.run_record import RunRecord
from aunet.training.segmentation_task import NonFiniteLossError, SegmentationTask
from aunet.training.time_profile import TimeProfile

_log = logging.getLogger(__name__)
_OPERATORS_SHOWN = 12


@dataclass(frozen=True)
class Probe:
    """What a probe is made of."""

    settings: Settings
    folder: Path
    data: SegmentationData
    task: SegmentationTask
    choice: HardwareChoice

    def trainer(self, callbacks: Sequence[Callback]) -> Trainer:
        """A trainer that shows no bar and saves nothing."""
        return build_trainer(self.settings, callbacks, self.choice, self.folder, self.task.network)


def run_probe(settings: Settings, cohort: Cohort, folder: Path, record: RunRecord) -> None:
    """Do what ``trainer.probe`` says; the answer is logged, written below ``folder`` and kept in the run's record."""
    if num_ranks() > 1:
        raise UserError(f"trainer={settings['trainer']['name']}: one process answers. Set trainer.devices=1.")
    splits = build_splits(settings, cohort)
    settings = with_intensities(settings, cohort, splits)
    data = build_data(settings, cohort, splits)
    choice = choose_for_run(settings, record)
    task = build_task(settings, cohort.labels, data.augmentation, build_clock(settings), choice)
    write_splits(folder / "splits.json", splits, cohort.cases, build_digests(settings))
    write_text(folder / "config.yaml", yaml.safe_dump(settings, sort_keys=False))
    start_record(settings, cohort, task.network, record, {"computing": choice.as_record()})
    data.setup("fit")
    answer = _PROBES[settings["trainer"]["probe"]](Probe(settings, folder, data, task, choice))
    record.update(**answer)


def _overfit(probe: Probe) -> dict[str, Any]:
    labels, trainer = probe.data.cohort.labels, probe.settings["trainer"]
    batch = batch_with_most_classes(probe.data.train_dataloader(), labels.num_classes)
    check = OverfitCheck(batch, labels)
    try:
        probe.trainer([check]).fit(probe.task, repeated(batch, trainer["batches_per_epoch"]))
    except NonFiniteLossError as error:
        raise saved_with_batch(error, probe.folder) from None
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


def _find_learning_rate(probe: Probe) -> dict[str, Any]:
    test = LearningRateTest()
    try:
        probe.trainer([test]).fit(probe.task, probe.data.train_dataloader())
    except NonFiniteLossError:
        _log.info("The loss is no longer finite at step %d: the test ends there.", len(test.losses))
    smoothed = smooth(test.losses)
    suggestion = suggest_learning_rate(test.rates, test.losses)
    table = pd.DataFrame({"learning_rate": test.rates, "loss": test.losses, "smoothed_loss": smoothed})
    write_text(probe.folder / "learning_rate.csv", table.to_csv(index=False))
    curve = probe.folder / "learning_rate.png"
    learning_rate_curve(test.rates, test.losses, list(smoothed), suggestion, curve)
    if suggestion is None:
        _log.warning("The loss fell at no learning rate between %g and %g: %s", test.rates[0], test.rates[-1], curve)
    else:
        _log.info("The loss fell fastest at optimizer.factory.lr=%g; look at %s", suggestion, curve)
    return {"learning_rate": suggestion}


def _profile(probe: Probe) -> dict[str, Any]:
    times, clock = TimeProfile(), build_clock(probe.settings)
    with run_progress() as progress:
        callbacks = build_callbacks(probe.settings, probe.folder, clock, probe.data, probe.task, progress)
        probe.trainer([times, *callbacks]).fit(probe.task, datamodule=probe.data)
    parts, operators = times.parts(), times.operators()
    write_text(probe.folder / "profile.csv", pd.DataFrame(parts).to_csv(index=False))
    write_text(probe.folder / "profile_operators.csv", pd.DataFrame(operators).to_csv(index=False))
    _print("Where an epoch's time goes", parts)
    _print("Operators of the training steps", operators[:_OPERATORS_SHOWN])
    _log.info("Both tables, in full: %s", probe.folder / "profile*.csv")
    return {"profile": {row["part"]: row["share"] for row in parts}}


def _print(title: str, rows: Sequence[dict[str, Any]]) -> None:
    table = Table(*(name.replace("_", " ") for name in rows[0]), title=title)
    for row in rows:
        table.add_row(*(f"{value:.1%}" if name == "share" else str(value) for name, value in row.items()))
    table_console().print(table)


_PROBES: dict[str, Callable[[Probe], dict[str, Any]]] = {
    "overfit": _overfit,
    "lr_find": _find_learning_rate,
    "profile": _profile,
}
