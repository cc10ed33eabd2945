"""Tables as a reader meets them: in a terminal of 140 columns and in Markdown."""

import math

import pandas as pd
import pytest
from rich.console import Console

from aunet.metrics.case_scores import CONVENTION, PENALTY, USUAL_METRICS, shown_metrics
from aunet.metrics.registry import METRIC_OF
from aunet.reporting.tables import DETECTION_NOTE, PHANTOM_NOTE, PaperTable, mean_and_sd, score_table


def summary() -> pd.DataFrame:
    rows = [
        {
            **{"class": name, "metric": metric, "mean": 0.84, "sd": 0.0871, "count": 7, "undefined": 1},
            **{"penalised_mean": 0.735, "present": 8, "detected": 7, "invented": 2},
        }
        for metric in shown_metrics(USUAL_METRICS)
        for name in ("pancreas", "left_kidney")
    ]
    return pd.DataFrame(rows)


def printed(table: PaperTable, width: int = 100) -> str:
    console = Console(width=width, color_system=None)
    with console.capture() as capture:
        console.print(table)
    return capture.get()


@pytest.mark.parametrize(
    ("mean", "sd", "expected"),
    [(0.84, 0.0871, "0.840 ± 0.087"), (0.84, math.nan, "0.840"), (math.nan, math.nan, "–")],
)
def test_a_mean_is_shown_with_its_sd_if_both_are_defined(mean: float, sd: float, expected: str) -> None:
    assert mean_and_sd(mean, sd, "dice") == expected


def test_a_score_table_groups_rows_by_metric_then_class() -> None:
    rows = [row for rows in score_table(summary(), "Test cases").groups for row in rows]

    titles = ["Dice", "Precision", "Recall", "ASSD (mm)", "HD95 (mm)", "NSD", "Volume (%)"]
    assert [row[0] for row in rows] == [cell for title in titles for cell in (title, "")]
    assert rows[0][1:] == ("pancreas", "0.840 ± 0.087", "0.735", "7/8 +2", "7", "1")
    assert rows[-1][1:] == ("left_kidney", "0.8 ± 0.1", "0.7", "7/8 +2", "7", "1")


def test_a_score_table_states_the_convention_for_undefined_values() -> None:
    table = score_table(summary(), "Test cases")

    assert CONVENTION in " ".join(printed(table).split())
    assert CONVENTION in table.as_markdown()


@pytest.mark.parametrize("words", [PENALTY, DETECTION_NOTE, METRIC_OF["assd_mm"].note])
def test_a_score_table_explains_its_columns_and_which_distance_it_shows(words: str) -> None:
    assert words in " ".join(printed(score_table(summary(), "Test cases")).split())


def test_phantom_scores_are_marked_in_title_and_note() -> None:
    text = printed(score_table(summary(), "Test cases", is_phantom=True))

    assert text.startswith("Test cases (PHANTOM)")
    assert PHANTOM_NOTE in text
    assert "PHANTOM" not in printed(score_table(summary(), "Test cases"))


def test_a_score_table_fits_a_terminal_of_80_columns_without_folding_a_cell() -> None:
    lines = printed(score_table(summary(), "Test cases"), width=80).splitlines()

    assert max(map(len, lines)) <= 80
    assert sum("0.840 ± 0.087" in line for line in lines) == 8


def test_brackets_in_cells_are_text_not_markup() -> None:
    table = PaperTable("[bold]", ("Metric", "Class", "[red]"), ((("Dice", "a", "0.500 [2]"),),))

    assert all(cell in printed(table) for cell in ("[bold]", "[red]", "0.500 [2]"))


def test_markdown_holds_a_header_a_rule_and_every_row() -> None:
    table = PaperTable(
        "Title", ("Metric", "Class", "a|b"), ((("Dice", "x", "1"),), (("Recall", "x", "2"),)), ("Note.",)
    )

    assert table.as_markdown() == (
        "**Title**\n\n| Metric | Class | a\\|b |\n| :-- | :-- | --: |\n| Dice | x | 1 |\n| Recall | x | 2 |\n\nNote.\n"
    )
