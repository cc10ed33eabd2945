from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from compared_runs import case_scores, compared_run
from rich.console import Console

from aunet.evaluation.arm_tables import (
    FEW_NOTE,
    MODELS_NOTE,
    ONE_FAMILY_NOTE,
    SIGN_FLIP_NOTE,
    SIZE_NOTE,
    arm_table,
    effect_table,
    size_table,
)
from aunet.evaluation.arms import Arm, tidy_scores
from aunet.evaluation.comparison_scores import ScoreForm, score_forms
from aunet.evaluation.effects import effects
from aunet.evaluation.planning_tables import planning_table, ranking_table
from aunet.evaluation.ranking import ranking_stability
from aunet.evaluation.verdicts import verdicts
from aunet.reporting.tables import PaperTable

FORMS = (ScoreForm("dice"), ScoreForm("hd95_mm"))
NAN = float("nan")


@pytest.fixture
def arms() -> list[Arm]:
    random = np.random.default_rng(0)
    dices = random.uniform(0.6, 0.8, 10)
    made: list[Arm] = []
    for name, gain in (("unet", 0.0), ("attention", 0.1)):
        runs = [
            compared_run(
                f"{name} {seed}",
                seed=seed,
                name=f"{name} {seed}",
                scores=case_scores(list(scores)),
                training_seconds=60.0 * seed,
            )
            for seed, scores in enumerate(dices + gain + random.normal(0, 0.01, (3, 10)))
        ]
        made.append(Arm(name, tuple(runs)))
    return [*made, Arm("failed", (), ("failed seed 0", "failed seed 1"))]


def rows_of(arms: list[Arm]) -> pd.DataFrame:
    return effects(tidy_scores(arms), [arm.name for arm in arms], {"dice": 0.02})


def table_of(arms: list[Arm]) -> PaperTable:
    forms = score_forms([run for arm in arms for run in arm.runs])
    return arm_table(arms, tidy_scores(arms), forms, "ct150", "Timed.")


def test_a_cell_is_mean_sd_over_patients_and_sd_over_trainings_worked_out_by_hand(arms: list[Arm]) -> None:
    scores = np.stack([run.scores.loc[run.scores["class"] == "pancreas", "dice"] for run in arms[0].runs])
    expected = f"{scores.mean():.3f} ± {scores.mean(axis=0).std(ddof=1):.3f} ({scores.mean(axis=1).std(ddof=1):.3f})"

    first, second = table_of(arms).groups[0][:2]
    assert first[:4] == ("Dice", "pancreas", "10", expected)
    assert second[:3] == ("", "spleen", "10")


def test_an_arm_without_a_finished_training_is_shown_as_missing(arms: list[Arm]) -> None:
    table = table_of(arms)
    facts = {row[0]: row[3:] for row in table.groups[-1]}

    assert all(row[-1] == "missing" for group in table.groups[:-1] for row in group)
    assert facts["Parameters"] == ("5.89 M", "5.89 M", "missing")
    assert facts["Seeds"] == ("3", "3", "missing")
    assert facts["Missing trainings"] == ("0", "0", "2")
    assert "failed: failed seed 0, failed seed 1 did not finish." in table.notes


def test_training_time_is_the_median_over_the_seeds(arms: list[Arm]) -> None:
    facts = {row[0]: row[3:] for row in table_of(arms).groups[-1]}
    assert facts["Training time"][:2] == ("1 min", "1 min")


def test_a_difference_of_arms_speaks_of_models(arms: list[Arm]) -> None:
    rows = rows_of(arms)
    of_attention: Any = rows[rows["arm"] == "attention"]
    table = effect_table(of_attention, score_forms(arms[0].runs), "title")

    assert MODELS_NOTE in " ".join(table.notes)
    assert table.groups[0][0][2].startswith("+0.1")
    assert table.groups[0][0][-2:] == ("10", "0")


def test_tables_of_a_missing_arm_say_so(arms: list[Arm]) -> None:
    rows = rows_of(arms)
    of_failed: Any = rows[rows["arm"] == "failed"]

    assert effect_table(of_failed, score_forms(arms[0].runs), "title").groups[0] == (
        ("Dice", "all", "missing", *["–"] * 6),
    )
    assert size_table(of_failed, score_forms(arms[0].runs), "title").groups[0] == (
        ("Dice", "all", "missing", *["–"] * 5),
    )
    assert planning_table(rows).groups[0][-1][:3] == ("failed", "spleen", "missing")


def test_the_summary_says_what_was_shown_and_what_was_not(arms: list[Arm]) -> None:
    shown, equal, missing, _ = verdicts(rows_of(arms))

    assert shown.startswith("attention minus unet in pancreas Dice is +0.")
    assert "), 3 seeds, 10 patients: higher (corrected p" in shown
    assert equal.endswith("no difference shown; equivalent within 0.02.")
    assert missing == "failed against unet, pancreas: nothing can be said, as no training of failed finished."


def test_the_summary_of_one_training_each_says_that_it_is_not_of_the_models(arms: list[Arm]) -> None:
    single = [Arm(arm.name, arm.runs[:1]) for arm in arms[:2]]
    first, _ = verdicts(rows_of(single))

    assert "1 seed each, 10 patients" in first
    assert first.endswith("; this speaks of two trainings, not of two models.")


def test_one_patient_is_too_few_for_a_verdict() -> None:
    runs = [compared_run(name, name=name, scores=case_scores([0.5 + number / 10])) for number, name in enumerate("ab")]
    first, _ = verdicts(rows_of([Arm(run.name, (run,)) for run in runs]))

    assert first == "b minus a in pancreas Dice is +0.100, 1 seed each, 1 patient: too few patients for a test."


def test_tables_fit_a_terminal_of_100_columns(arms: list[Arm]) -> None:
    rows, forms = rows_of(arms), score_forms(arms[0].runs)
    scores = tidy_scores(arms)
    chosen: Any = scores[(scores["metric"] == "dice") & (scores["class"] == "pancreas")]
    ranks = {"pancreas": ranking_stability(chosen, [arm.name for arm in arms], is_lower_better=False)}
    of_attention: Any = rows[rows["arm"] == "attention"]
    tables = [
        effect_table(of_attention, forms, "t"),
        size_table(of_attention, forms, "t"),
        planning_table(rows),
        ranking_table(ranks, "Dice"),
    ]
    console = Console(width=100, color_system=None)
    with console.capture() as capture:
        for table in tables:
            console.print(table)

    text = capture.get()
    assert "failed" in text
    assert all(f"{name}" in text for name in ("Equivalent", "Kendall's tau", "Patients, 10 seeds"))


def effect_row(**changes: Any) -> dict[str, Any]:
    names = {"baseline": "unet", "arm": "gate", "metric": "dice", "form": "common cases", "class": "spleen"}
    test = {"mean": 0.0123, "low": -0.002, "high": 0.0266, "p_value": 0.0004, "holm_p_value": 0.0123, "sd": 0.0456}
    sizes = {"equivalence_p_value": 0.049, "false_claim": 0.0002, "effect_size": 0.27, "share_higher": 0.625}
    spreads = {"correlation": 0.876, "training_sd": 0.0049, "margin": 0.02}
    counts = {"patients": 40, "cases": 40, "undefined": 2, "baseline_trainings": 3, "other_trainings": 3}
    return {**names, **test, **sizes, **spreads, **counts, "speaks_of_models": True, "family": "primary", **changes}


def test_an_effect_is_shown_cell_by_cell() -> None:
    unknown = dict.fromkeys(("mean", "low", "high", "p_value", "holm_p_value", "sd"), NAN)
    rows = [
        effect_row(),
        effect_row(**{"class": "aorta"}, **unknown, cases=55),
        effect_row(metric="hd95_mm", mean=-1.5, low=-2.125, high=-1.0, p_value=0.001, holm_p_value=1.0, sd=3.0),
        effect_row(form="penalised", mean=9.0),
    ]
    table = effect_table(pd.DataFrame(rows), FORMS, "gate minus unet", ["A note."])

    assert table.title == "gate minus unet"
    assert table.columns == ("Metric", "Class", "Mean", "95 % interval", "p", "Holm", "sd", "n", "Left out")
    assert table.groups == (
        (
            ("Dice", "spleen", "+0.012", "[-0.002, +0.027]", "< 0.001", "0.012", "0.046", "40", "2"),
            ("", "aorta", "–", "–", "–", "–", "–", "40 (55)", "2"),
        ),
        (("HD95 (mm)", "spleen", "-1.50", "[-2.12, -1.00]", "0.001", "1.000", "3.00", "40", "2"),),
    )
    assert table.notes == ("A note.", f"{MODELS_NOTE} {FEW_NOTE} {ONE_FAMILY_NOTE}")
    of_trainings = effect_table(pd.DataFrame([effect_row(speaks_of_models=False)]), FORMS[:1], "t")
    assert of_trainings.notes == (f"{SIGN_FLIP_NOTE} {FEW_NOTE} {ONE_FAMILY_NOTE}",)


def test_the_note_counts_the_rows_of_both_families_that_have_a_test() -> None:
    rows = [
        effect_row(),
        effect_row(**{"class": "aorta"}),
        effect_row(**{"class": "liver"}, p_value=NAN),
        effect_row(metric="nsd"),
        effect_row(metric="hd95_mm", family="secondary"),
        effect_row(metric="hd95_mm", family="secondary", p_value=NAN),
    ]
    [note] = effect_table(pd.DataFrame(rows), FORMS, "t").notes
    assert "corrected for 3 primary rows (Dice, NSD), declared in advance with --primary, or for the 1 others" in note


def test_the_size_of_an_effect_is_shown_cell_by_cell() -> None:
    numbers = ("equivalence_p_value", "false_claim", "effect_size", "share_higher", "correlation", "training_sd")
    rows = [effect_row(), effect_row(**{"class": "aorta"}, **dict.fromkeys(numbers, NAN))]
    rows += [effect_row(metric="hd95_mm", training_sd=0.125, margin=1.5)]
    table = size_table(pd.DataFrame(rows), FORMS, "How large?")

    assert table.title == "How large?"
    assert table.columns == ("Metric", "Class", "Equivalent", "False claim", "d", "Higher", "Correlation", "Seed sd")
    assert table.groups == (
        (("Dice", "spleen", "0.049", "0.0%", "+0.27", "62%", "0.88", "0.005"), ("", "aorta", *["–"] * 6)),
        (("HD95 (mm)", "spleen", "0.049", "0.0%", "+0.27", "62%", "0.88", "0.12"),),
    )
    assert table.notes == (SIZE_NOTE, "Margins: Dice ±0.02, HD95 ±1.5 mm.")
    without = size_table(pd.DataFrame([effect_row(margin=NAN)]), FORMS[:1], "t")
    assert without.notes[1] == "No margin of equivalence was given."


def test_a_metric_that_both_arms_lack_is_not_recorded() -> None:
    rows = pd.DataFrame([effect_row()])
    assert effect_table(rows, FORMS, "t").groups[1] == (("HD95 (mm)", "all", "not recorded", *["–"] * 6),)
    assert size_table(rows, FORMS, "t").groups[1] == (("HD95 (mm)", "all", "not recorded", *["–"] * 5),)


def test_the_papers_table_has_a_column_per_arm_and_detections_as_a_mean_over_trainings(arms: list[Arm]) -> None:
    missing_one = case_scores([0.0, *[0.7] * 9])
    two = replace(arms[0], runs=(arms[0].runs[0], replace(arms[0].runs[1], scores=missing_one)))
    table = table_of([two, arms[2]])

    assert table.title == "ct150"
    assert table.columns == ("Metric", "Class", "n", "unet", "failed")
    assert table.groups[-2] == (
        ("Detected (cases)", "pancreas", "", "9.5/10", "missing"),
        ("", "spleen", "", "10/10", "missing"),
    )
    explanation, timing = table.notes[-2:]
    assert timing == "Timed."
    assert explanation.startswith(
        "Mean ± sd over the patients, each averaged over the trainings; in brackets the sd of"
    )
    assert "the trainings' means. n: patients with a value in every training. Detected: " in explanation
    assert explanation.endswith(", a mean over the trainings. Training time: median over the trainings.")
    assert not any("Each run is one training" in note for note in table.notes)
    assert [row[0] for row in table.groups[-1]].count("Seeds") == 1
    assert not {"Seed", "Folds"} & {row[0] for row in table.groups[-1]}
