"""The tables of a probe, cell by cell, from rows written by hand."""

import math
from typing import Any

import pandas as pd

from aunet.evaluation.probe_changes import Verdict
from aunet.evaluation.probe_tables import (
    INTERVAL_NOTE,
    LOCALISATION_NOTE,
    SIMILARITY_NOTE,
    change_table,
    localisation_table,
    similarity_table,
    summarise_localisation,
    summarise_similarity,
    verdict_table,
)

NAN = math.nan


def changes_of(*rows: tuple[Any, ...]) -> pd.DataFrame:
    columns = ["target", "intervention", "metric", "class", "unchanged", "mean", "low", "high", "patients", "undefined"]
    return pd.DataFrame(rows, columns=columns)


def test_a_row_is_a_target_and_its_intervention_and_a_column_a_class_with_its_score_before() -> None:
    changes = changes_of(
        ("level 2", "mean", "assd_mm", "pancreas", 4.0, 9.0, 9.0, 9.0, 8, 0),
        ("level 2", "mean", "dice", "pancreas", 0.8, -0.1, -0.15, -0.05, 8, 0),
        ("level 2", "mean", "dice", "spleen", 0.9, 0.02, NAN, NAN, 3, 2),
        ("level 2", "open", "dice", "pancreas", 0.8, 0.01, -0.01, 0.03, 8, 0),
        ("level 2", "open", "dice", "spleen", 0.9, NAN, NAN, NAN, 0, 5),
        ("level 3", "mean", "dice", "pancreas", 0.8, -0.2, -0.3, -0.1, 8, 1),
        ("level 3", "mean", "dice", "spleen", 0.9, 0.0, 0.0, 0.0, 8, 0),
        ("level 4", "mean", "dice", "pancreas", 0.8, 7.0, 7.0, 7.0, 8, 0),
    )
    table = change_table(changes, "dice", ["level 2", "level 3"], "change by level")

    assert (table.title, table.notes, table.name_columns) == ("Dice: change by level", (INTERVAL_NOTE,), 2)
    assert table.columns == ("Gates", "Intervention", "pancreas (0.800)", "spleen (0.900)")
    assert table.groups == (
        (
            ("level 2", "mean", "-0.100 (-0.150 to -0.050)", "+0.020 [2 undefined]"),
            ("", "open", "+0.010 (-0.010 to +0.030)", "–"),
        ),
        (("level 3", "mean", "-0.200 (-0.300 to -0.100) [1 undefined]", "+0.000 (+0.000 to +0.000)"),),
    )


def test_targets_and_classes_keep_the_order_of_the_rows() -> None:
    changes = changes_of(
        ("level 3", "open", "dice", "spleen", 0.5, 0.1, NAN, NAN, 1, 0),
        ("level 3", "open", "dice", "aorta", 0.5, 0.2, NAN, NAN, 1, 0),
        ("level 3", "mean", "dice", "spleen", 0.5, 0.3, NAN, NAN, 1, 0),
        ("level 3", "mean", "dice", "aorta", 0.5, 0.4, NAN, NAN, 1, 0),
        ("level 2", "mean", "dice", "spleen", 0.5, 0.5, NAN, NAN, 1, 0),
        ("level 2", "mean", "dice", "aorta", 0.5, 0.6, NAN, NAN, 1, 0),
    )
    table = change_table(changes, "dice", ["level 2", "level 3"], "t")

    assert table.columns[2:] == ("spleen (0.500)", "aorta (0.500)")
    assert table.groups == (
        (("level 3", "open", "+0.100", "+0.200"), ("", "mean", "+0.300", "+0.400")),
        (("level 2", "mean", "+0.500", "+0.600"),),
    )


def test_a_verdict_is_a_row_with_its_reason_and_the_note_names_margin_and_lowest_dice() -> None:
    table = verdict_table([Verdict("level 2", "needed", "a"), Verdict("level 3", "decoration", "b")], 0.015)

    assert table.columns == ("Gates", "Verdict", "Reason")
    assert table.groups == ((("level 2", "needed", "a"), ("level 3", "decoration", "b")),)
    assert (table.title, table.name_columns) == ("Does the place matter that a gate looks at?", 3)
    assert "within ±0.015. Needed: " in table.notes[0]
    assert "is below 0.1 cannot" in table.notes[0]


def similarity_rows(changed: str, *values: tuple[str, float, float]) -> list[dict[str, object]]:
    return [
        {"changed": changed, "level": 3, "gate": 1, "case_id": case_id, "rank_correlation": rank, "ssim": ssim}
        for case_id, rank, ssim in values
    ]


def test_similarities_are_means_over_cases_and_draws_and_the_sign_of_a_correlation_does_not_matter() -> None:
    rows = [
        *similarity_rows("z weights", ("a", -0.6, 0.2), ("a", 0.4, 0.4), ("b", 0.2, 0.3)),
        *similarity_rows("labels", ("a", 0.9, 0.3), ("b", 0.7, 0.1)),
        *similarity_rows("constant", ("a", NAN, NAN)),
    ]
    summary = summarise_similarity(rows)
    table = similarity_table(summary)

    assert summary["cases"].tolist() == [2, 2, 1]
    assert table.columns == ("Changed", "Map", "Rank correlation (absolute)", "SSIM", "Differs")
    assert table.groups == (
        (
            ("z weights", "level 3 gate 1", "0.40", "0.30", "yes"),
            ("labels", "level 3 gate 1", "0.80", "0.20", "NO"),
            ("constant", "level 3 gate 1", "–", "–", "undefined"),
        ),
    )
    assert (table.title, table.notes) == ("Do the maps depend on what was learned?", (SIMILARITY_NOTE,))


def localised(patient: str, of_class: str, values: tuple[float, ...], gate: float = NAN) -> dict[str, object]:
    names = ("auc", "pointing", "energy", "pointing_chance", "energy_chance")
    place = {"model": "unet", "map": "Grad-CAM", "layer": "level 2", "gate": gate, "class": of_class}
    return {**place, "patient": patient, **dict(zip(names, values, strict=True))}


def test_places_are_means_over_patients_with_their_chance_and_a_group_per_class() -> None:
    rows = [
        localised("p", "spleen", (0.9, 1.0, 0.5, 0.1, 0.2)),
        localised("p", "spleen", (0.7, 0.0, 0.3, 0.1, 0.2)),
        localised("q", "spleen", (0.4, 0.0, 0.2, 0.3, 0.4)),
        localised("r", "spleen", (NAN,) * 5),
        localised("p", "spleen", (0.25, 1.0, 0.75, 0.0125, 0.5), gate=2),
        localised("p", "aorta", (NAN,) * 5, gate=1),
    ]
    table = localisation_table(summarise_localisation(rows))

    assert table.columns == ("Class", "Model", "Map", "Layer", "AUC", "Pointing", "Energy", "Cases")
    assert table.groups == (
        (
            ("spleen", "unet", "Grad-CAM", "level 2", "0.60", "0.250 (0.200)", "0.300 (0.300)", "3"),
            ("", "unet", "Grad-CAM", "level 2 gate 2", "0.25", "1.000 (0.013)", "0.750 (0.500)", "1"),
        ),
        (("aorta", "unet", "Grad-CAM", "level 2 gate 1", "–", "– (–)", "– (–)", "0"),),
    )
    assert (table.title, table.notes, table.name_columns) == ("Where do the maps look?", (LOCALISATION_NOTE,), 4)
