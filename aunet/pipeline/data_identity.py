"""The identity of a run's data: a run that continues, perhaps on another machine, must find the same."""

from collections.abc import Sequence
from contextlib import suppress

from aunet.build.preprocessing import build_digests
from aunet.config.schema import DataConfig
from aunet.config.words import path_of
from aunet.data.cohort.case import Case, Cohort
from aunet.data.cohort.content_digest import dataset_fingerprint, file_fingerprint
from aunet.data.patches.planning import ras_grid
from aunet.errors import UserError
from aunet.runs.run_record import RunRecord


def measure_training_range(cases: Sequence[Case]) -> dict[str, object]:
    """Return lowest and highest spacing (mm) of the readable ``cases`` along right, anterior and superior, by header.

    A prediction compares its scans with it.
    """
    spacings = list[Sequence[float]]()
    for case in cases:
        with suppress(UserError):
            spacings.append(ras_grid(case)[1].tolist())
    return {"spacing_mm": [[round(min(axis), 4), round(max(axis), 4)] for axis in zip(*spacings, strict=True)]}


def check_same_data(data: DataConfig, cohort: Cohort, record: RunRecord) -> dict[str, str]:
    """Return the facts that identify the data; raise UserError if they differ from those with which the run began."""
    found = {"data_fingerprint": dataset_fingerprint(cohort.cases, build_digests(data))}
    given = {"data_fingerprint": f"data.root={data.root}"}
    if data.fixes is not None:  # they map values of label maps, which the fingerprint does not see
        found["fixes_fingerprint"] = file_fingerprint(path_of(data.fixes))
        given["fixes_fingerprint"] = f"data.fixes={data.fixes}"
    for fact, now in found.items():
        then = record.facts.get(fact, now)  # a run of an older version has no fingerprint of the fixes
        if then != now:
            raise UserError(
                f"{given[fact]}: its files have changed since this run began (fingerprint {then} then, {now} now)."
                " Restore them, or start another run."
            )
    return found


def foreign_facts(data: DataConfig, cohort: Cohort, record: RunRecord) -> dict[str, list[str]]:
    """Return the caveat of scores on another dataset than the run was trained on, beside those it has."""
    if not cohort.foreign:
        return {}
    caveat = f"Trained on {cohort.name}, tested on another dataset: {' '.join(data.test_on or ())}."
    return {"caveats": [*record.facts.get("caveats", ()), caveat]}
