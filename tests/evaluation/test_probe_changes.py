"""Changes of scores by interventions, and the verdict on a level, on scores whose changes are known."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import pytest

from aunet.attention.probed_network import GateKey
from aunet.data.cohort.case import Case
from aunet.evaluation.paired_statistics import paired_difference
from aunet.evaluation.probe_cases import NOTHING, donor_of, targets_of
from aunet.evaluation.probe_changes import judge_levels, score_changes
from aunet.evaluation.probe_tables import change_table, verdict_table
from tests.compared_runs import case_scores

BEFORE = [0.80, 0.75, 0.70, 0.72, 0.81, 0.69, 0.77, 0.74]


def scores_of(after: Sequence[float], before: Sequence[float] = BEFORE, target: str = "level 2") -> pd.DataFrame:
    unchanged = case_scores(before).assign(target=NOTHING, intervention=NOTHING)
    return pd.concat([unchanged, case_scores(after).assign(target=target, intervention="mean")], ignore_index=True)


def judged(after: Sequence[float], before: Sequence[float] = BEFORE, margin: float = 0.01) -> str:
    [verdict] = judge_levels(score_changes(scores_of(after, before)), ["level 2"], margin)
    return verdict.judgement


def shifted(by: float, spread: float = 0.001) -> list[float]:
    return [value + by + spread * (-1) ** number for number, value in enumerate(BEFORE)]


def test_changes_are_the_paired_differences_to_the_unchanged_network() -> None:
    after = shifted(-0.1, 0.01)
    changes = score_changes(scores_of(after)).set_index(["metric", "class"])
    expected = paired_difference(BEFORE, after)
    row = changes.loc[("dice", "pancreas")]
    assert (row["mean"], row["low"], row["high"]) == pytest.approx((expected.mean, expected.low, expected.high))
    assert row["unchanged"] == pytest.approx(np.mean(BEFORE))
    assert tuple(changes.loc[("dice", "spleen"), ["mean", "low", "high"]]) == (0, 0, 0)


def test_classes_and_interventions_keep_their_order() -> None:
    scores = scores_of(shifted(-0.1)).replace({"class": {"spleen": "aorta"}})
    other = scores[scores["intervention"] == "mean"].assign(intervention="blurred", target="level 1")
    changes = score_changes(pd.concat([scores, other], ignore_index=True))
    kinds = changes[changes["metric"] == "dice"]
    assert list(zip(kinds["target"], kinds["intervention"], kinds["class"], strict=True)) == [
        ("level 2", "mean", "pancreas"),
        ("level 2", "mean", "aorta"),
        ("level 1", "blurred", "pancreas"),
        ("level 1", "blurred", "aorta"),
    ]


def test_cases_in_another_order_are_paired_by_their_names() -> None:
    scores = scores_of(shifted(-0.1, 0.01))
    mixed = scores.sample(frac=1, random_state=0)
    first, second = (score_changes(table).set_index(["metric", "class"]).sort_index() for table in (scores, mixed))
    pd.testing.assert_frame_equal(first, second)


@pytest.mark.parametrize(
    ("by", "spread", "judgement"),
    [
        (0.0, 0.0, "decoration"),
        (-0.002, 0.001, "decoration"),
        (-0.1, 0.01, "needed"),
        (0.0, 0.05, "undecided"),
        (0.1, 0.01, "undecided"),  # better without the map: neither needed nor without effect
    ],
)
def test_the_verdict_follows_the_interval_and_the_margin(by: float, spread: float, judgement: str) -> None:
    assert judged(shifted(by, spread)) == judgement


def test_a_wider_margin_lets_a_small_loss_pass() -> None:
    after = shifted(-0.03, 0.002)
    assert judged(after) == "needed"
    assert judged(after, margin=0.05) == "decoration"


def test_fewer_than_six_patients_decide_nothing() -> None:
    assert judged(shifted(-0.001)[:5], BEFORE[:5]) == "undecided"


def test_a_network_that_finds_no_organ_decides_nothing() -> None:
    low = [0.01] * 8
    changes = score_changes(pd.concat([scores_of(low, low).assign(**{"dice": 0.01})], ignore_index=True))
    [verdict] = judge_levels(changes, ["level 2"], 0.01)
    assert verdict.judgement == "undecided"
    assert "finds no organ" in verdict.reason


def test_an_organ_that_is_hardly_found_is_named_in_the_reason_and_its_rule_in_the_note() -> None:
    scores = scores_of(shifted(-0.1, 0.01))
    scores.loc[scores["class"] == "spleen", "dice"] = 0.05
    verdicts = judge_levels(score_changes(scores), ["level 2"], 0.01)
    assert verdicts[0].judgement == "needed"
    assert verdicts[0].reason.endswith("not judged (Dice without intervention undefined or below 0.1): spleen")
    assert "below 0.1" in " ".join(verdict_table(verdicts, 0.01).notes)


def judged_rows(*rows: tuple[str, float, float, float, float, int]) -> tuple[str, str]:
    """Judge level 2, with margin 0.01, by rows of class, Dice before, mean, low, high and patients."""
    columns = ["class", "unchanged", "mean", "low", "high", "patients"]
    table = pd.DataFrame(rows, columns=columns).assign(target="level 2", intervention="mean", metric="dice")
    [verdict] = judge_levels(pd.concat([table, table.assign(metric="nsd", mean=-9.0)]), ["level 2"], 0.01)
    assert verdict.target == "level 2"
    return verdict.judgement, verdict.reason


@pytest.mark.parametrize(
    ("rows", "judgement", "reason"),
    [
        (
            [("a", 0.8, -0.02, -0.03, -0.01, 9), ("b", 0.8, -0.05, -0.08, -0.02, 9)],
            "needed",
            "its mean costs Dice: b -0.050 (-0.080 to -0.020)",
        ),
        (
            [("a", 0.8, -0.004, -0.008, 0.0, 9), ("b", 0.8, 0.003, -0.004, 0.01, 9)],
            "decoration",
            "its mean changes no Dice by more than 0.01: b +0.003 (-0.004 to +0.010)",
        ),
        (
            [("a", 0.8, -0.004, -0.01, 0.002, 9), ("b", 0.8, 0.0, -0.001, 0.001, 9)],
            "decoration",
            "its mean changes no Dice by more than 0.01: a -0.004 (-0.010 to +0.002)",
        ),
        (
            [("a", 0.8, 0.0, -0.02, 0.02, 9), ("b", 0.8, 0.0, -0.05, 0.05, 9)],
            "undecided",
            "an interval reaches beyond 0.01: b +0.000 (-0.050 to +0.050)",
        ),
        (
            [("a", 0.8, 0.0, np.nan, np.nan, 5), ("b", 0.8, 0.0, np.nan, np.nan, 4)],
            "undecided",
            "an interval needs 6 patients, here are 4",
        ),
        (
            [("a", 0.8, -0.01, -0.02, 0.0, 9)],
            "undecided",
            "an interval reaches beyond 0.01: a -0.010 (-0.020 to +0.000)",
        ),
        ([("a", 0.8, -0.008, -0.01, -0.001, 9)], "decoration", "its mean changes no Dice by more than 0.01: a -0.008"),
        ([("a", 0.1, 0.0, 0.0, 0.0, 9)], "decoration", "its mean changes no Dice by more than 0.01: a +0.000"),
        (
            [("a", 0.8, 0.0, 0.0, 0.0, 9), ("b", 0.09, 0.0, 0.0, 0.0, 9), ("c", 0.8, 0.0, 0.0, 0.0, 0)],
            "decoration",
            "its mean changes no Dice by more than 0.01: a +0.000 (+0.000 to +0.000); not judged (Dice without"
            " intervention undefined or below 0.1): b, c",
        ),
        ([("a", 0.05, 0.0, 0.0, 0.0, 9)], "undecided", "the unchanged network finds no organ with a Dice of 0.1"),
    ],
)
def test_the_reason_names_the_organ_that_decides(
    rows: list[tuple[str, float, float, float, float, int]], judgement: str, reason: str
) -> None:
    found = judged_rows(*rows)
    assert found[0] == judgement
    assert found[1].startswith(reason)


def test_targets_that_are_the_same_gates_appear_once() -> None:
    two = [GateKey(2, 1), GateKey(2, 2), GateKey(3, 1), GateKey(3, 2)]
    assert [target.name for target in targets_of(two)] == [
        "all levels",
        "level 2",
        "level 3",
        "level 2 gate 1",
        "level 2 gate 2",
        "level 3 gate 1",
        "level 3 gate 2",
    ]
    assert [target.name for target in targets_of([GateKey(2, 1), GateKey(3, 1)])] == [
        "all levels",
        "level 2",
        "level 3",
    ]
    assert [target.name for target in targets_of([GateKey(2, 1), GateKey(2, 2)])] == [
        "level 2",
        "level 2 gate 1",
        "level 2 gate 2",
    ]


@pytest.mark.parametrize(("kind", "name"), [("all", "all levels"), ("level", "level 2"), ("gate", "level 2 gate 1")])
def test_every_kind_of_target_is_found_alone_if_all_are_the_same_gate(kind: str, name: str) -> None:
    assert [target.name for target in targets_of([GateKey(2, 1)], [kind])] == [name]


def test_the_donor_of_a_map_is_the_next_case_of_another_patient() -> None:
    cases = [Case(name, (), None, group=name[0]) for name in ("a1", "a2", "b1", "c1")]
    assert [getattr(donor_of(cases, number), "case_id", None) for number in range(4)] == ["b1", "b1", "c1", "a1"]
    assert donor_of(cases[:2], 0) is None


def test_tables_show_every_change_with_its_interval() -> None:
    changes = score_changes(scores_of(shifted(-0.1, 0.01)))
    text = change_table(changes, "dice", ["level 2"], "change").as_markdown()
    row = changes[(changes["metric"] == "dice") & (changes["class"] == "pancreas")].iloc[0]
    assert f"{row['mean']:+.3f} ({row['low']:+.3f} to {row['high']:+.3f})" in text
    assert "pancreas (0.747)" in text
    assert "needed" in verdict_table(judge_levels(changes, ["level 2"], 0.01), 0.01).as_markdown()
