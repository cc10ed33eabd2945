"""Organs on the wrong side or upside down are found by their middles, whatever their names look like."""

import pytest
from label_maps import BALLS

from aunet.doctor.case_checks import Point, check_positions

MIDDLES: dict[str, Point] = {name: middle for name, middle, _ in BALLS.values()}


def found(centers: dict[str, Point]) -> list[tuple[str, str]]:
    return [(finding.kind.name, finding.message) for finding in check_positions("case", centers)]


def flipped(axis: int) -> dict[str, Point]:
    signs = [-1 if at == axis else 1 for at in range(3)]
    return {name: (x * signs[0], y * signs[1], z * signs[2]) for name, (x, y, z) in MIDDLES.items()}


def test_a_patient_lies_as_everybody() -> None:
    assert found(MIDDLES) == []


@pytest.mark.parametrize(("axis", "words"), [(1, "front and back"), (2, "head and feet")])
def test_an_exchanged_axis_is_named(axis: int, words: str) -> None:
    assert found(flipped(axis)) == [("axes exchanged", f"by where its organs lie, {words} are exchanged")]


def test_a_mirrored_patient_is_found() -> None:
    [(kind, message)] = found(flipped(0))
    assert kind == "left and right exchanged"
    assert message.startswith("the scan is mirrored: spleen lies right of ")


def test_spleen_and_pancreas_suffice_for_the_sides() -> None:
    assert found({"Spleen": (-90, 0, 0), "Pancreas": (0, 0, 0)}) == []
    assert [kind for kind, _ in found({"Spleen": (90, 0, 0), "Pancreas": (0, 0, 0)})] == ["left and right exchanged"]


@pytest.mark.parametrize(
    "names", [("Left Lung", "Right Lung"), ("lung_left", "lung_right"), ("left-lung", "right-lung")]
)
def test_any_pair_that_is_named_left_and_right_is_compared(names: tuple[str, str]) -> None:
    left, right = names
    assert found({left: (-50, 0, 0), right: (50, 0, 0)}) == []
    assert found({left: (50, 0, 0), right: (-50, 0, 0)}) == [
        ("left and right exchanged", "left_lung lies right of right_lung")
    ]


def test_labels_exchanged_in_a_patient_who_lies_right_are_not_taken_for_a_mirror() -> None:
    centers = MIDDLES | {"left_kidney": (67, -9, 3), "right_kidney": (-67, -9, -9)}
    assert found({name: centers[name] for name in centers if name != "gallbladder"}) == [
        ("left and right exchanged", "left_kidney lies right of right_kidney")
    ]
