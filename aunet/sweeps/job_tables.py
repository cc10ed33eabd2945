"""Tables of the jobs of a sweep and of the trials of a search."""

from collections.abc import Mapping, Sequence

from aunet.messages import duration_digits
from aunet.reporting.run_tables import caveat_notes, dice_text, epochs_of
from aunet.reporting.tables import PHANTOM_NOTE, PaperTable
from aunet.runs.run_state import RunState
from aunet.sweeps.job import Job


def job_table(title: str, jobs: Sequence[Job]) -> PaperTable:
    """Return a table of the jobs of a sweep, in their order."""
    named = [(job.name, job.state) for job in jobs]
    classes = list(dict.fromkeys(name for _, state in named for name in state.test_dice))
    rows = tuple(
        (
            name,
            state.status,
            epochs_of(state),
            dice_text(state.best_dice),
            *(dice_text(state.test_dice.get(of_class)) for of_class in classes),
            duration_digits(state.seconds),
        )
        for name, state in named
    )
    tests = tuple(f"Test {name}" for name in classes)
    return _table(title, ("Job", "Status"), ("Epochs", "Best val. Dice", *tests, "Time"), rows, named)


def trial_table(title: str, trials: Sequence[tuple[Mapping[str, object], RunState]]) -> PaperTable:
    """Return a table of the trials of a search with their chosen values.

    Test scores are left out, as nothing may be chosen by them.
    """
    keys = list(dict.fromkeys(key for chosen, _ in trials for key in chosen))
    rows = tuple(
        (
            state.folder.name,
            state.status,
            *(_value_text(chosen.get(key)) for key in keys),
            epochs_of(state),
            dice_text(state.best_dice),
            duration_digits(state.seconds),
        )
        for chosen, state in trials
    )
    names = ("Trial", "Status", *keys)
    named = [(state.folder.name, state) for _, state in trials]
    return _table(title, names, ("Epochs", "Best val. Dice", "Time"), rows, named)


def _table(
    title: str,
    names: tuple[str, ...],
    numbers: tuple[str, ...],
    rows: tuple[tuple[str, ...], ...],
    named: Sequence[tuple[str, RunState]],
) -> PaperTable:
    is_phantom = any(state.is_phantom for _, state in named)
    return PaperTable(
        title=f"{title} (PHANTOM)" if is_phantom else title,
        columns=(*names, *numbers),
        groups=(rows,),
        notes=(*((PHANTOM_NOTE,) if is_phantom else ()), *caveat_notes(named)),
        name_columns=len(names),
    )


def _value_text(value: object) -> str:
    """Format a chosen value, a float with four significant digits."""
    return f"{value:.4g}" if isinstance(value, float) else str(value)
