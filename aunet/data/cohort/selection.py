"""Selection of the cases that a run uses."""

from dataclasses import replace
from fnmatch import fnmatchcase

from aunet.data.cohort.case import Case, Cohort
from aunet.data.cohort.faulty_cases import each_usable
from aunet.data.io.volume import read_grid
from aunet.errors import UserError


def selected_cohort(cohort: Cohort, pattern: str | None, on_error: str) -> Cohort:
    """Select the cases whose id fits ``pattern`` (``amos_0[0-4]*``; None: all).

    If ``on_error`` is "skip", cases whose files cannot be opened are left out.
    """
    cases = [case for case in cohort.cases if pattern is None or fnmatchcase(case.case_id, pattern)]
    if not cases:
        names = ", ".join(case.case_id for case in cohort.cases[:3])
        raise UserError(f"data.cases={pattern}: none of the {len(cohort.cases)} cases is so named ({names}, …).")
    usable = each_usable(cases, _open_headers, on_error) if on_error == "skip" else cases
    left_out = len(cohort.cases) - len(usable)
    note = f", {left_out} of them left out" if left_out else ""
    return replace(cohort, cases=tuple(usable), description=cohort.description + note)


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
