"""Overlap of a run's cases with those that weights it uses have seen, which must not test it."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from aunet.data.cohort.splits import Splits
from aunet.errors import UserError
from aunet.messages import shortened
from aunet.runs.run_folder import RunFolder
from aunet.training.weight_lineage import CaseNames, Lineage, SeenCases, read_lineage

_MOST_NAMED = 3
Key = Literal["init", "data.region"]
# Relative clauses on the weights that a key names.
_USE = {"init": "from whose weights this run started", "data.region": "which cropped the cases of this run"}


@dataclass(frozen=True)
class Start:
    """A run that uses the weights ``key=source``: its parts, the cases of its data, and whether it has a fold.

    ``is_foreign``: the parts hold only the test cases, those of ``data.test_on``.
    """

    source: Path
    splits: Splits
    names: CaseNames
    has_fold: bool = False
    key: Key = "init"
    is_foreign: bool = False


def check_overlap(start: Start, is_allowed: bool) -> list[str]:
    """Compare the test cases of a run with those on which the weights it uses were trained or chosen.

    Returns:
        Sentences that belong below every table of the run's test scores.

    Raises:
        UserError: test cases were trained on, or chose the best epoch, and that is not allowed.
    """
    lineage = read_lineage(start.source)
    tested, total = lineage.among(start.splits.test, start.names), len(start.splits.test)
    if tested and not is_allowed:
        raise UserError(_refusal(start, lineage, tested))
    caveats = [
        f"The training cases of {place}, {_USE[start.key]}, are not recorded: test cases may be among them."
        for place in lineage.unknown
    ]
    caveats += [_doubt(start, run, namesakes) for run, namesakes in _namesakes(start, lineage)]
    if tested:
        caveats.append(
            f"{len(tested)} of the {total} test cases were used before, to train the weights of"
            f" {start.key}={start.source}, {_USE[start.key]}, or to choose among them: the test scores are not of"
            " unseen patients."
        )
    return caveats


def _namesakes(start: Start, lineage: Lineage) -> list[tuple[SeenCases, list[str]]]:
    """Return each run that has cases with names of test cases, and these names, if they may be other cases."""
    found = [(run, run.perhaps_among(start.splits.test, start.names, ("train", "val"))) for run in lineage.runs]
    return [(run, namesakes) for run, namesakes in found if namesakes]


def _doubt(start: Start, run: SeenCases, namesakes: Sequence[str]) -> str:
    return (
        f"{len(namesakes)} of the {len(start.splits.test)} test cases have names of cases that {run.folder} was trained"
        f" with, {_USE[start.key]}. Their folders differ, and that run does not record the content of its images:"
        " whether they are the same is not known."
    )


def note_on_validation(start: Start) -> str | None:
    """Return a sentence if validation cases were trained on, which inflates the scores that choose the best epoch."""
    trained = read_lineage(start.source).among(start.splits.val, start.names, ("train",))
    if not trained:
        return None
    names = shortened(trained, _MOST_NAMED)
    return (
        f"{len(trained)} of the {len(start.splits.val)} validation cases were trained on: {names}. Their"
        " Dice is too good, and the best epoch is chosen by it."
    )


def _refusal(start: Start, lineage: Lineage, tested: Sequence[str]) -> str:
    run = next(run for run in lineage.runs if run.among(tested, start.names, ("train", "val")))
    total = len(start.splits.test)
    trained = len(lineage.among(tested, start.names, ("train",)))
    names = shortened(tested, _MOST_NAMED)
    return (
        f"{start.key}={start.source}: {len(tested)} of the {total} test cases were used by {run.folder}"
        f" ({trained} to train, {len(tested) - trained} to choose the best epoch): {names}. Their scores"
        f" would not be of unseen patients. {_remedy(start, lineage)}, or accept it with init_overlap=allow, which"
        " marks the run's record and all its tables."
    )


def _remedy(start: Start, lineage: Lineage) -> str:
    """Return the remedy: the parts of one of the runs if none has seen its test cases and the data fit, else others."""
    others = "start from other weights" if start.key == "init" else "crop by another run"
    if start.is_foreign:
        return f"Test on other cases (data.cases=PATTERN among the words of data.test_on), {others}"
    for run in lineage.runs:
        is_known = {*run.train, *run.val, *run.test} <= start.names.patients.keys()
        if is_known and run.test and not lineage.among(run.test, start.names):
            return f"Use the same parts: data.split.file={RunFolder(run.folder).splits}" + (
                " data.fold=null" if start.has_fold else ""
            )
    return f"Test on other cases (data.split.file), {others}"
