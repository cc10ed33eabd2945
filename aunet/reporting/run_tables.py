"""The table of many runs, with the state and the scores of each, and the texts of its cells."""

from collections.abc import Sequence

from aunet.messages import age_words
from aunet.reporting.tables import PHANTOM_NOTE, PaperTable
from aunet.runs.run_state import RunState

_DIED_NOTE = "died: its process ended without a message (killed, out of memory, power); resume=RUN continues it."


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
            *caveat_notes(states),
        ),
        name_columns=4,
    )


def caveat_notes(named: Sequence[tuple[str, RunState]]) -> list[str]:
    """Return each sentence that qualifies scores once, with the names of its runs."""
    runs: dict[str, list[str]] = {}
    for name, state in named:
        for caveat in state.caveats:
            runs.setdefault(caveat, []).append(name)
    return [f"{', '.join(names)}: {caveat}" for caveat, names in runs.items()]


def epochs_of(state: RunState) -> str:
    """Format the epochs done, of how many: 12/100."""
    return f"{len(state.validation_dice)}/{state.max_epochs or '?'}"


def dice_text(value: float | None) -> str:
    """Format a Dice as papers print it; a dash if there is none."""
    return "–" if value is None else f"{value:.3f}"


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None
