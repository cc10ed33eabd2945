"""Flips keep left organs at the left: classes change places with them, or they are off."""

from typing import Any

import numpy as np
import pytest
import torch

from aunet.data.patches.augmentation import Augmentation
from aunet.data.patches.flips import choose_flips
from aunet.data.patches.sampling import Sample
from aunet.errors import UserError

SIZE = (6, 4, 4)
KIDNEYS = ("background", "liver", "left_kidney", "Right Kidney")


def axes_of(names: tuple[str, ...], flip_axes: str | list[int] = "auto") -> list[int]:
    return [flip["axis"] for flip in choose_flips(flip_axes, SIZE, ("background", *names), "ct").as_record()]


@pytest.mark.parametrize(
    ("names", "axes"),
    [
        (("pancreas",), [0, 1, 2]),
        (("pancreas", "spleen", "kidney"), []),
        (("organ a", "organ b"), []),
        (("left kidney", "right kidney"), [0]),
        (("Kidney-L", "Kidney-R", "liver", "spleen"), [0]),
        (("left kidney", "right kidney", "right adrenal gland"), []),
        (("left kidney",), [1, 2]),
        (("kidney",), [0, 1, 2]),
        (("left ventricle", "right ventricle", "myocardium"), []),
        (("RV", "MYO", "LV"), []),
        (("Left-Lateral-Ventricle", "Right-Lateral-Ventricle"), [0]),
        (("Anterior", "Posterior"), []),
        (("anterior cruciate ligament",), [0, 2]),
        (("lung_upper_lobe_left", "lung_upper_lobe_right"), [0]),
        (("superior vena cava",), [0, 1]),
        (("femur_left", "femur_right", "prostate"), [0]),
        (("femur_left", "femur_right", "1", "2"), []),
        (("left kidney", "right kidney", "LUL", "RUL"), []),
        (("left kidney", "right kidney", "parotidl", "parotidr"), []),
    ],
    ids=lambda value: ", ".join(map(str, value)),
)
def test_names_decide_along_which_axes_patches_are_mirrored(names: tuple[str, ...], axes: list[int]) -> None:
    assert axes_of(names) == axes


def test_listed_axes_are_mirrored_whatever_the_names_and_exchange_their_pairs() -> None:
    names = ("background", "Anterior", "Posterior", "left part", "right part", "left ventricle", "right ventricle")
    flips = choose_flips([0, 1], SIZE, names, "mr")
    assert flips.as_record() == [
        {"axis": 0, "exchanged": [["left part", "right part"]]},
        {"axis": 1, "exchanged": [["Posterior", "Anterior"]]},
    ]
    assert "left ventricle, right ventricle without a mirror image" in flips.describe()


def test_a_line_states_what_is_mirrored_exchanged_and_off_and_how_to_change_it() -> None:
    assert choose_flips("auto", SIZE, KIDNEYS, "ct").describe() == (
        "Flips: right-left (exchanging left_kidney and Right Kidney). Off: back-front and feet-head (no class name"
        " names a side, and alike classes may differ by it alone). To mirror anyway:"
        " data.augmentation.flip_axes=[0, 1, 2]."
    )
    assert choose_flips([], SIZE, KIDNEYS, "ct").describe() == "Flips: none."


def test_the_rows_of_a_picture_have_a_bottom_and_a_top() -> None:
    names = ("background", "upper jaw", "lower jaw")
    assert choose_flips([0, 1], (6, 4, 1), names, "picture").as_record() == [
        {"axis": 0, "exchanged": []},
        {"axis": 1, "exchanged": [["lower jaw", "upper jaw"]]},
    ]
    assert choose_flips("auto", (6, 4, 1), names, "picture").as_record() == []


@pytest.mark.parametrize("flip_axes", ["all", [3], [0, "x"], 0, True, None, [True]])
def test_other_axes_are_refused(flip_axes: Any) -> None:
    with pytest.raises(UserError, match=r"data\.augmentation\.flip_axes=.*must be auto, or a list of axes"):
        choose_flips(flip_axes, SIZE, KIDNEYS, "ct")


def flipped(names: tuple[str, ...], label: torch.Tensor, **more: torch.Tensor) -> list[Sample]:
    """Return the results of 40 draws of the right-left flip of one label (*size), whose image equals it."""
    augmentation = Augmentation(SIZE, flip_axes="auto", class_names=names)
    batches = [
        {"image": label[None, None].float(), "label": label[None, None], "key": torch.tensor([[0, sample]]), **more}
        for sample in range(40)
    ]
    return [augmentation(batch, seed=0) for batch in batches]


def test_a_left_kidney_lies_at_the_left_in_every_patch() -> None:
    label = torch.zeros(SIZE, dtype=torch.uint8)
    label[1, 1, 2], label[4, 2, 1], label[2, 0, 0] = 2, 3, 1  # RAS: the first index runs from left to right
    seen = set[bool]()
    for changed in flipped(KIDNEYS, label):
        image, after = changed["image"][0, 0], changed["label"][0, 0]
        is_mirrored = not torch.equal(image, label.float())
        seen.add(is_mirrored)
        assert torch.equal(image, label.flip(0).float() if is_mirrored else label.float())
        assert np.argwhere(after.numpy() == 2)[0, 0] == 1
        assert np.argwhere(after.numpy() == 3)[0, 0] == 4
        assert torch.equal(after == 1, image == 1)
        assert after.dtype == torch.uint8
    assert seen == {True, False}


def test_the_kidney_that_is_annotated_is_the_other_one_after_a_flip() -> None:
    label = torch.zeros(SIZE, dtype=torch.uint8)
    label[1, 1, 2] = 2
    annotated = torch.tensor([[True, False, True, False]])
    seen = set[int]()
    for changed in flipped(KIDNEYS, label, annotated=annotated):
        present = int(changed["label"].max())
        assert changed["annotated"].tolist() == [[True, False, present == 2, present == 3]]
        seen.add(present)
    assert seen == {2, 3}
