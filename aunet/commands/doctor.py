"""``aunet doctor``: the faults of a dataset, case by case, their remedies, and the settings that fit it."""

import json
import sys
from argparse import ArgumentParser
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from aunet.commands.shared_options import check_output, parse_words, path_argument
from aunet.errors import UserError

if TYPE_CHECKING:
    from aunet.config.draft import Draft
    from aunet.config.schema import DataConfig
    from aunet.data.cohort.case import Cohort
    from aunet.doctor.cohort_statistics import CohortStatistics
    from aunet.doctor.examination import Examination
    from aunet.doctor.proposals import ProposedSetting


@dataclass(frozen=True)
class _Diagnosis:
    """One examined dataset: its cases, what was found, the settings that fit, and the folder of its files.

    The dataset ``is_tested`` only, that of ``data.test_on``, or the run's own.
    """

    cohort: "Cohort"
    examination: "Examination"
    settings: "Sequence[ProposedSetting]"
    output: Path
    num_pictures: int
    is_tested: bool = False


def doctor(words: Sequence[str]) -> None:
    """Examine the data that the Hydra overrides in ``words`` name; raise UserError if a case cannot be used."""
    options, overrides = parse_words(_parser(), words)
    from aunet.config.draft import compose_draft

    draft = compose_draft([*overrides, "data.on_error=skip"])
    output: Path = options.output or Path("outputs") / draft.data.name / "doctor"
    check_output(output)
    own, *others = _diagnose(draft, output)
    content = _write(own, {"test_on": _write(others[0])} if others else {})
    lines = [_list_files(found, is_fixed=options.fix) for found in (own, *others)]
    if options.json:
        sys.stdout.write(json.dumps(content, indent=2) + "\n")
    else:
        for found, of_found in zip((own, *others), lines, strict=True):
            _show(found, of_found)
    _raise_if_serious([own, *others], draft.data.test_on or (), is_fixed=options.fix)


def _parser() -> ArgumentParser:
    parser = ArgumentParser(
        prog="aunet doctor",
        description="Check every case of a dataset, say what to do, and propose settings that fit. The files of the"
        " dataset are only read. The exit status is 2 if a case cannot be used.",
        epilog="Settings are Hydra overrides, the same as for training: data=ct150 data.root=/scans.",
    )
    parser.add_argument(
        "--output", type=path_argument, metavar="DIR", help="folder of the findings; by default outputs/<data>/doctor"
    )
    parser.add_argument("--json", action="store_true", help="print the content of doctor.json instead of tables")
    parser.add_argument(
        "--fix", action="store_true", help="write fixes.json: cases to leave out, values to map; data.fixes= takes it"
    )
    return parser


def _diagnose(draft: "Draft", output: Path) -> "list[_Diagnosis]":
    """Return what is found in the dataset and, if ``data.test_on`` names one, in the other that is tested."""
    from aunet.build.data import compose_tested
    from aunet.doctor.case_picture import draw_suspicious
    from aunet.doctor.remarks import readers_kept_quiet

    datasets = [(draft.data, output)]
    if draft.data.test_on is not None:
        tested = compose_tested(draft.data.test_on, draft.trusted_modules)
        datasets.append((replace(tested, on_error="skip"), output / "test_on"))
    found: list[_Diagnosis] = []
    with readers_kept_quiet():
        for data, folder in datasets:
            cohort, examination = _examine(data)
            pictures = draw_suspicious(cohort, examination, _explicit_window(draft.data), folder / "pictures")
            settings = [] if found else _proposed_settings(draft, cohort, examination)
            found.append(_Diagnosis(cohort, examination, settings, folder, len(pictures), is_tested=bool(found)))
    return found


def _list_misfits(own: _Diagnosis, others: Sequence[_Diagnosis], words: Sequence[str]) -> list[str]:
    """Return why a network of the dataset cannot be tested on the other one, which ``words`` name."""
    from aunet.data.cohort.foreign_cases import with_foreign_cases

    try:
        for other in others:
            with_foreign_cases(own.cohort, other.cohort, words)
    except UserError as error:
        return [str(error)]
    return []


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


def _statistics(found: _Diagnosis) -> "CohortStatistics | None":
    """Return the fingerprint of the usable cases; None if no case is usable."""
    from aunet.doctor.cohort_statistics import cohort_statistics

    examination = found.examination
    facts = [case for case in examination.facts if case.case_id not in examination.unusable]
    return cohort_statistics(facts, found.cohort) if facts else None


def _show(found: _Diagnosis, lines: Sequence[str]) -> None:
    from aunet.doctor.finding_tables import finding_table, settings_table, statistics_tables
    from aunet.terminal import table_console

    console, statistics, cohort = table_console(), _statistics(found), found.cohort
    title = f"Doctor{', data.test_on' if found.is_tested else ''}: {cohort.description}"
    console.print(finding_table(found.examination.findings, len(cohort.cases), title, cohort.root))
    if statistics is not None:
        for table in statistics_tables(statistics):
            console.print("", table, sep="\n")
    if statistics is not None and not found.is_tested:
        console.print("", settings_table([(setting.override, setting.reason) for setting in found.settings]), sep="\n")
        _say(" ".join(setting.override for setting in found.settings))
    for line in lines:
        _say(line)


def _write(found: _Diagnosis, further: Mapping[str, object] = MappingProxyType({})) -> dict[str, object]:
    """Write the findings, with ``further`` facts, to their folder and return the content of doctor.json."""
    from aunet.doctor.finding_files import write_findings

    statistics = _statistics(found)
    summary = {
        "data": found.cohort.description,
        "num_cases": len(found.cohort.cases),
        "fingerprint": asdict(statistics) if statistics else None,
        "proposed": {setting.override: setting.reason for setting in found.settings},
        **further,
    }
    return write_findings(found.output, found.examination.findings, found.examination.facts, summary)


def _list_files(found: _Diagnosis, *, is_fixed: bool) -> list[str]:
    """Return the lines that report the files in the folder of the findings; write the fixes first if they are asked."""
    pictures = f", {found.num_pictures} pictures" if found.num_pictures else ""
    lines = [f"Written to {found.output}: doctor.json, findings.csv{pictures}"]
    return [*lines, _write_fixes(found)] if is_fixed else lines


def _write_fixes(found: _Diagnosis) -> str:
    """Write the fixes to ``fixes.json`` and return the line that reports them."""
    from aunet.data.cohort.selection import write_fixes
    from aunet.doctor.finding import NOT_LISTED
    from aunet.doctor.proposals import propose_fixes

    path, fixes = found.output / "fixes.json", propose_fixes(found.examination, found.cohort)
    write_fixes(path, fixes)
    is_some_unlisted = any(finding.kind is NOT_LISTED for finding in found.examination.findings)
    words = f"data.fixes={path.resolve()}" + (" data.on_error=skip" if is_some_unlisted else "")
    values = ", ".join(f"{value} is {name}" for value, name in fixes.class_of_value.items()) or "none"
    use = f"Add to the words of data.test_on: {words}" if found.is_tested else f"Train with {words}"
    return f"Fixes: {len(fixes.leave_out)} cases to leave out, values to map: {values}. {use}"


def _raise_if_serious(diagnoses: Sequence[_Diagnosis], words: Sequence[str], *, is_fixed: bool) -> None:
    """Raise UserError for unusable cases, and if the dataset that data.test_on (``words``) names does not fit."""
    from aunet.doctor.finding import MISSING_PACKAGE, NOT_LISTED

    remedy = "or train with the fixes" if is_fixed else "or let --fix write a file for data.fixes that leaves them out"
    reasons: list[str] = []
    for found in diagnoses:
        findings, unusable = found.examination.findings, found.examination.unusable
        if needs := [finding.message for finding in findings if finding.kind is MISSING_PACKAGE]:
            raise UserError("\n".join(f"A package is missing for {need}" for need in needs))
        if num_cases := len(unusable - {""}) + sum(finding.kind is NOT_LISTED for finding in findings):
            cases = ("1 case" if num_cases == 1 else f"{num_cases} cases") + " of data.test_on" * found.is_tested
            reasons.append(
                f"{cases} cannot be used; see above and {found.output / 'doctor.json'}. Mend the files, {remedy}."
            )
    if reasons := [*reasons, *_list_misfits(diagnoses[0], diagnoses[1:], words)]:
        raise UserError("\n".join(reasons))


def _say(text: str) -> None:
    from rich.console import Console

    Console(highlight=False, soft_wrap=True).print(text, markup=False)
