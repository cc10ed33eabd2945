"""Tables with one row an epoch."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from pytorch_lightning import LightningModule

from aunet.classes import Labels
from aunet.runs.epoch_rows import read_table, replace_row
from aunet.training.callbacks.epoch_tables import EpochTables


def test_rows_follow_each_other(tmp_path: Path) -> None:
    for epoch in range(3):
        replace_row(tmp_path / "metrics.csv", {"epoch": epoch, "loss": epoch / 2})
    assert read_table(tmp_path / "metrics.csv") == [{"epoch": str(e), "loss": str(e / 2)} for e in range(3)]


def test_a_repeated_epoch_replaces_itself_and_what_came_after(tmp_path: Path) -> None:
    for epoch in (0, 1, 2, 1):
        replace_row(tmp_path / "metrics.csv", {"epoch": epoch, "loss": 0})
    assert [row["epoch"] for row in read_table(tmp_path / "metrics.csv")] == ["0", "1"]


def test_a_table_that_is_not_there_has_no_rows(tmp_path: Path) -> None:
    assert read_table(tmp_path / "metrics.csv") == []


def test_a_column_of_some_epochs_is_empty_in_the_others(tmp_path: Path) -> None:
    replace_row(tmp_path / "metrics.csv", {"epoch": 0, "loss": 1, "old": 2})
    replace_row(tmp_path / "metrics.csv", {"epoch": 1, "loss": 3, "new": 4})
    assert (tmp_path / "metrics.csv").read_text() == "epoch,loss,new,old\n0,1,,2\n1,3,4,\n"


def test_whatever_is_logged_gets_a_column_after_the_usual_ones(tmp_path: Path) -> None:
    tables = EpochTables(tmp_path, Labels(("background", "ball")), 2)
    logged = {"val/iou": 0.2, "gate/entropy": 0.3, "learning_rate": 0.1, "val/dice/ball": 0.4, "train/loss": 0.5}
    logged |= {"train/loss_step": 0.7, "gate/entropy_epoch": 0.3, "gate/entropy_step": 0.9, "per_epoch": 1.0}
    trainer: Any = SimpleNamespace(is_global_zero=True, current_epoch=0, callback_metrics=logged)
    tables.on_train_epoch_end(trainer, LightningModule())
    assert (tmp_path / "metrics.csv").read_text().splitlines() == [
        "epoch,train/loss,val/dice/ball,learning_rate,gate/entropy,per_epoch,val/iou",
        "0,0.5,0.4,0.1,0.3,1.0,0.2",
    ]


@pytest.mark.parametrize("is_validated", [True, False])
def test_values_of_a_validation_are_shown_to_the_tracker_beside_the_tables(is_validated: bool, tmp_path: Path) -> None:
    shown: list[tuple[dict[str, float], int]] = []
    tracker: Any = SimpleNamespace(metrics=lambda values, epoch: shown.append((values, epoch)))
    further = {"attention/level_2/gate_1/auc": 0.7}
    tables = EpochTables(tmp_path, Labels(("background", "ball")), 2, tracker, lambda: further)
    trainer: Any = SimpleNamespace(
        is_global_zero=True,
        current_epoch=3,
        callback_metrics={"train/loss": 0.5, "learning_rate": 0.1},
        check_val_every_n_epoch=1 if is_validated else 10**9,
    )

    tables.on_train_epoch_end(trainer, LightningModule())

    [(values, epoch)] = shown
    assert (epoch, values["train/loss"]) == (3, 0.5)
    assert further.items() <= values.items() if is_validated else not values.keys() & further.keys()
    assert list(read_table(tmp_path / "metrics.csv")[0]) == ["epoch", "train/loss", "learning_rate"]
