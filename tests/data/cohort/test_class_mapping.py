"""Names and values of a dataset become classes of a run, or are refused with what would help."""

from typing import Any

import pytest

from aunet.classes import IGNORED
from aunet.data.cohort.class_mapping import LabelMap, label_map
from aunet.errors import UserError

AMOS = {
    "background": [0],
    "spleen": [1],
    "right kidney": [2],
    "left kidney": [3],
    "gall bladder": [4],
    "prostate/uterus": [15],
}


def mapped(classes: Any, names: dict[str, list[int]] | None = None, other: str = "background") -> LabelMap:
    return label_map(classes, AMOS if names is None else names, other, "dataset.json")


def test_labels_of_several_names_become_one_class_in_the_users_order() -> None:
    result = mapped({"kidney": ["right kidney", "left kidney"], "spleen": "spleen"})
    assert result.labels.names == ("background", "kidney", "spleen")
    assert result.class_of_value == {0: 0, 1: 2, 2: 1, 3: 1, 4: 0, 15: 0}
    assert result.annotated is None


@pytest.mark.parametrize("name", ["Right Kidney", "right_kidney", "RIGHT-KIDNEY", "right.kidney", "rightkidney"])
def test_case_and_separators_of_a_name_do_not_matter(name: str) -> None:
    assert mapped({"kidney": [name]}).class_of_value[2] == 1


@pytest.mark.parametrize("name", ["ignore", "Ignore", "IGNORE", "_ignore"])
def test_case_and_separators_of_the_name_ignore_do_not_matter(name: str) -> None:
    assert mapped({"spleen": 1, name: 9}, names={}).class_of_value == {0: 0, 1: 1, 9: IGNORED}
    of_dataset = mapped(None, names={"background": [0], "spleen": [1], name: [9]})
    assert of_dataset.labels.names == ("background", "spleen")
    assert of_dataset.class_of_value == {0: 0, 1: 1, 9: IGNORED}


def test_values_serve_where_names_do_not_exist() -> None:
    result = mapped({"spleen": 1, "kidney": [2, 13]}, names={}, other="error")
    assert result.class_of_value == {0: 0, 1: 1, 2: 2, 13: 2}
    assert not result.is_other_background


def test_without_names_other_values_are_background_only_when_said() -> None:
    assert mapped({"spleen": 1}, names={}, other="background").is_other_background


def test_values_that_a_dataset_does_not_name_stay_unknown_even_where_others_are_background() -> None:
    result = mapped({"spleen": "spleen"})
    assert not result.is_other_background
    assert 255 not in result.class_of_value


def test_a_class_without_labels_is_not_annotated() -> None:
    result = mapped({"pancreas": None, "spleen": "spleen", "kidney": []})
    assert result.labels.names == ("background", "pancreas", "spleen", "kidney")
    assert result.annotated == {0, 2}


def test_labels_may_be_named_background() -> None:
    names = {"background": [0], "pancreas": [1], "cancer": [2]}
    assert mapped({"pancreas": "pancreas", "background": "cancer"}, names, "error").class_of_value == {0: 0, 1: 1, 2: 0}


@pytest.mark.parametrize("classes", [None, {}])
def test_without_classes_every_name_is_one_in_the_order_of_values(classes: dict[str, Any] | None) -> None:
    result = mapped(classes, other="error")
    assert result.labels.names[1:] == ("spleen", "right_kidney", "left_kidney", "gall_bladder", "prostate_uterus")
    assert result.class_of_value == {0: 0, 1: 1, 2: 2, 3: 3, 4: 4, 15: 5}


def test_a_region_is_all_of_its_values() -> None:
    names = {"background": [0], "kidney": [1, 2, 3], "tumor": [2]}
    assert mapped({"kidney": "kidney"}, names, "error").class_of_value == {0: 0, 1: 1, 2: 1, 3: 1}


@pytest.mark.parametrize(
    ("classes", "names", "other", "message"),
    [
        ({"pancreas": "pancreas"}, AMOS, "background", "no label 'pancreas'; it has background, spleen"),
        ({"spleen": "spleen"}, {}, "error", "has no names, so give whole numbers"),
        ({"spleen": 1.5}, {}, "error", "no label 1.5"),
        ({"spleen": True}, {}, "error", "no label True"),
        ({"spleen": 1, "liver": [1, 2]}, {}, "error", "value 1 .* already belongs to spleen"),
        ({"spleen": [0, 1]}, {}, "error", "value 0 .* already belongs to background"),
        ({"spleen": "spleen"}, AMOS, "error", "right kidney.*belong to no class.*data.other_labels=background"),
        ({"spleen": None}, AMOS, "background", "name at least one label"),
        (None, {}, "error", "data.classes is not set"),
        (None, {"background": [0], "whole": [1, 2], "core": [2]}, "error", "if regions .* overlap"),
        (None, {"background": [0], "Left": [1], "left": [2]}, "error", "not distinct"),
    ],
)
def test_classes_that_cannot_be_mapped_are_refused_with_the_remedy(
    classes: Any, names: dict[str, list[int]], other: str, message: str
) -> None:
    with pytest.raises(UserError, match=message):
        mapped(classes, names, other)
