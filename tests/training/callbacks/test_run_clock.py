"""How far a run is, by steps or by a time of which validations take a part."""

from pathlib import Path
from typing import Any

import pytest
import torch
from pytorch_lightning import Callback, LightningModule, Trainer

from aunet.training.callbacks.run_clock import RunClock
from aunet.training.schedules import polynomial
from aunet.training.validation_pace import ValidationOfStop, ValidationPace
from tests.training.toy_training import LinearTask, RateNotes, ToyTime, ValidatedEpochs, train

EPOCHS, BATCHES, LIMIT = 100_000, 10, 400.0


class Saving(Callback):
    """Writes a checkpoint at the end of every epoch, as a run does."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Save."""
        trainer.save_checkpoint(self._path)


@pytest.fixture
def toy_time(monkeypatch: pytest.MonkeyPatch) -> ToyTime:
    return ToyTime().take_the_place_of_time(monkeypatch)


def train_on(
    toy_time: ToyTime,
    *,
    validation_seconds: float,
    accumulate: int = 1,
    epochs: int = EPOCHS,
    limit: float | None = LIMIT,
    save: Path | None = None,
    resume: Path | None = None,
) -> tuple[RunClock, RateNotes, Trainer]:
    """Train with ten batches of a second an epoch until ``limit``."""
    clock = RunClock(max_epochs=epochs, steps_per_epoch=-(-BATCHES // accumulate), max_seconds=limit)
    notes = RateNotes(clock, polynomial)
    task = LinearTask(toy_time, 1.0, validation_seconds)
    callbacks: list[Any] = [clock, notes, *([Saving(save)] if save else [])]
    trainer = train(task, callbacks, batches=BATCHES, max_epochs=epochs, accumulate=accumulate, checkpoint=resume)
    return clock, notes, trainer


def test_progress_is_by_steps_if_time_is_not_limited(toy_time: ToyTime) -> None:
    clock, notes, _ = train_on(toy_time, validation_seconds=1e6, epochs=2, limit=None)
    assert notes.shares == pytest.approx([(1 - step / 20) ** 0.9 for step in range(20)])
    assert clock.progress(5) == 0.25


@pytest.mark.parametrize("validation_seconds", [0.0, 5.0, 30.0, 90.0], ids=["0 %", "33 %", "75 %", "90 %"])
def test_the_schedule_reaches_its_end_whatever_share_of_the_time_validations_take(
    validation_seconds: float, toy_time: ToyTime
) -> None:
    """With N steps the last one of an unlimited run has the share (1 / N) ** 0.9; here twice that is granted."""
    clock, notes, trainer = train_on(toy_time, validation_seconds=validation_seconds)
    number = len(notes.shares)
    assert all(share > 0 for share in notes.shares)
    assert all(later <= earlier for earlier, later in zip(notes.shares, notes.shares[1:], strict=False))
    assert notes.shares[-1] < (2 / number) ** 0.9
    assert clock.seconds <= LIMIT
    assert trainer.global_step == number


def test_most_of_the_schedule_is_linear_in_the_steps(toy_time: ToyTime) -> None:
    """100 steps fit beside 10 validations of 30 s; only the first epoch, which does not know of them, lags behind."""
    _, notes, _ = train_on(toy_time, validation_seconds=30.0)
    assert len(notes.shares) == 100
    done = [1 - share ** (1 / 0.9) for share in notes.shares]
    assert max(abs(share - step / 100) for step, share in enumerate(done)) < 0.08


def test_a_limit_that_cuts_an_epoch_short_leaves_time_for_its_validation(toy_time: ToyTime) -> None:
    clock, notes, _ = train_on(toy_time, validation_seconds=30.0, limit=415.0)
    assert len(notes.shares) == 100  # 15 s are left after ten epochs: too little for a step and a validation
    clock, notes, _ = train_on(toy_time, validation_seconds=30.0, limit=435.0)
    assert len(notes.shares) == 105
    assert clock.seconds == pytest.approx(435.0)


def test_the_clock_stops_a_training_only_after_an_optimizer_step(toy_time: ToyTime) -> None:
    """In groups of 3, 3, 3 and 1 batches: the gradient of a group that was begun is not thrown away."""
    _, notes, trainer = train_on(toy_time, validation_seconds=0.5, accumulate=3, limit=35.0)
    batches = trainer.fit_loop.epoch_loop.batch_progress.total.processed
    assert trainer.global_step == len(notes.shares)
    assert batches % BATCHES % 3 == 0
    assert all(share > 0 for share in notes.shares)


def test_a_training_that_the_clock_ended_makes_no_further_step_when_resumed(toy_time: ToyTime, tmp_path: Path) -> None:
    save = tmp_path / "last.ckpt"
    _, _, first = train_on(toy_time, validation_seconds=7.0, save=save)
    content = save.read_bytes()
    for _ in range(3):
        clock, notes, again = train_on(toy_time, validation_seconds=7.0, save=save, resume=save)
        assert notes.shares == []
        assert again.global_step == first.global_step
        assert clock.is_over
        assert save.read_bytes() == content


@pytest.mark.parametrize("limit", [800.0, None])
def test_more_time_continues_a_training_that_the_clock_ended_in_whole_epochs(
    limit: float | None, toy_time: ToyTime, tmp_path: Path
) -> None:
    """435 s end in the middle of the eleventh epoch, after 105 steps; the next one begins an epoch."""
    save = tmp_path / "last.ckpt"
    _, before, _ = train_on(toy_time, validation_seconds=30.0, limit=435.0, epochs=40, save=save)
    _, after, trainer = train_on(toy_time, validation_seconds=30.0, limit=limit, epochs=40, resume=save)
    made = len(before.shares) + len(after.shares)
    assert after.epochs[:11] == [11] * 10 + [12]
    assert after.shares[0] == pytest.approx((1 - 105 / (made if limit else 395)) ** 0.9, abs=0.02)
    assert 0 < after.shares[-1] < (2 / made) ** 0.9
    assert made == (395 if limit is None else 105 + 90)  # of the 365 s more, nine epochs take 360
    assert trainer.global_step == made


def test_a_clock_whose_limit_is_taken_away_no_longer_ends_the_training(toy_time: ToyTime, tmp_path: Path) -> None:
    limited, _, _ = train_on(toy_time, validation_seconds=5.0, save=tmp_path / "last.ckpt", limit=100.0)
    epochs = 10
    clock, _, trainer = train_on(
        toy_time, validation_seconds=5.0, resume=tmp_path / "last.ckpt", limit=None, epochs=epochs
    )
    assert limited.is_over
    assert not clock.is_over
    assert trainer.current_epoch == epochs


def test_an_interrupted_training_continues_on_the_schedule(toy_time: ToyTime, tmp_path: Path) -> None:
    save = tmp_path / "last.ckpt"
    _, whole, _ = train_on(toy_time, validation_seconds=30.0)

    class Interruption(Callback):
        def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
            if trainer.current_epoch == 3:
                trainer.save_checkpoint(save)
                trainer.should_stop = True

    clock = RunClock(EPOCHS, BATCHES, LIMIT)
    first = RateNotes(clock, polynomial)
    task = LinearTask(toy_time, 1.0, 30.0)
    train(task, [clock, first, Interruption()], batches=BATCHES, max_epochs=EPOCHS)
    toy_time.seconds += 1e5  # nobody trains meanwhile
    _, second, _ = train_on(toy_time, validation_seconds=30.0, resume=save)
    assert [*first.shares, *second.shares] == pytest.approx(whole.shares, abs=0.02)


def test_a_run_from_before_the_share_was_kept_continues(toy_time: ToyTime) -> None:
    """Its checkpoints hold the seconds alone; progress continues from their part of the limit, as it did."""
    clock = RunClock(max_epochs=EPOCHS, steps_per_epoch=BATCHES, max_seconds=LIMIT)
    clock.load_state_dict({"seconds": 300.0})
    notes = RateNotes(clock, polynomial)
    train(LinearTask(toy_time, 1.0, 30.0), [clock, notes], batches=BATCHES, max_epochs=EPOCHS)
    assert notes.shares[0] == pytest.approx(0.25**0.9)
    assert 0 < notes.shares[-1] < 0.1


def test_the_state_is_read_as_tensors_and_plain_values_only(toy_time: ToyTime, tmp_path: Path) -> None:
    clock, _, _ = train_on(toy_time, validation_seconds=30.0)
    torch.save(clock.state_dict(), tmp_path / "state")
    assert torch.load(tmp_path / "state", weights_only=True) == clock.state_dict()


def most_steps(limit: float, validate_every: int, validation_seconds: float) -> int:
    """Count the steps of 1 s, in epochs of ten, that fit into ``limit`` with the validations that must follow them."""
    made = 0
    while True:
        epochs = -(-(made + 1) // BATCHES)
        if made + 1 + -(-epochs // validate_every) * validation_seconds > limit:
            return made
        made += 1


@pytest.mark.parametrize("validate_every", [2, 3, 10])
def test_a_limit_counts_the_validations_of_every_few_epochs_and_that_of_the_last(
    validate_every: int, toy_time: ToyTime
) -> None:
    clock = RunClock(EPOCHS, BATCHES, LIMIT, validate_every)
    notes, validated = RateNotes(clock, polynomial), ValidatedEpochs()
    callbacks = [ValidationPace(validate_every), clock, notes, validated, ValidationOfStop()]
    trainer = train(LinearTask(toy_time, 1.0, 30.0), callbacks, batches=BATCHES, max_epochs=EPOCHS)
    number, last = trainer.global_step, notes.epochs[-1]
    assert number == most_steps(LIMIT, validate_every, 30.0)
    assert clock.seconds <= LIMIT
    assert validated.epochs == [e for e in range(last + 1) if (e + 1) % validate_every == 0 or e == last]
    assert notes.shares[-1] < (2 / number) ** 0.9


def test_the_expected_end_counts_validations_of_every_few_epochs(toy_time: ToyTime) -> None:
    """Of 7 epochs the third, the sixth and the last are validated."""
    clock = RunClock(7, BATCHES, None, validate_every=3)
    clock.expect(1.0, 30.0)
    notes = LeftNotes(clock, toy_time)
    callbacks = [ValidationPace(3), clock, notes, ValidationOfStop()]
    train(LinearTask(toy_time, 1.0, 30.0), callbacks, batches=BATCHES, max_epochs=7)
    assert toy_time.seconds == 1000.0 + 70 + 3 * 30.0
    assert notes.ends == pytest.approx([toy_time.seconds] * len(notes.ends))


class LeftNotes(Callback):
    """Notes what is left after each step and, once it is validated, after each epoch, and when that was."""

    def __init__(self, clock: RunClock, time: ToyTime) -> None:
        self._clock, self._time = clock, time
        self.ends: list[float] = []

    def on_train_batch_end(self, trainer: Trainer, *args: Any) -> None:
        """Ask as the progress bar does."""
        self._note(trainer, trainer.current_epoch)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Ask as the line of an epoch does."""
        self._note(trainer, trainer.current_epoch + 1)

    def _note(self, trainer: Trainer, epochs: int) -> None:
        left = self._clock.remainder(trainer.global_step, epochs)
        assert left is not None
        self.ends.append(self._time.seconds + left.seconds)


def noted_ends(
    toy_time: ToyTime, expected: tuple[float, float], validation_seconds: float = 30.0, limit: float | None = None
) -> tuple[list[float], float]:
    """Return the forecast ends of a training of 3 epochs of 10 steps of 1 s, and when it ended."""
    clock = RunClock(3, BATCHES, limit)
    clock.expect(*expected)
    notes = LeftNotes(clock, toy_time)
    task = LinearTask(toy_time, 1.0, validation_seconds)
    train(task, [clock, notes], batches=BATCHES, max_epochs=3)
    return notes.ends, toy_time.seconds


def test_the_expected_end_is_right_from_the_first_step_if_the_measurement_was(toy_time: ToyTime) -> None:
    ends, end = noted_ends(toy_time, (1.0, 30.0))
    assert ends == pytest.approx([end] * len(ends))


def test_measured_steps_and_validations_take_the_place_of_expected_ones(toy_time: ToyTime) -> None:
    """Expected were 3 s a step and no validation: right from the second step for the one, the first epoch for both."""
    ends, end = noted_ends(toy_time, (3.0, 0.0))
    assert ends[0] == pytest.approx(1001.0 + 29 * 3.0)
    assert ends[1:10] == pytest.approx([end - 3 * 30.0] * 9)
    assert ends[10:] == pytest.approx([end] * len(ends[10:]))


def test_a_time_limit_is_the_expected_end(toy_time: ToyTime) -> None:
    ends, _ = noted_ends(toy_time, (1.0, 30.0), limit=100.0)
    assert ends[0] == pytest.approx(1100.0)
    assert max(ends) <= 1100.0


def test_no_end_is_expected_before_a_step_is_measured() -> None:
    clock = RunClock(3, BATCHES, None)
    assert clock.remainder(0, 0) is None
    assert clock.steps_per_second is None
    clock.expect(0.5, 0.0)
    assert clock.steps_per_second == 2.0


def test_a_resumed_training_has_its_rest_alone_left(toy_time: ToyTime, tmp_path: Path) -> None:
    """Of 5 epochs two are done; this process expects steps of 4 s, where the one before had made them in 1 s."""
    save = tmp_path / "last.ckpt"
    train_on(toy_time, validation_seconds=30.0, limit=None, epochs=2, save=save)
    clock = RunClock(5, BATCHES, None)
    checkpoint = torch.load(save, weights_only=True)
    clock.load_state_dict(checkpoint["callbacks"][clock.state_key])
    left = clock.remainder(20, 2)
    assert left is not None
    assert (left.steps, left.validations, left.seconds) == (30, 3, pytest.approx(30 * 1.0 + 3 * 30.0))
    clock.expect(4.0, 10.0)
    left = clock.remainder(20, 2)
    assert left is not None
    assert left.seconds == pytest.approx(30 * 4.0 + 3 * 10.0)


def test_the_share_of_epochs_is_not_that_of_the_time(toy_time: ToyTime) -> None:
    clock, *_ = train_on(toy_time, validation_seconds=0.0, epochs=1000)
    assert clock.progress(BATCHES * 40) == pytest.approx(1.0)
    assert clock.share_of_epochs(BATCHES * 40) == pytest.approx(0.04, rel=1e-3)
