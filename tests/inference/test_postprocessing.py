"""Steps of post-processing on label maps whose parts are known, and their choice on validation cases."""

import json
from pathlib import Path

import numpy as np
import pytest

from aunet.classes import Labels
from aunet.errors import UserError
from aunet.evaluation.postprocessing_choice import PostprocessingChoice
from aunet.inference.chosen_postprocessing import ChosenStep, read_choice, write_choice
from aunet.inference.postprocessing import HoleFilling, LargestComponent, MaskStep, MinimumVolume
from aunet.inference.prediction import Prediction

LABELS = Labels(("background", "one", "two"))
AFFINE = np.diag([-10.0, 10.0, 10.0, 1.0])  # a voxel is 1 ml


def label_map() -> np.ndarray:
    """Class 1: a hollow cube of 26 voxels, parts of 4 and 1; class 2: one voxel in the hollow of another cube of it."""
    label = np.zeros((20, 12, 12), np.uint8)
    label[2:5, 2:5, 2:5] = 1
    label[3, 3, 3] = 0
    label[8:10, 8:10, 8] = 1
    label[12, 2, 2] = 1
    return label


def apply(step: MaskStep, label: np.ndarray) -> np.ndarray:
    prediction = Prediction(label, AFFINE, LABELS)
    changed = step(prediction)
    assert np.array_equal(prediction.label, label)
    return changed


@pytest.mark.parametrize("order", ["C", "F"])
def test_the_largest_component_alone_is_kept(order: str) -> None:
    label = np.array(label_map(), order=order)  # type: ignore[call-overload]
    expected = label_map()
    expected[6:] = 0
    assert np.array_equal(apply(LargestComponent("one"), label), expected)
    assert np.array_equal(apply(LargestComponent("two"), label), label)


def test_parts_that_touch_at_a_corner_are_one() -> None:
    label = np.zeros((4, 4, 4), np.uint8)
    label[0, 0, 0] = label[1, 1, 1] = 1
    label[3, 3, 3] = 1
    assert apply(LargestComponent(), label).sum() == 2


@pytest.mark.parametrize(("least_ml", "voxels"), [(0.5, 31), (1.0, 31), (1.5, 30), (4.0, 30), (5.0, 26), (27.0, 0)])
def test_parts_below_the_volume_are_removed(least_ml: float, voxels: int) -> None:
    assert np.count_nonzero(apply(MinimumVolume("one", least_ml), label_map())) == voxels


def test_a_step_on_a_class_leaves_the_small_parts_of_others() -> None:
    label = np.zeros((5, 5, 5), np.uint8)
    label[0, 0, 0], label[4, 4, 4] = 1, 2
    assert np.argwhere(apply(MinimumVolume("one", 27.0), label)).tolist() == [[4, 4, 4]]
    assert not apply(MinimumVolume(least_ml=27.0), label).any()


def test_enclosed_background_is_filled_and_other_classes_stay() -> None:
    label = label_map()
    assert np.count_nonzero(apply(HoleFilling("one"), label) == 1) == 32
    label[3, 3, 3] = 2
    assert np.array_equal(apply(HoleFilling("one"), label), label)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_ring_is_filled_in_a_single_slice_and_open_in_a_volume(axis: int) -> None:
    plane = np.ones((5, 5), np.uint8)
    plane[2, 2] = 0
    ring = np.expand_dims(plane, axis)
    assert apply(HoleFilling(), ring).all()
    volume = np.concatenate([0 * ring, ring], axis=axis)
    assert np.array_equal(apply(HoleFilling(), volume), volume)


def test_a_class_that_the_run_lacks_is_refused() -> None:
    with pytest.raises(UserError, match=r"class_name=on is not one of one, two"):
        apply(LargestComponent("on"), label_map())


def test_a_step_is_kept_only_if_the_mean_dice_rises() -> None:
    """The reference of class 1 is the filled cube; class 2 is right as it is, in two parts."""
    choice = PostprocessingChoice(LABELS)
    label = label_map()
    label[16:18, 5, 5] = label[16, 9, 9] = 2
    reference = np.where(label == 2, 2, 0)
    reference[2:5, 2:5, 2:5] = 1
    choice.add(label, reference, 1.0)
    chosen = choice.choose()
    assert chosen["one"] == (ChosenStep("largest_component", "one"), ChosenStep("hole_filling", "one"))
    assert chosen["two"] == ()
    means = choice.mean_dice()["one"]
    assert means[chosen["one"]] == 1
    assert means[()] == pytest.approx(2 * 26 / (31 + 27))
    assert means[(ChosenStep("largest_component", "one"),)] == pytest.approx(2 * 26 / (26 + 27))


def test_the_dice_of_a_choice_is_that_of_the_steps_applied() -> None:
    draw = np.random.default_rng(0)
    label = (draw.random((12, 12, 12)) < 0.2).astype(np.uint8)
    reference = (draw.random((12, 12, 12)) < 0.2).astype(np.uint8)
    choice = PostprocessingChoice(LABELS)
    choice.add(label, reference, 1.0)
    for steps, mean in choice.mean_dice()["one"].items():
        changed = label
        for step in steps:
            changed = apply(step.build(), changed)
        both = np.count_nonzero((changed == 1) & (reference == 1))
        assert mean == pytest.approx(2 * both / (np.count_nonzero(changed == 1) + np.count_nonzero(reference == 1)))


def test_ignored_voxels_and_classes_without_annotation_do_not_count() -> None:
    choice = PostprocessingChoice(LABELS)
    label = label_map()
    reference = np.where(label == 1, 1, 0)
    reference[6:] = 255
    choice.add(label, reference, 1.0, frozenset({1}))
    assert set(choice.scores) == {"one"}
    assert choice.mean_dice()["one"][()] == 1


def test_an_organ_that_ignored_voxels_cut_in_two_is_one_component() -> None:
    label = np.zeros((12, 8, 8), np.uint8)
    label[1:11, 2:6, 2:6] = 1
    reference = label.copy()
    reference[6] = 255
    label[11, 7, 7] = 1
    choice = PostprocessingChoice(LABELS)
    choice.add(label, reference, 1.0)
    means = choice.mean_dice()["one"]
    assert means[()] == pytest.approx(2 * 144 / (144 + 145))
    assert means[(ChosenStep("largest_component", "one"),)] == 1


def test_a_choice_returns_from_its_file_and_a_damaged_file_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "postprocessing.json"
    assert read_choice(file) == []
    steps = [ChosenStep("minimum_volume", "one", 0.2), ChosenStep("hole_filling", "two")]
    write_choice(file, steps, {"validation_cases": ["a"]})
    assert read_choice(file) == steps
    assert json.loads(file.read_text())["validation_cases"] == ["a"]
    for content in ({"steps": [{"step": "os.system", "class": "one"}]}, {"steps": [{"class": "one"}]}, {}):
        file.write_text(json.dumps(content))
        with pytest.raises(UserError, match=r"postprocessing\.json: does not list steps"):
            read_choice(file)
    file.write_text("{")
    with pytest.raises(UserError, match=r"postprocessing\.json: .*Choose again: aunet postprocess RUN\."):
        read_choice(file)
