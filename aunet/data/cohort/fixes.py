"""Cases to leave out and label values to map, as ``aunet doctor --fix`` writes them and ``data.fixes`` reads them."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from aunet.atomic_files import write_json
from aunet.data.cohort.case import Cohort
from aunet.data.io.json_files import read_json
from aunet.errors import UserError

_logger = logging.getLogger(__name__)


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
