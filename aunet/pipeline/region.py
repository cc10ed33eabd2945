"""The coarse run that crops the cases of a run: its overlap with them, its copy, and the cases in which it failed."""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from aunet.build.model import build_region
from aunet.build.start import build_test_start
from aunet.build.store import keep_region
from aunet.config.schema import RunConfig
from aunet.config.words import path_of
from aunet.data.cohort.case import Case, Cohort
from aunet.data.cohort.splits import Splits
from aunet.data.datamodule import SegmentationData
from aunet.data.preprocessing.region import RegionFinder
from aunet.messages import shortened
from aunet.runs.ranks import first_rank_first, gathered, rank
from aunet.runs.run_record import RunRecord
from aunet.training.init_overlap import check_overlap

_log = logging.getLogger(__name__)


def check_region(config: RunConfig, cohort: Cohort, splits: Splits) -> list[str]:
    """Return sentences for below the scores; raise UserError if the coarse run does not fit or has seen test cases."""
    if build_region(config) is None or config.data.region is None:
        return []
    start = build_test_start(config.data, config.data.region, cohort, splits, key="data.region")
    return check_overlap(start, is_allowed=config.init_overlap == "allow")


def take_in_region(
    config: RunConfig, cohort: Cohort, splits: Splits, folder: Path, record: RunRecord
) -> tuple[RunConfig, dict[str, Any]]:
    """Copy the coarse run into the run's ``folder``, unless done.

    Returns:
        The configuration with the copy as ``data.region``, and facts for the record; none if nothing crops the cases.

    Raises:
        UserError: the coarse run does not fit, or has seen test cases, when the run begins.
    """
    if config.data.region is None:
        return config, {}
    facts = {key: record.facts[key] for key in ("region", "caveats") if key in record.facts}
    if "region" not in facts:
        caveats = check_region(config, cohort, splits)
        facts = {"region": {"source": str(path_of(config.data.region).absolute())}, "caveats": caveats}
        for caveat in caveats if rank() == 0 else ():
            _log.warning("data.region=%s: %s", config.data.region, caveat)
    with first_rank_first():
        return keep_region(config, folder), facts


def join_facts(first: Mapping[str, Any], second: Mapping[str, Any]) -> dict[str, Any]:
    """Return the facts of both, with the caveats of both."""
    caveats = list(dict.fromkeys([*first.get("caveats", ()), *second.get("caveats", ())]))
    others = {key: value for key, value in ({**first, **second}).items() if key != "caveats"}
    return others | ({"caveats": caveats} if caveats else {})


def record_uncropped(data: SegmentationData, record: RunRecord) -> None:
    """Record and log the training and validation cases that stay whole, as the coarse run misses their organs."""
    parts = {"train": data.uncropped(data.splits.train), "val": data.uncropped(data.splits.val)}
    missed = [case_id for part in parts.values() for case_id in part]
    num_cases = len(data.splits.train) + len(data.splits.val)
    if rank() == 0:
        _log_missed(missed, num_cases, "training and validation cases")
    record.update(region={**record.facts["region"], "missed": parts})


def record_missed_tests(region: RegionFinder | None, cases: Sequence[Case], record: RunRecord) -> None:
    """Record and log the test cases that were segmented whole; every rank has predicted some of ``cases``."""
    if region is None:
        return
    scans = {scan for of_rank in gathered(region.missed) for scan in of_rank}
    missed = [case.case_id for case in cases if str(case.images[0]) in scans]
    if rank() == 0:
        _log_missed(missed, len(cases), "test cases")
    known = record.facts["region"]
    record.update(region={**known, "missed": {**known.get("missed", {}), "test": missed}})


def _log_missed(missed: Sequence[str], num_cases: int, kind: str) -> None:
    if missed:
        text = (
            "Region: %d of %d %s are whole scans, as data.region misses an organ in them (see data.region_classes): %s"
        )
        _log.warning(text, len(missed), num_cases, kind, shortened(missed))
    else:
        _log.info("Region: the box that data.region predicts crops all of %d %s.", num_cases, kind)
