"""Fixes that change no file: cases to leave out, and a value for the class that lacks one."""

from aunet.data.cohort.case import Cohort
from aunet.data.cohort.fixes import CaseFixes
from aunet.doctor.examination import Examination
from aunet.doctor.finding import SAME_IMAGE, UNKNOWN_VALUES, Finding, Severity


def propose_fixes(examination: Examination, cohort: Cohort) -> CaseFixes:
    """Propose to leave out unusable cases and repeated images, and to map a value if only one class can be meant.

    If several values or several classes are in question, the cases are left out instead of guessing.
    """
    class_of_value = mapped_values(examination, cohort)
    values_of_case = {case.case_id: case.values for case in examination.facts}

    def is_mended(finding: Finding) -> bool:
        known = cohort.class_of_value.keys() | class_of_value.keys()
        return finding.kind is UNKNOWN_VALUES and values_of_case[finding.case_id].keys() <= known

    leave_out: dict[str, str] = {}
    for finding in examination.findings:
        is_serious = finding.kind.severity is Severity.ERROR or finding.kind is SAME_IMAGE
        if is_serious and finding.case_id and not is_mended(finding):
            leave_out.setdefault(finding.case_id, f"{finding.kind.name}: {finding.message}")
    return CaseFixes(leave_out, class_of_value)


def mapped_values(examination: Examination, cohort: Cohort) -> dict[int, str]:
    """Map the one value without a class to the one class whose values occur nowhere; otherwise map nothing."""
    if cohort.is_other_background:
        return {}
    found = {value for case in examination.facts for value in case.values}
    unknown = [value for value in found if value not in cohort.class_of_value]
    present = {cohort.class_of_value[value] for value in found if value in cohort.class_of_value}
    spoken_of = [pair for pair in cohort.labels.foreground if any(case.annotates(pair[0]) for case in cohort.cases)]
    missing = [name for index, name in spoken_of if index not in present]
    return {unknown[0]: missing[0]} if len(unknown) == len(missing) == 1 else {}
