"""``aunet doctor``: the faults of a dataset, case by case, their remedies, and the settings that fit it."""

import json
import sys
from argparse import ArgumentParser
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from aunet.commands.shared_options import parse_words
from aunet.errors import UserError

if TYPE_CHECKING:
    from aunet.config.draft import Draft
    from aunet.config.schema import DataConfig
    from aunet.data.cohort.case import Cohort
    from aunet.doctor.cohort_statistics import CohortStatistics
    from aunet.doctor.examination import Examination
    from aunet.doctor.proposals import ProposedSetting


def doctor(words: Sequence[str]) -> None:
    """Examine the data that the Hydra overrides in ``words`` name; raise UserError if a case cannot be used."""
    options, overrides = parse_words(_parser(), words)
    from aunet.config.draft import compose_draft
    from aunet.config.words import path_of
    from aunet.doctor.case_picture import draw_suspicious
    from aunet.doctor.remarks import readers_kept_quiet

    draft = compose_draft([*overrides, "data.on_error=skip"])
    output = path_of(options.output or f"outputs/{draft.data.name}/doctor")
    with readers_kept_quiet():
        cohort, examination = _examine(draft.data)
        pictures = draw_suspicious(cohort, examination, _explicit_window(draft.data), output / "pictures")
        settings = _proposed_settings(draft, cohort, examination)
    lines = [f"Written to {output}: doctor.json, findings.csv" + (f", {len(pictures)} pictures" if pictures else "")]
    if options.fix:
        lines.append(_write_fixes(output / "fixes.json", cohort, examination))
    content = _write(output, cohort, examination, settings)
    if options.json:
        sys.stdout.write(json.dumps(content, indent=2) + "\n")
    else:
        _show(cohort, examination, settings, lines)
    _raise_if_serious(output, examination, is_fixed=options.fix)


def _parser() -> ArgumentParser:
    parser = ArgumentParser(
        prog="aunet doctor",
        description="Check every case of a dataset, say what to do, and propose settings that fit. The files of the"
        " dataset are only read. The exit status is 2 if a case cannot be used.",
        epilog="Settings are Hydra overrides, the same as for training: data=ct150 data.root=/scans.",
    )
    parser.add_argument("--output", metavar="DIR", help="folder of the findings; by default outputs/<data>/doctor")
    parser.add_argument("--json", action="store_true", help="print the content of doctor.json instead of tables")
    parser.add_argument(
        "--fix", action="store_true", help="write fixes.json: cases to leave out, values to map; data.fixes= takes it"
    )
    return parser


def _examine(data: "DataConfig") -> "tuple[Cohort, Examination]":
    """Return the cases that the source lists, and the findings, also on cases that it does not list."""
    from aunet.build.data import build_listed_cohort
    from aunet.config.words import path_of
    from aunet.data.preprocessing.modality_evidence import decide_modalities
    from aunet.doctor.cohort_checks import check_disk, needed_bytes
    from aunet.doctor.examination import Examination, examine_cohort, in_order
    from aunet.doctor.finding import NO_MODALITY, NOT_LISTED, Finding
    from aunet.doctor.remarks import remarks_heard

    with remarks_heard() as remarks:
        try:
            cohort = build_listed_cohort(data)
        except UserError as error:  # its reasons are among the remarks
            raise UserError("\n".join([*remarks, str(error)])) from None
    findings = [Finding(NOT_LISTED, "", remark) for remark in remarks]
    try:
        cohort = decide_modalities(cohort, "skip")
    except UserError as error:
        findings.append(Finding(NO_MODALITY, "", str(error)))
    examination = examine_cohort(cohort)
    findings += examination.findings
    if data.spacing is not None:
        needed = needed_bytes(examination.facts, data.spacing, cohort.num_channels)
        findings += check_disk(needed, path_of(data.cache))
    return cohort, Examination(examination.facts, in_order(findings))


def _proposed_settings(draft: "Draft", cohort: "Cohort", examination: "Examination") -> "list[ProposedSetting]":
    """Propose settings for the usable cases; none if no case is usable."""
    from aunet.doctor.proposals import propose_intensities, propose_settings

    facts = [case for case in examination.facts if case.case_id not in examination.unusable]
    readable = {case.case_id for case in facts}
    usable = [case for case in cohort.cases if case.case_id in readable]
    if not usable:
        return []
    intensities = propose_intensities(cohort, facts, draft.data.modality, _explicit_window(draft.data))
    return [*propose_settings(usable, draft.model.network), *intensities]


def _explicit_window(data: "DataConfig") -> tuple[float, float] | None:
    """Return the window in HU that data.window sets; None for auto and null."""
    window = data.window
    return None if window is None or isinstance(window, str) else (float(window[0]), float(window[1]))


def _statistics(cohort: "Cohort", examination: "Examination") -> "CohortStatistics | None":
    """Return the fingerprint of the usable cases; None if no case is usable."""
    from aunet.doctor.cohort_statistics import cohort_statistics

    facts = [case for case in examination.facts if case.case_id not in examination.unusable]
    return cohort_statistics(facts, cohort) if facts else None


def _show(
    cohort: "Cohort", examination: "Examination", settings: "Sequence[ProposedSetting]", lines: Sequence[str]
) -> None:
    from aunet.doctor.finding_tables import finding_table, settings_table, statistics_tables
    from aunet.terminal import table_console

    console, statistics = table_console(), _statistics(cohort, examination)
    title = f"Doctor: {cohort.description}"
    console.print(finding_table(examination.findings, len(cohort.cases), title, cohort.root))
    if statistics is not None:
        proposals = settings_table([(setting.override, setting.reason) for setting in settings])
        for table in (*statistics_tables(statistics), proposals):
            console.print("", table, sep="\n")
        _say(" ".join(setting.override for setting in settings))
    for line in lines:
        _say(line)


def _write(
    output: Path, cohort: "Cohort", examination: "Examination", settings: "Sequence[ProposedSetting]"
) -> dict[str, object]:
    """Write the findings to ``output`` and return the content of doctor.json."""
    from aunet.doctor.finding_files import write_findings

    statistics = _statistics(cohort, examination)
    summary = {
        "data": cohort.description,
        "num_cases": len(cohort.cases),
        "fingerprint": asdict(statistics) if statistics else None,
        "proposed": {setting.override: setting.reason for setting in settings},
    }
    return write_findings(output, examination.findings, examination.facts, summary)


def _write_fixes(path: Path, cohort: "Cohort", examination: "Examination") -> str:
    """Write the fixes to ``path`` and return the line that reports them."""
    from aunet.data.cohort.selection import write_fixes
    from aunet.doctor.finding import NOT_LISTED
    from aunet.doctor.proposals import propose_fixes

    fixes = propose_fixes(examination, cohort)
    write_fixes(path, fixes)
    is_some_unlisted = any(finding.kind is NOT_LISTED for finding in examination.findings)
    words = f"data.fixes={path.resolve()}" + (" data.on_error=skip" if is_some_unlisted else "")
    values = ", ".join(f"{value} is {name}" for value, name in fixes.class_of_value.items()) or "none"
    return f"Fixes: {len(fixes.leave_out)} cases to leave out, values to map: {values}. Train with {words}"


def _raise_if_serious(output: Path, examination: "Examination", *, is_fixed: bool) -> None:
    from aunet.doctor.finding import MISSING_PACKAGE, NOT_LISTED

    if needs := [found.message for found in examination.findings if found.kind is MISSING_PACKAGE]:
        raise UserError("\n".join(f"A package is missing for {need}" for need in needs))
    num_cases = len(examination.unusable - {""}) + sum(found.kind is NOT_LISTED for found in examination.findings)
    if num_cases:
        cases = "1 case" if num_cases == 1 else f"{num_cases} cases"
        remedy = (
            "or train with the fixes" if is_fixed else "or let --fix write a file for data.fixes that leaves them out"
        )
        raise UserError(f"{cases} cannot be used; see above and {output / 'doctor.json'}. Mend the files, {remedy}.")


def _say(text: str) -> None:
    from rich.console import Console

    Console(highlight=False, soft_wrap=True).print(text, markup=False)
