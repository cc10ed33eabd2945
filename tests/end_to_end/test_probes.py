"""trainer=overfit, lr_find and profile: an answer in minutes."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest

from aunet.commands.main import main
from aunet.errors import UserError
from aunet.pipeline.probe import _find_learning_rate
from aunet.training.nonfinite_loss import NonFiniteLossError
from aunet.training.probes.time_profile import FIXED_PARTS, TimeProfile


@pytest.fixture(scope="session")
def probe_settings(attention_settings: list[str]) -> list[str]:
    """Return settings without the length of the training, as probes have their own."""
    left_out = ("trainer.max_epochs", "trainer.batches_per_epoch")
    return [*(word for word in attention_settings if not word.startswith(left_out)), "logger=csv"]


def record_of(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "run.json").read_text())


@pytest.mark.usefixtures("without_pictures")
def test_a_network_learns_one_batch_by_heart(
    probe_settings: list[str], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    words = [*probe_settings, "trainer=overfit", "trainer.max_epochs=40", "optimizer.factory.lr=0.02"]
    assert main(["train", *words, f"hydra.run.dir={tmp_path}/run"]) == 0
    record, table = record_of(tmp_path / "run"), pd.read_csv(tmp_path / "run" / "overfit.csv")
    assert record["status"] == "finished"
    assert record["overfit"]["is_reached"] is True
    assert min(record["overfit"]["dice"].values()) > 0.95
    assert record["overfit"]["steps"] == table["step"].iloc[-1]
    assert table[["dice/ball", "dice/box"]].iloc[-1].min() > 0.95
    assert table[["dice/ball", "dice/box"]].iloc[-2].min() <= 0.95
    assert "is above 0.95" in caplog.text


def test_a_batch_that_cannot_be_learned_is_reported(
    probe_settings: list[str], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    words = [word for word in probe_settings if "factory.lr" not in word]
    words += ["trainer=overfit", "trainer.max_epochs=2", "trainer.batches_per_epoch=2", "optimizer.factory.lr=0"]
    assert main(["train", *words, f"hydra.run.dir={tmp_path}/run"]) == 0
    assert record_of(tmp_path / "run")["overfit"]["is_reached"] is False
    assert "is not above 0.95" in caplog.text
    assert len(pd.read_csv(tmp_path / "run" / "overfit.csv")["loss"].unique()) == 1  # the same batch, never changed


@pytest.mark.usefixtures("without_pictures")
def test_the_learning_rate_test_writes_a_curve_and_suggests_a_value(
    probe_settings: list[str], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    run = tmp_path / "run"
    words = [*probe_settings, "trainer=lr_find", "trainer.batches_per_epoch=25"]
    assert main(["train", *words, f"hydra.run.dir={run}"]) == 0
    table, suggestion = pd.read_csv(run / "learning_rate.csv"), record_of(run)["learning_rate"]
    assert table["learning_rate"].iloc[0] == pytest.approx(0.01 * 1e-4)
    assert table["learning_rate"].is_monotonic_increasing
    assert table["learning_rate"].min() <= suggestion <= table["learning_rate"].max()
    assert f"optimizer.factory.lr={suggestion:g}" in " ".join(caplog.text.split())
    assert (run / "learning_rate.png").read_bytes().startswith(b"\x89PNG")


def test_a_learning_rate_test_whose_first_loss_is_nan_keeps_the_batch(tmp_path: Path) -> None:
    batch: Any = {"case_id": ["ball_003"]}

    def fit(*args: object) -> None:
        raise NonFiniteLossError(0, batch)

    data = SimpleNamespace(train_dataloader=list)
    probe: Any = SimpleNamespace(trainer=lambda _: SimpleNamespace(fit=fit), task=None, data=data, folder=tmp_path)
    with pytest.raises(UserError, match=r"step 0 is not finite; its cases are ball_003.*failed_batch\.pt"):
        _find_learning_rate(probe)
    assert (tmp_path / "failed_batch.pt").is_file()


@pytest.mark.usefixtures("without_pictures")
def test_the_profile_shows_where_the_time_goes(
    probe_settings: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    words = [*probe_settings, "trainer=profile", "trainer.batches_per_epoch=2"]
    assert main(["train", *words, f"hydra.run.dir={run}"]) == 0
    parts, operators = pd.read_csv(run / "profile.csv"), pd.read_csv(run / "profile_operators.csv")
    assert parts["share"].sum() == pytest.approx(1, abs=1e-3)
    assert {"waiting for data", "backward pass", "optimizer", "validation"} < set(parts["part"])
    assert operators["share"].sum() == pytest.approx(1, abs=0.01)
    assert operators["operator"].str.contains("convolution").any()
    in_run = pd.read_csv(run / "profile_run.csv").set_index("part")
    assert in_run["share"].sum() == pytest.approx(1, abs=1e-3)
    assert set(FIXED_PARTS) | {"test", "report"} < set(in_run.index)
    printed = capsys.readouterr().out
    assert "Where an epoch's time goes" in printed
    assert "Where a run's time goes" in printed
    fixed = in_run.loc[list(FIXED_PARTS), "share"].sum()
    assert record_of(run)["profile_run"]["fixed_share"] == pytest.approx(fixed, abs=1e-3)


def test_the_time_of_a_run_is_extrapolated_from_the_first_two_epochs(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr("aunet.training.probes.time_profile._now", lambda: now)
    monkeypatch.setattr("aunet.training.probes.time_profile.seconds_since_start", lambda: 7.0)
    times, trainer, module = TimeProfile(), SimpleNamespace(current_epoch=0), None
    for step_seconds, validation_seconds in ((3.0, 10.0), (2.0, 4.0)):
        times.on_train_epoch_start(trainer, module)
        for _step in range(2):
            times.on_train_batch_start(trainer)
            now += step_seconds
            times.on_before_backward(trainer)
            times.on_after_backward(trainer)
            times.on_train_batch_end(trainer)
        times.on_validation_start(trainer, module)
        now += validation_seconds
        times.on_validation_end(trainer, module)
        trainer.current_epoch += 1
    rows = {row["part"]: row for row in times.run_parts(epochs=5, steps=10, once={"report": 3.0})}
    assert rows["start-up"]["seconds"] == 7
    # 50 steps of 2 s, and 2 s more than twice that for the two steps of the first epoch.
    assert rows["augmentation, forward pass and loss"]["seconds"] == 50 * 2 + 2
    assert rows["validation"]["seconds"] == 10 + 4 * 4
    assert rows["report"]["seconds"] == 3
    assert rows["validation"]["share"] == pytest.approx(26 / (7 + 102 + 26 + 3), abs=1e-4)


def test_a_profile_of_too_few_epochs_is_refused(
    probe_settings: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [*probe_settings, "trainer=profile", "trainer.max_epochs=2", f"hydra.run.dir={tmp_path}/run"]
    assert main(["train", *words]) == 2
    assert "trainer.max_epochs=2: trainer=profile needs 3 epochs" in " ".join(capsys.readouterr().err.split())


def test_a_probe_is_not_resumed(probe_settings: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = [*probe_settings, "trainer=overfit", "trainer.max_epochs=1", "trainer.batches_per_epoch=1"]
    assert main(["train", *words, f"hydra.run.dir={tmp_path}/run"]) == 0
    assert main(["train", f"resume={tmp_path}/run"]) == 2
    assert "Start it again" in " ".join(capsys.readouterr().err.split())
