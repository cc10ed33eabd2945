"""Groups of batches: how many steps they make, and their gradient."""

import pytest
import torch

from aunet.training.callbacks.accumulation import count_steps
from aunet.training.callbacks.run_clock import RunClock
from aunet.training.schedules import polynomial
from tests.training.toy_training import LinearTask, RateNotes, train


@pytest.mark.parametrize(("batches", "accumulate"), [(4, 1), (4, 2), (4, 3), (5, 4), (5, 2), (3, 7)])
def test_an_epoch_makes_the_steps_that_are_counted(batches: int, accumulate: int) -> None:
    trainer = train(LinearTask(), [], batches=batches, max_epochs=2, accumulate=accumulate)
    assert trainer.global_step == 2 * count_steps(batches, accumulate)


@pytest.mark.parametrize(("batches", "accumulate"), [(4, 3), (5, 4), (3, 7), (6, 3), (4, 1)])
def test_the_gradient_of_every_group_is_the_mean_of_its_batches(batches: int, accumulate: int) -> None:
    """The gradient of mean(w . x) over a batch is the mean of its rows, whatever w is."""
    data = [torch.full((2, 3), float(number + 1)) for number in range(batches)]
    task = LinearTask()
    train(task, [], batches=data, max_epochs=1, accumulate=accumulate)
    groups = [data[first : first + accumulate] for first in range(0, batches, accumulate)]
    expected = [torch.cat(group).mean(dim=0) for group in groups]
    torch.testing.assert_close(torch.stack(task.gradients), torch.stack(expected))


def test_a_batch_that_is_skipped_does_not_count_in_its_group() -> None:
    data = [torch.full((2, 3), value) for value in (1.0, 2.0, 4.0, 8.0)]
    task = LinearTask()
    task.skipped = {1, 3}
    train(task, [], batches=data, max_epochs=1, accumulate=3)
    torch.testing.assert_close(torch.stack(task.gradients), torch.tensor([[2.5] * 3, [0.0] * 3]))


@pytest.mark.parametrize(("batches", "accumulate"), [(4, 3), (5, 4), (2, 4)])
def test_the_learning_rate_follows_the_schedule_over_the_steps_that_are_made(batches: int, accumulate: int) -> None:
    clock = RunClock(max_epochs=6, steps_per_epoch=count_steps(batches, accumulate), max_seconds=None)
    notes = RateNotes(clock, polynomial)
    train(LinearTask(), [clock, notes], batches=batches, max_epochs=6, accumulate=accumulate)
    number = len(notes.shares)
    assert notes.shares == pytest.approx([(1 - step / number) ** 0.9 for step in range(number)])
    assert notes.shares[-1] > 0
