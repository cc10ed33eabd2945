"""Cases of a dataset, built one by one: a faulty one raises an error, or is logged and left out."""

import logging
from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

from aunet.data.cohort.case import Case
from aunet.errors import NoRoomError, UserError
from aunet.messages import alike_but_for_case, shortened

_logger = logging.getLogger(__name__)
_Item = TypeVar("_Item")
_Result = TypeVar("_Result")
# Bytes of UTF-8: file systems allow 255, temporary names and endings such as _attention.nii.gz need the rest.
_LONGEST_ID = 200


def usable_cases(entries: Iterable[_Item], build: Callable[[_Item], Case], on_error: str) -> tuple[Case, ...]:
    """Build a case from each entry, sorted by case id; if ``on_error`` is "skip", leave out what ``build`` refuses.

    A case id names files, so it must be a plain file name, and unique.
    """
    found: dict[str, Case] = {}

    def add(entry: _Item) -> None:
        case = build(entry)
        _check_id(case, found)
        found[case.case_id] = case

    each_usable(entries, add, on_error)
    for names in alike_but_for_case(found):
        _logger.warning(
            "The case ids %s differ only in upper and lower case. Windows and macOS take their files for one, so those"
            " of one case would replace the other's there; give them different names.",
            shortened(names),
        )
    return tuple(found[case_id] for case_id in sorted(found))


def each_usable(entries: Iterable[_Item], act: Callable[[_Item], object], on_error: str) -> list[_Item]:
    """Return the entries for which ``act`` succeeds.

    If ``on_error`` is "skip", each failure is logged in one line, and UserError is raised only if all entries fail.
    """
    usable, num_faulty = list[_Item](), 0
    for entry in entries:
        try:
            act(entry)
            usable.append(entry)
        except UserError as error:
            if on_error != "skip":
                raise
            tell_skipped(error)
            num_faulty += 1
    if num_faulty and not usable:
        raise UserError(f"None of the {num_faulty} cases can be used, for the reasons above. Mend them one by one.")
    return usable


def attempt(act: Callable[[_Item], _Result], entry: _Item, on_error: str) -> _Result | None:
    """Return ``act(entry)``; if it raises UserError and ``on_error`` is "skip", log one line and return None."""
    try:
        return act(entry)
    except UserError as error:
        if on_error != "skip":
            raise
        tell_skipped(error)
        return None


def tell_skipped(error: UserError) -> None:
    """Log in one line why a case is left out."""
    _logger.warning("Skipped, as data.on_error=skip: %s", " ".join(str(error).split()))


def without_faulty(cases: Sequence[Case], prepare: Callable[[Sequence[Case]], object]) -> list[Case]:
    """Return the cases for which ``prepare`` succeeds, found by halving: many at once if all are sound."""
    try:
        prepare(cases)
    except NoRoomError:  # no fault of a case
        raise
    except UserError as error:
        if len(cases) == 1:
            tell_skipped(error)
            return []
        middle = len(cases) // 2
        return [*without_faulty(cases[:middle], prepare), *without_faulty(cases[middle:], prepare)]
    return list(cases)


def _check_id(case: Case, found: dict[str, Case]) -> None:
    name = case.case_id
    if not name or name.startswith(".") or not name.isprintable() or set(name) & set("/\\"):
        raise UserError(
            f"{_where(case)}: the case id {name!r} is not a plain file name. Predictions are named by it: use letters,"
            " digits, blanks, '-', '_' and '.', not at the beginning."
        )
    if (length := len(name.encode())) > _LONGEST_ID:
        raise UserError(
            f"{_where(case)}: the case id {name[:20]}… has {length} bytes, at most {_LONGEST_ID} are possible: files of"
            " the run are named by it, with endings. Rename the files, or list them in a table (data=folder) with"
            " shorter ids."
        )
    if name in found:
        raise UserError(
            f"{_where(case)}: the case id {name} appears twice, also for {_where(found[name])}. Give each case its own."
        )


def _where(case: Case) -> str:
    return str(case.images[0]) if case.images else "a case"
