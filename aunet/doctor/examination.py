"""Examination of a cohort: each case is read once, a few at a time, and only its measurements are kept."""

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

from aunet.classes import IGNORED
from aunet.data.cohort.case import Case, Cohort
from aunet.data.cohort.references import read_reference
from aunet.data.io.volume import Volume, align, check_same_grid, read_channels, read_label
from aunet.data.preprocessing.image_intensities import measured_intensities
from aunet.doctor.case_checks import check_annotations, check_image, check_label, check_positions
from aunet.doctor.case_facts import (
    CaseFacts,
    content_digest,
    counted_values,
    measured_classes,
    ras_shape_and_spacing,
    with_classes,
)
from aunet.doctor.cohort_checks import check_cohort
from aunet.doctor.finding import KINDS, MISSING_PACKAGE, OTHER_GRID, REMARK, UNREADABLE, Finding, Kind, Severity
from aunet.doctor.remarks import remarks_heard
from aunet.errors import MissingPackageError, UserError
from aunet.messages import counted, shortened
from aunet.terminal import shown

# Each thread holds a case in memory.
_THREADS = min(4, os.cpu_count() or 1)
_Result = TypeVar("_Result")


@dataclass(frozen=True)
class Examination:
    """Findings in a cohort, the most serious first, and measurements of the cases that can be read."""

    facts: tuple[CaseFacts, ...]
    findings: tuple[Finding, ...]

    @property
    def unusable(self) -> frozenset[str]:
        """Return the ids of the cases with an error."""
        return frozenset(finding.case_id for finding in self.findings if finding.kind.severity is Severity.ERROR)


def examine_cohort(cohort: Cohort) -> Examination:
    """Read and check every case, then all together, showing progress; a faulty file does not stop it."""
    with ThreadPoolExecutor(_THREADS) as threads:
        results = threads.map(lambda case: examine_case(case, cohort), cohort.cases)
        examined = list(shown(results, "Examining cases", len(cohort.cases)))
    facts = tuple(facts for facts, _ in examined if facts is not None)
    findings = _with_packages_once([finding for _, found in examined for finding in found])
    return Examination(facts, in_order([*findings, *check_cohort(facts, cohort)]))


def examine_case(case: Case, cohort: Cohort) -> tuple[CaseFacts | None, list[Finding]]:
    """Return the measurements of one case, None if its files cannot be read, and its findings."""
    findings: list[Finding] = []

    def attempt(read: Callable[[], _Result], kind: Kind) -> _Result | None:
        try:
            return read()
        except MissingPackageError as error:
            findings.append(Finding(MISSING_PACKAGE, case.case_id, error.need))
            return None
        except (UserError, MemoryError) as error:
            findings.append(Finding(kind, case.case_id, " ".join(str(error or "too large for the memory").split())))
            return None

    with remarks_heard() as remarks:
        image = attempt(lambda: _first_channel(case, cohort), UNREADABLE)
        label = attempt(lambda: read_integers(case, cohort), UNREADABLE)
        is_same_grid = image is not None and label is not None
        if image is not None and label is not None:
            aligned = attempt(partial(_align, label, image, case), OTHER_GRID)
            is_same_grid = aligned is not None
            label = aligned or label
        facts = None
        if image is not None and label is not None:
            facts = attempt(partial(_measure, case, cohort, image, label, is_same_grid=is_same_grid), UNREADABLE)
    if facts is not None:
        findings += _checked(case, cohort, facts)
    findings += [Finding(REMARK, case.case_id, " ".join(message.split())) for message in dict.fromkeys(remarks)]
    return facts, findings


def read_integers(case: Case, cohort: Cohort) -> Volume:
    """Read the reference with the values of its file, also those without a class; masks and objects as classes."""
    if case.masks or case.label is None or cohort.has_instances:
        return read_reference(case, cohort)
    return read_label(case.label)


def class_of_integer(case: Case, cohort: Cohort) -> dict[int, int]:
    """Return the class of each value that ``read_integers`` may return; ignored voxels are measured as background."""
    if case.masks:
        return {index: index for index in range(cohort.labels.num_classes)}
    return {value: 0 if index == IGNORED else index for value, index in cohort.class_of_value.items()}


def in_order(findings: Sequence[Finding]) -> tuple[Finding, ...]:
    """Sort findings by kind, the most serious first, then by case."""
    return tuple(sorted(findings, key=lambda finding: (KINDS.index(finding.kind), finding.case_id, finding.message)))


def _with_packages_once(findings: Sequence[Finding]) -> list[Finding]:
    """Return the findings with one for each missing package, which names its cases, in place of one for each case."""
    cases: dict[str, dict[str, None]] = {}
    for finding in findings:
        if finding.kind is MISSING_PACKAGE:
            cases.setdefault(finding.message, {})[finding.case_id] = None
    merged = [
        Finding(MISSING_PACKAGE, "", f"{counted(len(ids), 'case')} ({shortened(list(ids))}): {need}")
        for need, ids in cases.items()
    ]
    return [*(finding for finding in findings if finding.kind is not MISSING_PACKAGE), *merged]


def _first_channel(case: Case, cohort: Cohort) -> Volume:
    """Return the first channel, which stands for all; read the others too, so that a damaged one is found."""
    first, count = None, 0
    for path in case.images:
        for channel in read_channels(path):
            count += 1
            first = first or channel
            check_same_grid(first, channel, case.case_id)
    if first is None or count != cohort.num_channels:
        raise UserError(f"case {case.case_id} has {count} channels, its dataset {cohort.num_channels}.")
    return first


def _align(label: Volume, image: Volume, case: Case) -> Volume:
    """Return ``label`` on the grid of ``image``; raise UserError if it lies on another."""
    aligned = align(label, image)
    check_same_grid(image, aligned, case.case_id)
    return aligned


def _measure(case: Case, cohort: Cohort, image: Volume, label: Volume, *, is_same_grid: bool) -> CaseFacts:
    shape, spacing, orientation = ras_shape_and_spacing(image)
    values = counted_values(label.array)
    classes = with_classes(label, class_of_integer(case, cohort), values)
    return CaseFacts(
        case_id=case.case_id,
        patient=case.patient,
        shape=shape,
        spacing=spacing,
        orientation=orientation,
        intensities=measured_intensities(image.array),
        image_digest=content_digest(image),
        label_digest=content_digest(label),
        values=values,
        classes=measured_classes(image if is_same_grid else None, classes, cohort.labels),
    )


def _checked(case: Case, cohort: Cohort, facts: CaseFacts) -> Iterator[Finding]:
    yield from check_image(case.case_id, facts.intensities, cohort.channel_modalities[0])
    if not case.masks:
        yield from check_label(case, cohort, facts)
        yield from check_annotations(case, cohort, facts)
    centers = {cohort.labels.names[index]: found.center for index, found in facts.classes.items()}
    yield from check_positions(case.case_id, centers)
