"""Selection of the cases that a run uses.

A file of fixes, which ``aunet doctor --fix`` writes and ``data.fixes`` reads, leaves cases out and maps label values.
"""

import logging
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path

from aunet.data.cohort.case import Case, Cohort
from aunet.data.cohort.faulty_cases import each_usable
from aunet.data.cohort.shared_files import join_sharing_cases
from aunet.data.io.volume import read_grid
from aunet.errors import UserError
from aunet.files import read_json, write_json

_logger = logging.getLogger(__name__)


def selected_cohort(cohort: Cohort, pattern: str | None, on_error: str) -> Cohort:
    """Select the cases whose id fits ``pattern`` (``amos_0[0-4]*``; None: all).

    If ``on_error`` is "skip", cases whose files cannot be opened are left out. Cases that share a file or its content
    become one patient.
    """
    wanted = None if pattern is None else unicodedata.normalize("NFC", pattern)  # as case ids are
    cases = [case for case in cohort.cases if wanted is None or fnmatchcase(case.case_id, wanted)]
    if not cases:
        names = ", ".join(case.case_id for case in cohort.cases[:3])
        raise UserError(f"data.cases={pattern}: none of the {len(cohort.cases)} cases is so named ({names}, …).")
    usable = each_usable(cases, _open_headers, on_error) if on_error == "skip" else cases
    left_out = len(cohort.cases) - len(usable)
    note = f", {left_out} of them left out" if left_out else ""
    return replace(cohort, cases=join_sharing_cases(usable), description=cohort.description + note)


def annotation_notes(cohort: Cohort) -> list[str]:
    """Return a line for each class that not every case annotates."""
    notes: list[str] = []
    for index, name in cohort.labels.foreground:
        count = sum(case.annotates(index) for case in cohort.cases)
        if count == 0:
            notes.append(f"{name} is annotated in no case: this run cannot learn it, and its scores stay undefined")
        elif count < len(cohort.cases):
            notes.append(f"{name} is annotated in {count} of {len(cohort.cases)} cases: only these teach and score it")
    return notes


def _open_headers(case: Case) -> None:
    for path in case.files:
        read_grid(path)


@dataclass(frozen=True)
class CaseFixes:
    """Fixes of a cohort. ``leave_out``: case id -> reason. ``class_of_value``: value in the label files -> class."""

    leave_out: Mapping[str, str]
    class_of_value: Mapping[int, str]


def write_fixes(path: Path, fixes: CaseFixes) -> None:
    """Write ``path`` as JSON that a person can edit."""
    values = {str(value): name for value, name in sorted(fixes.class_of_value.items())}
    write_json(path, {"leave_out": dict(sorted(fixes.leave_out.items())), "class_of_value": values})


def read_fixes(path: Path) -> CaseFixes:
    """Read the fixes that ``write_fixes`` wrote; raise UserError if the file is not such a file."""
    content = read_json(path, "data.fixes is a file that aunet doctor --fix writes.")
    try:
        leave_out = {str(case_id): str(reason) for case_id, reason in content["leave_out"].items()}
        values = {int(value): str(name) for value, name in content["class_of_value"].items()}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(
            f"data.fixes={path}: cannot be read ({error}). It must hold leave_out, case id -> reason, and"
            " class_of_value, value -> class, as aunet doctor --fix writes them."
        ) from None
    return CaseFixes(leave_out, values)


def mended_cohort(cohort: Cohort, path: Path) -> Cohort:
    """Apply the fixes in the file ``path`` to ``cohort`` and log one line; raise UserError if they do not fit."""
    fixes = read_fixes(path)
    names = cohort.labels.names
    if unknown := [name for name in fixes.class_of_value.values() if name not in names]:
        raise UserError(f"data.fixes={path}: there is no class {unknown[0]!r}; there are {', '.join(names)}.")
    left = tuple(case for case in cohort.cases if case.case_id not in fixes.leave_out)
    if not left:
        raise UserError(f"data.fixes={path}: leaves out all {len(cohort.cases)} cases. Mend some of them.")
    mapped = {value: names.index(name) for value, name in fixes.class_of_value.items()}
    num_out = len(cohort.cases) - len(left)
    told = ", ".join(f"{value} is {name}" for value, name in fixes.class_of_value.items()) or "no value is mapped"
    _logger.info("As data.fixes says, %d of %d cases are left out; %s.", num_out, len(cohort.cases), told)
    note = f", {num_out} of them left out by {path.name}" if num_out else ""
    return replace(
        cohort,
        cases=left,
        class_of_value={**cohort.class_of_value, **mapped},
        description=cohort.description + note,
    )
