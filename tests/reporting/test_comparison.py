"""The comparison's tables against numbers worked out by hand."""

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from rich.console import Console

from aunet.metrics.case_scores import COLUMNS, NUMBERS
from aunet.reporting.compared_run import ComparedRun
from aunet.reporting.comparison import comparison_rows, comparison_table, difference_tables, differences_to_first
from aunet.reporting.tables import PHANTOM_NOTE, PaperTable

CLASSES = ("pancreas", "spleen")


def case_scores(dices: list[float]) -> pd.DataFrame:
    """The pancreas has ``dices`` over the cases, the spleen 0.9; every other metric is 1."""
    rows = [
        {
            "case_id": f"case_{number}",
            "patient": f"case_{number}",
            "class": name,
            **dict.fromkeys(NUMBERS, 1.0),
            "dice": value,
        }
        for number, pancreas in enumerate(dices)
        for name, value in zip(CLASSES, (pancreas, 0.9), strict=True)
    ]
    return pd.DataFrame(rows, columns=list(COLUMNS))


def runs(is_phantom: bool = True) -> list[ComparedRun]:
    shared: dict[str, Any] = {
        "seed": 0,
        "patch_size": (160, 160, 96),
        "data": "ct150",
        "data_fingerprint": "f00d",
        "is_phantom": is_phantom,
        "class_names": ("background", *CLASSES),
    }
    return [
        ComparedRun(
            Path("unet"), "unet", "unet", parameters=5_888_004, scores=case_scores([0.5, 0.7, math.nan]),
            forward_seconds=0.167, **shared,
        ),
        ComparedRun(
            Path("attention"), "attention", "attention", parameters=6_407_018, scores=case_scores([0.6, 0.9, 0.4]),
            forward_seconds=0.179, **shared,
        ),
    ]  # fmt: skip


def table_of(compared: list[ComparedRun]) -> PaperTable:
    return comparison_table(compared, comparison_rows(compared), "Measured on a clock.")


def printed(table: PaperTable, width: int = 100) -> str:
    console = Console(width=width, color_system=None)
    with console.capture() as capture:
        console.print(table)
    return capture.get()


def test_models_stand_in_columns_and_metrics_of_classes_in_rows() -> None:
    table = table_of(runs())

    assert table.columns == ("Metric", "Class", "unet", "attention")
    assert table.groups[0] == (
        ("Dice", "pancreas", "0.600 ± 0.141 [1]", "0.633 ± 0.252"),
        ("", "spleen", "0.900 ± 0.000", "0.900 ± 0.000"),
    )


def test_size_and_speed_stand_below_the_scores() -> None:
    facts = {row[0]: row[2:] for row in table_of(runs()).groups[-1]}

    assert facts["Parameters"] == ("5.89 M", "6.41 M")
    assert facts["Forward (s)"] == ("0.167", "0.179")
    assert facts["Patch"] == ("160×160×96", "160×160×96")


def test_phantom_data_are_marked() -> None:
    assert "(PHANTOM)" in table_of(runs()).title
    assert PHANTOM_NOTE in table_of(runs()).as_markdown()
    assert "PHANTOM" not in table_of(runs(is_phantom=False)).as_markdown()


def test_every_number_stands_in_a_row_of_run_metric_and_class() -> None:
    rows = comparison_rows(runs())

    assert len(rows) == 2 * 5 * 2
    found = rows.set_index(["run", "metric", "class"]).loc[("unet", "dice", "pancreas")]
    assert found["mean"] == pytest.approx(0.6)
    assert (found["count"], found["undefined"], found["parameters"]) == (2, 1, 5_888_004)


def test_differences_are_of_every_run_to_the_first() -> None:
    third = [*runs(), replace(runs()[1], name="third")]

    differences = differences_to_first(third)

    assert set(zip(differences["baseline"], differences["run"], strict=True)) == {
        ("unet", "attention"),
        ("unet", "third"),
    }
    of_pancreas = differences.set_index(["run", "metric", "class"]).loc[("attention", "dice", "pancreas")]
    assert of_pancreas["mean"] == pytest.approx(0.15)
    assert (of_pancreas["count"], of_pancreas["undefined"]) == (2, 1)


def test_a_table_of_differences_names_both_runs_and_shows_signs() -> None:
    (table,) = difference_tables(differences_to_first(runs()))

    assert table.title == "Paired differences: attention minus unet"
    assert table.groups[0][0] == ("Dice", "pancreas", "+0.150", "[+0.100, +0.200]", "+0.150", "0.500", "2", "1")
    assert table.groups[0][1][2:6] == ("+0.000", "[+0.000, +0.000]", "+0.000", "1.000")


def test_tables_fit_a_terminal_of_100_columns_without_folding_a_cell() -> None:
    (differences,) = difference_tables(differences_to_first(runs()))
    lines = printed(table_of(runs())).splitlines() + printed(differences).splitlines()

    assert max(map(len, lines)) <= 100
    assert any("0.600 ± 0.141 [1]" in line and "0.633 ± 0.252" in line for line in lines)
    assert any("+0.150" in line and "[+0.100, +0.200]" in line and "0.500" in line for line in lines)


def test_pooled_folds_are_told_in_the_table() -> None:
    folds = [replace(run, num_folds=5) for run in runs()]
    text = printed(table_of(folds))
    assert "Folds" in text
    assert "Cross-validation" in text
    assert "Folds" not in printed(table_of(runs()))
