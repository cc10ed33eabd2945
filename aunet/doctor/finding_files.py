"""The doctor's findings as files for other programs: one JSON with everything, one CSV with a row per finding."""

import csv
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import cast

from aunet.doctor.case_facts import CaseFacts
from aunet.doctor.finding import Finding, Severity
from aunet.files import write_json, write_text

_COLUMNS: tuple[str, ...] = ("severity", "finding", "case_id", "message", "remedy")


def write_findings(
    folder: Path, findings: Sequence[Finding], facts: Sequence[CaseFacts], summary: Mapping[str, object]
) -> dict[str, object]:
    """Write ``doctor.json``, with ``summary``, findings and cases, and ``findings.csv`` to ``folder``.

    Returns:
        the content of ``doctor.json``.
    """
    rows = [_row(finding) for finding in findings]
    counts = {severity.value: sum(row["severity"] == severity.value for row in rows) for severity in Severity}
    cases = {case.case_id: _without_nan(asdict(case)) for case in facts}
    summarised = {key: _without_nan(value) for key, value in summary.items()}
    content = {**summarised, "counts": counts, "findings": rows, "cases": cases}
    write_json(folder / "doctor.json", content)
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, _COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_text(folder / "findings.csv", text.getvalue())
    return content


def _row(finding: Finding) -> dict[str, str]:
    kind = finding.kind
    values = (kind.severity.value, kind.name, finding.case_id, finding.message, kind.remedy)
    return dict(zip(_COLUMNS, values, strict=True))


def _without_nan(value: object) -> object:
    """Return ``value`` with None for NaN and infinities, which JSON lacks."""
    if isinstance(value, Mapping):
        return {str(key): _without_nan(part) for key, part in cast(Mapping[object, object], value).items()}
    if isinstance(value, list | tuple):
        return [_without_nan(part) for part in cast(Sequence[object], value)]
    return None if isinstance(value, float) and not math.isfinite(value) else value
