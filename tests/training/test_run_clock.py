"""How far a run is, by steps or by time."""

from types import SimpleNamespace

import pytest

from aunet.training import run_clock
from aunet.training.run_clock import RunClock


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    clock = SimpleNamespace(seconds=100.0)
    monkeypatch.setattr(run_clock.time, "monotonic", lambda: clock.seconds)
    return clock


def test_progress_is_by_steps_where_time_is_not_limited(now: SimpleNamespace) -> None:
    clock = RunClock(total_steps=10, max_seconds=None)
    clock.on_train_start(None, None)
    now.seconds += 1e6
    assert clock.progress(3) == pytest.approx(0.3)
    assert not clock.is_time_up


def test_progress_is_by_time_where_that_is_further(now: SimpleNamespace) -> None:
    clock = RunClock(total_steps=1000, max_seconds=60)
    clock.on_train_start(None, None)
    now.seconds += 45
    assert clock.progress(3) == pytest.approx(0.75)
    now.seconds += 45
    assert clock.progress(3) == 1.0
    assert clock.is_time_up


def test_a_resumed_run_counts_on(now: SimpleNamespace) -> None:
    first = RunClock(total_steps=1000, max_seconds=60)
    first.on_train_start(None, None)
    now.seconds += 40
    second = RunClock(total_steps=1000, max_seconds=60)
    second.load_state_dict(first.state_dict())
    second.on_train_start(None, None)
    now.seconds += 5
    assert second.seconds == pytest.approx(45)


def test_the_trainer_stops_when_the_time_is_up(now: SimpleNamespace) -> None:
    trainer = SimpleNamespace(should_stop=False)
    clock = RunClock(total_steps=1000, max_seconds=60)
    clock.on_train_start(trainer, None)
    clock.on_train_batch_end(trainer)
    assert not trainer.should_stop
    now.seconds += 61
    clock.on_train_epoch_end(trainer, None)
    assert trainer.should_stop
