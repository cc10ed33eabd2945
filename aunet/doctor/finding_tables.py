"""The doctor's findings, the dataset's fingerprint and settings that fit it, as tables for the terminal."""

from collections.abc import Sequence
from pathlib import Path

from aunet.data.preprocessing.image_intensities import PERCENTILES
from aunet.doctor.cohort_statistics import ClassStatistics, CohortStatistics, Range
from aunet.doctor.finding import KINDS, MISSING_PACKAGE, Finding
from aunet.messages import shortened
from aunet.reporting.tables import PaperTable

_MOST_CASES, _LONGEST_MESSAGE = 4, 240


def finding_table(findings: Sequence[Finding], num_cases: int, title: str, root: Path | None = None) -> PaperTable:
    """Return a table with a row per kind of finding, serious ones first: count, cases, an example and the remedy.

    Paths are relative to the dataset's folder ``root``.
    """
    of_kind = [[finding for finding in findings if finding.kind is kind] for kind in KINDS]
    rows = [_row(same, root) for same in of_kind if same]
    faulty = {finding.case_id for finding in findings if finding.case_id}
    note = f"{num_cases} cases examined, {num_cases - len(faulty)} of them without any finding."
    if any(finding.kind is MISSING_PACKAGE for finding in findings):
        note = f"{num_cases} cases, of which those that need the missing package could not be examined."
    return PaperTable(
        title=title,
        columns=("Finding", "Severity", "Cases", "What, and what to do"),
        groups=tuple((row,) for row in rows) or ((("none", "", "", "Every check was passed."),),),
        notes=(note,),
        name_columns=4,
    )


def statistics_tables(statistics: CohortStatistics) -> tuple[PaperTable, PaperTable]:
    """Return the fingerprint: a table of spacing, sizes and intensities, and one of the classes."""
    axes = ("right", "anterior", "superior")
    grid = tuple(
        (name, *(_ranged(of_axis) for of_axis in ranges))
        for name, ranges in (
            ("spacing (mm)", statistics.spacing),
            ("size (voxels)", statistics.size),
            ("extent (mm)", statistics.extent),
        )
    )
    percentiles = ", ".join(f"{percentile:g} %" for percentile in PERCENTILES)
    medians = _numbers(statistics.image_percentiles)
    notes = [f"Intensities (HU if CT) at {percentiles}, medians over the cases: {medians}"]
    if statistics.foreground_percentiles is not None:
        notes[0] += f"; of the labelled voxels: {_numbers(statistics.foreground_percentiles)}"
    return (
        PaperTable(
            f"Fingerprint of {statistics.num_cases} cases: median (range)", ("", *axes), (grid,), (f"{notes[0]}.",), 1
        ),
        PaperTable(
            "Classes",
            ("Class", "Cases", "Volume (ml)", "Share of voxels"),
            (tuple(_class_row(found) for found in statistics.classes),),
            name_columns=1,
        ),
    )


def settings_table(settings: Sequence[tuple[str, str]]) -> PaperTable:
    """Return the table of ``settings``, each an override and its reason."""
    return PaperTable("Settings that fit, to copy", ("Override", "Why"), (tuple(settings),))


def _row(findings: Sequence[Finding], root: Path | None) -> tuple[str, ...]:
    kind, names = findings[0].kind, list(dict.fromkeys(finding.case_id for finding in findings if finding.case_id))
    message = findings[0].message
    if root is not None:
        message = message.replace(f"{root}/", "")
    if len(message) > _LONGEST_MESSAGE:
        message = f"{message[:_LONGEST_MESSAGE]}…"
    example = f"{names[0]}: {message}" if len(names) > 1 else message
    return kind.name, kind.severity.value, _list_cases(names), f"{example.rstrip('.')}. → {kind.remedy}"


def _list_cases(names: Sequence[str]) -> str:
    count = f"{len(names)}: " if len(names) > _MOST_CASES else ""
    return count + shortened(names, _MOST_CASES)


def _ranged(values: Range) -> str:
    if values.lowest == values.highest:
        return f"{values.median:.4g}"
    return f"{values.median:.4g} ({values.lowest:.4g}–{values.highest:.4g})"


def _class_row(found: ClassStatistics) -> tuple[str, ...]:
    volume = _ranged(found.volume_ml) if found.volume_ml else "–"
    return found.name, f"{found.num_cases} of {found.num_annotated}", volume, f"{found.share_of_voxels:.3%}"


def _numbers(values: Sequence[float]) -> str:
    return ", ".join(f"{value:.4g}" for value in values)
