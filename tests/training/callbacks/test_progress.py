"""The lines and bars shown while a training runs."""

import logging
from types import SimpleNamespace
from typing import Any

import pytest
from pytorch_lightning import Callback

from aunet import terminal
from aunet.messages import clock_words
from aunet.terminal import TimeLeftColumn, run_progress
from aunet.training.callbacks import progress as progress_module
from aunet.training.callbacks.progress import ProgressDisplay
from aunet.training.callbacks.run_clock import RunClock
from tests.training.toy_training import LinearTask, ToyTime, train


class BarNotes(Callback):
    """Notes the bar's description and the text of the time left after every step, on validation and at the end."""

    def __init__(self, progress: Any) -> None:
        self._progress = progress
        self.shown: list[tuple[str, str]] = []

    def on_train_batch_end(self, *args: Any, **kwargs: Any) -> None:
        """Look at the bar."""
        self._note()

    def on_validation_start(self, *args: Any) -> None:
        """Look at the bar."""
        self._note()

    def on_train_epoch_end(self, *args: Any) -> None:
        """Look at the bar."""
        self._note()

    def _note(self) -> None:
        bar = self._progress.tasks[0]
        self.shown.append((bar.description, TimeLeftColumn().render(bar).plain))


@pytest.fixture
def toy_time(monkeypatch: pytest.MonkeyPatch) -> ToyTime:
    time = ToyTime().take_the_place_of_time(monkeypatch)
    for module in (progress_module, terminal):
        monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=time.monotonic))
    return time


def train_two_epochs(toy_time: ToyTime) -> list[tuple[str, str]]:
    """Two epochs of three steps of 2 s, with a validation of 60 s: 132 s, as measured before."""
    clock, progress = RunClock(2, 3, None), run_progress()
    clock.expect(2.0, 60.0)
    notes = BarNotes(progress)
    task = LinearTask(toy_time, 2.0, 60.0)
    train(task, [clock, ProgressDisplay(progress, clock), notes], batches=3, max_epochs=2)
    return notes.shown


def test_the_bar_shows_speed_and_end_of_the_whole_training(toy_time: ToyTime) -> None:
    shown = train_two_epochs(toy_time)
    descriptions, left = [text for text, _ in shown], [text.partition(",")[0] for _, text in shown]
    assert descriptions[0].startswith("Epoch 0 (1 of 2)  loss ")
    assert descriptions[0].endswith("  0.50 steps/s")
    assert descriptions[3] == "Epoch 0 (1 of 2)  validating  0.50 steps/s"
    assert left[:5] == ["2 min 10 s", "2 min 8 s", "2 min 6 s", "2 min 6 s", "1 min 6 s"]
    assert left[5:] == [
        "1 min 4 s",
        "1 min 2 s",
        "1 min",
        "1 min",
        "0 s",
    ]  # all steps made, the last validation is running


def test_the_time_of_day_at_the_end_is_reported_with_the_time_left(toy_time: ToyTime) -> None:
    before = clock_words(130.0)
    _, text = train_two_epochs(toy_time)[0]
    assert text.partition(", until ")[2] in (before, clock_words(130.0))


def test_the_time_left_counts_down_between_two_steps(toy_time: ToyTime) -> None:
    progress = run_progress()
    progress.add_task("Training", total=1.0, completed=0.5, end=toy_time.seconds + 90)
    toy_time.seconds += 30
    assert TimeLeftColumn().render(progress.tasks[0]).plain.startswith("1 min, until ")


def test_a_bar_leaves_nothing_in_a_file_or_pipe(capsys: pytest.CaptureFixture[str]) -> None:
    with run_progress() as progress:
        progress.add_task("Training", total=1.0, completed=0.5)
    assert capsys.readouterr() == ("", "")


def test_the_line_of_an_epoch_has_speed_and_expected_end(toy_time: ToyTime, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger="aunet"):
        train_two_epochs(toy_time)
    first, last = [record.getMessage() for record in caplog.records if record.getMessage().startswith("epoch ")]
    assert "66 s, 0.50 steps/s, 1 min 6 s left, until " in first
    assert last.endswith("66 s, 0.50 steps/s")
