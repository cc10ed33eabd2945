"""Values of label files as regions that may overlap."""

from pathlib import Path

import pytest
from nested_regions import write_nested_nnunet

from aunet.data.cohort.class_mapping import label_map
from aunet.data.sources.nnunet import nnunet_cohort
from aunet.errors import UserError

NAMES = {"background": [0], "edema": [1], "core": [2], "enhancing": [4]}
Regions = dict[str, object]


def test_regions_are_numbered_in_their_order_whatever_the_values() -> None:
    mapping = label_map(None, {}, "error", "labels", {"whole": [1, 2, 4], "core": [1, 4], "enhancing": 4})
    assert mapping.labels.names == ("background", "whole", "core", "enhancing")
    assert mapping.labels.regions == ((1, 2, 3), (2, 3), (3,))
    assert mapping.class_of_value == {0: 0, 2: 1, 1: 2, 4: 3}
    assert mapping.annotated is None


def test_regions_may_overlap_if_the_overlap_is_one_too() -> None:
    mapping = label_map(None, {}, "error", "labels", {"a": [1, 2], "b": [2, 3], "both": [2]})
    assert mapping.labels.regions == ((1, 3), (2, 3), (3,))
    assert mapping.class_of_value == {0: 0, 1: 1, 3: 2, 2: 3}


def test_regions_name_labels_of_the_dataset_or_classes_of_the_run() -> None:
    regions = {"whole": ["Edema", "core", "enhancing"], "inner": ["core", 4]}
    by_name = label_map(None, NAMES, "error", "labels", regions)
    assert by_name.class_of_value == {0: 0, 1: 1, 2: 2, 4: 2}
    classes = {"soft": [1, 2], "hard": 4}
    by_class = label_map(classes, {}, "error", "labels", {"all": ["soft", "hard"], "hard": ["hard"]})
    assert by_class.class_of_value == {0: 0, 1: 1, 2: 1, 4: 2}


def test_ignored_and_other_values_are_mapped_as_for_classes() -> None:
    regions = {"a": [1, 2], "b": [2], "ignore": 4}
    mapping = label_map(None, {**NAMES, "rest": [7]}, "background", "labels", regions)
    assert mapping.class_of_value == {0: 0, 1: 1, 2: 2, 4: 255, 7: 0}


@pytest.mark.parametrize(
    ("regions", "message"),
    [
        ({"core": [2, 4], "whole": [1, 2, 4]}, r"core: is painted over by whole, listed later.*List larger regions"),
        ({"a": [1, 2], "b": [1, 2], "c": [4]}, r"a: is painted over by b"),
        ({"a": [1, 2], "b": [2, 4]}, r"values 4 and 2 of .* both be painted as b.*overlap: \[2\]"),
        ({"a": [1, 2, 4], "b": []}, r"target_regions\.b: is empty"),
        ({"a": [1, 2, 4], "b": None}, r"target_regions\.b: is empty"),
        ({"a": [1, 2, 4], "b": [0]}, r"target_regions\.b: the value 0 is not one of a region"),
        ({"a": [1, 2, 4], "b": [9]}, r"target_regions\.b: labels has no value 9; it has .*1 edema"),
        ({"a": [1, 2, 4], "b": ["liver"]}, r"target_regions\.b: labels has no label 'liver'; it has background, edema"),
        ({"A b": [1, 2, 4], "a_b": [4]}, r"A b and a_b are one name"),
        ({"a": [1, 2, 4]}, r"regions need two or more names.*data\.classes"),
        ({"a": [1, 2], "b": [2]}, r"the labels enhancing of labels belong to no region.*other_labels=background"),
        ({"a": [1, 2, 4], "b": [2], "ignore": [4]}, r"ignore: the value 4 already belongs to a"),
        ({"a": [1, 2, 4], "b": [2], "background": [4]}, r"background: the value 4 is in a region too"),
    ],
)
def test_regions_that_cannot_be_painted_are_refused_with_the_remedy(regions: Regions, message: str) -> None:
    with pytest.raises(UserError, match=message):
        label_map(None, NAMES, "error", "labels", regions)


def test_regions_of_nnunet_are_those_of_its_dataset_json(tmp_path: Path) -> None:
    cohort = nnunet_cohort(str(write_nested_nnunet(tmp_path)))
    assert cohort.labels.names == ("background", "whole_tumor", "tumor_core", "enhancing_tumor")
    assert cohort.labels.regions == ((1, 2, 3), (2, 3), (3,))


def test_a_class_order_of_nnunet_may_paint_any_value_of_its_own(tmp_path: Path) -> None:
    labels = {"background": 0, "whole": [1, 2, 3], "core": [1, 3], "enhancing": [3], "ignore": 4}
    cohort = nnunet_cohort(str(write_nested_nnunet(tmp_path, labels=labels, regions_class_order=[2, 1, 3])))
    assert cohort.class_of_value == {0: 0, 2: 1, 1: 2, 3: 3, 4: 255}


@pytest.mark.parametrize("order", [[1, 3, 2], [2, 1, 3], [1, 2], [1, 2, 9], 3])
def test_a_class_order_that_would_not_reproduce_the_label_map_is_refused(tmp_path: Path, order: object) -> None:
    with pytest.raises(UserError, match=r"'regions_class_order' is .* whole_tumor, tumor_core, enhancing_tumor"):
        nnunet_cohort(str(write_nested_nnunet(tmp_path, regions_class_order=order)))


def test_overlapping_labels_of_nnunet_without_an_order_need_target_regions(tmp_path: Path) -> None:
    root = str(write_nested_nnunet(tmp_path, regions_class_order=None))
    with pytest.raises(UserError, match=r"name them with data\.target_regions"):
        nnunet_cohort(root)
    regions = {"whole": ["whole tumor"], "core": ["tumor core"], "enhancing": ["enhancing tumor"]}
    assert nnunet_cohort(root, regions=regions).labels.regions == ((1, 2, 3), (2, 3), (3,))
