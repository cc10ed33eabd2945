"""Tables of many runs, with the state and the scores of each."""

from collections.abc import Mapping, Sequence
from typing import Any

from aunet.messages import age_words, duration_digits
from aunet.reporting.tables import PHANTOM_NOTE, PaperTable
from aunet.runs.run_state import RunState
from aunet.sweeps.job import Job

_DIED_NOTE = "died: its process ended without a word (killed, out of memory, power); resume=RUN goes on with it."


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


def trial_table(title: str, trials: Sequence[tuple[Mapping[str, Any], RunState]]) -> PaperTable:
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


def run_table(title: str, states: Sequence[tuple[str, RunState]]) -> PaperTable:
    """Return a table of runs by name, each with its data, model, scores and age."""
    rows = tuple(
        (
            name,
            state.status,
            f"{state.data} (PHANTOM)" if state.is_phantom else state.data,
            state.model,
            epochs_of(state),
            dice_text(state.best_dice),
            dice_text(_mean(list(state.test_dice.values()))),
            age_words(state.started),
        )
        for name, state in states
    )
    has_died = any(state.status.startswith("died") for _, state in states)
    has_phantom = any(state.is_phantom for _, state in states)
    return PaperTable(
        title=title,
        columns=("Run", "Status", "Data", "Model", "Epochs", "Best val. Dice", "Test Dice", "Age"),
        groups=(rows,),
        notes=(
            *((_DIED_NOTE,) if has_died else ()),
            *((PHANTOM_NOTE,) if has_phantom else ()),
            *_caveats(states),
        ),
        name_columns=4,
    )


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
        notes=(*((PHANTOM_NOTE,) if is_phantom else ()), *_caveats(named)),
        name_columns=len(names),
    )


def _caveats(named: Sequence[tuple[str, RunState]]) -> list[str]:
    """Return each sentence that qualifies scores once, with the names of its runs."""
    runs: dict[str, list[str]] = {}
    for name, state in named:
        for caveat in state.caveats:
            runs.setdefault(caveat, []).append(name)
    return [f"{', '.join(names)}: {caveat}" for caveat, names in runs.items()]


def _value_text(value: Any) -> str:
    """Format a chosen value, a float with four significant digits."""
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def epochs_of(state: RunState) -> str:
    """Format the epochs done, of how many: 12/100."""
    return f"{len(state.validation_dice)}/{state.max_epochs or '?'}"


def dice_text(value: float | None) -> str:
    """Format a Dice as papers print it; a dash if there is none."""
    return "–" if value is None else f"{value:.3f}"


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None
