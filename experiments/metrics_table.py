"""Write the table of metrics in docs/statistics.md from the records of aunet/metrics/registry.py.

Run make docs after a change of the registry; a test fails until it is run.
"""

from pathlib import Path

from aunet.metrics.metric import Metric
from aunet.metrics.registry import METRICS

FILE = Path(__file__).resolve().parents[1] / "docs" / "statistics.md"
BEGIN, END = "<!-- written by experiments/metrics_table.py -->", "<!-- end of what it writes -->"
BETTER = {"higher": "higher", "lower": "lower", "zero": "near 0"}
PENALTIES = {"zero": "0", "diagonal": "the scan's diagonal", "none": "its own value, if defined"}


def _row(metric: Metric) -> str:
    shown = "on request" if metric.is_optional else "tables and files" if metric.is_shown else "files"
    note = metric.note.partition(": ")[2] or metric.note
    cells = (metric.heading, f"`{metric.key}`", BETTER[metric.direction], PENALTIES[metric.penalty], shown, note)
    return "| " + " | ".join(cells) + " |"


def statistics_page(page: str) -> str:
    """Return ``page``, the text of docs/statistics.md, with its table of metrics written anew."""
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    head = "| metric | column | better | a class in only one of both counts, penalised | shown in | note |"
    lines = [BEGIN, "", head, "|---|---|---|---|---|---|", *map(_row, METRICS), "", END]
    return before + "\n".join(lines) + after


if __name__ == "__main__":
    FILE.write_text(statistics_page(FILE.read_text(encoding="utf-8")), encoding="utf-8")
