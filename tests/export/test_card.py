"""The card and the check that accompany exported files."""

import numpy as np
import pytest

from aunet.data.io.volume import Volume
from aunet.export.card import describe_model, without_paths
from aunet.export.parity import ParityScan, middle_slab

SCAN = ParityScan([Volume(np.zeros((4, 5, 10), np.float32), np.diag([1.0, 1.0, 2.0, 1.0]))], "a validation case")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("12 scans of /home/ann/Task04, MRI/CT", "12 scans of Task04, MRI/CT"),
        ("weights of ~/runs/a b", "weights of a b"),
        (r"C:\data\Miller_Anna\ct150", "ct150"),
        ("2 mm/s at https://example.org/a/b", "2 mm/s at https://example.org/a/b"),
    ],
)
def test_a_path_leaves_its_last_part_alone(text: str, expected: str) -> None:
    assert without_paths(text) == expected


def test_the_share_of_equal_voxels_counts_every_voxel() -> None:
    expected = np.zeros((4, 5, 10), np.uint8)
    expected[0] = 1
    label = expected.copy()
    label[3, 3, 3] = 2
    parity = SCAN.compare(label, expected)
    assert (parity.equal_voxels, parity.different, parity.foreground) == (199 / 200, 1, 50)
    assert not parity.is_equal
    assert SCAN.compare(expected, expected).is_equal


def test_no_voxel_of_a_label_map_of_another_shape_is_equal() -> None:
    assert SCAN.compare(np.zeros((5, 4, 10), np.uint8), np.zeros((4, 5, 10), np.uint8)).equal_voxels == 0


def test_a_card_warns_of_a_low_share_and_names_what_was_left_out() -> None:
    expected = np.zeros((4, 5, 10), np.uint8)
    parity = SCAN.compare(expected + np.uint8(1), expected)
    card = describe_model("title", [("Limits", "one | two")], "usage", parity, ["inference.skip_air=true"])
    assert "| Limits | one / two |" in card
    assert "do not take these files for the same model" in card
    assert "inference.skip_air=true" in card
    assert "name another with --scan" in card


def test_a_slab_of_a_large_scan_keeps_its_place_in_the_patient() -> None:
    affine = np.array([[0, 0, 2.5, 7.0], [1.0, 0, 0, 3.0], [0, 1.0, 0, 1.0], [0, 0, 0, 1]])
    array = np.broadcast_to(np.arange(40, dtype=np.float32), (1000, 1000, 40))
    [slab] = middle_slab([Volume(array, affine)])
    assert slab.shape == (1000, 1000, 12)
    first = slab.array[0, 0, 0]
    np.testing.assert_allclose(slab.affine[:3, 3], affine[:3, 3] + first * affine[:3, 2])
