"""Attention statistics against block means, entropies in closed form and numerical integration."""

import math
import tracemalloc

import numpy as np
import pytest
import torch
from scipy import stats

from aunet.attention.statistics import attention_statistics, label_fractions


def random_label(shape: tuple[int, ...], num_classes: int = 4) -> np.ndarray:
    return np.random.default_rng(0).integers(0, num_classes, size=shape).astype(np.uint8)


def test_fractions_of_whole_cells_are_average_pooling_of_the_one_hot_label() -> None:
    label = random_label((8, 12, 4))
    one_hot = torch.nn.functional.one_hot(torch.from_numpy(label).long(), 4).movedim(-1, 0).double()

    expected = torch.nn.functional.avg_pool3d(one_hot, (2, 4, 2))

    np.testing.assert_allclose(label_fractions(label, 4, (4, 3, 2)), expected)


def test_cells_that_split_voxels_share_them() -> None:
    label = random_label((7, 5, 3))
    # Thirty copies of each voxel make every cell border a voxel border.
    fine = label.repeat(30, 0).repeat(30, 1).repeat(30, 2)

    fractions = label_fractions(label, 4, (3, 2, 2))

    np.testing.assert_allclose(fractions, label_fractions(fine, 4, (3, 2, 2)))
    np.testing.assert_allclose(fractions.sum(axis=0), 1)


def test_cells_may_start_before_the_label_and_end_after_it() -> None:
    label = np.ones((6, 4, 4), dtype=np.uint8)

    fractions = label_fractions(label, 2, (2, 1, 1), cell_size=(4, 4, 4), offset=(-1, 0, 0))

    np.testing.assert_allclose(fractions[:, :, 0, 0], [[0, 0], [3 / 4, 3 / 4]])


def test_a_map_that_is_the_label_is_one_inside_and_zero_outside() -> None:
    label = random_label((6, 6, 6), num_classes=3)
    fractions = label_fractions(label, 3, (6, 6, 6))

    (row,) = attention_statistics((label == 2)[None], fractions, ["background", "liver", "spleen"])

    assert row["mean_inside_spleen"] == 1
    assert row["mean_inside_liver"] == row["mean_outside"] == 0
    assert row["mean"] == pytest.approx((label == 2).mean())


def test_means_weigh_cells_by_the_share_of_the_class() -> None:
    fractions = np.array([[[[0.0]], [[0.75]]], [[[1.0]], [[0.25]]]])

    (row,) = attention_statistics(np.array([[[[0.2]], [[0.6]]]]), fractions)

    assert row["mean_inside_1"] == pytest.approx((1 * 0.2 + 0.25 * 0.6) / 1.25)
    assert row["mean_outside"] == pytest.approx(0.6)
    assert row["mean"] == pytest.approx(0.4)


def test_the_entropy_is_shannons_relative_to_a_uniform_map() -> None:
    coefficients = np.random.default_rng(1).random((2, 3, 4, 5))
    fractions = label_fractions(random_label((3, 4, 5)), 4, (3, 4, 5))

    rows = attention_statistics(coefficients, fractions)

    expected = [stats.entropy(values.ravel()) / math.log(60) for values in coefficients]
    assert [row["entropy"] for row in rows] == pytest.approx(expected)


def test_a_uniform_map_has_entropy_one_and_a_single_cell_zero() -> None:
    uniform, single = np.full((4, 4, 4), 0.3), np.zeros((4, 4, 4))
    single[1, 2, 3] = 0.8
    fractions = label_fractions(random_label((4, 4, 4)), 4, (4, 4, 4))

    rows = attention_statistics(np.stack([uniform, single]), fractions)

    assert [row["entropy"] for row in rows] == pytest.approx([1, 0])


def test_cells_past_the_edge_of_the_label_do_not_count() -> None:
    label = random_label((4, 4, 4))
    coefficients = np.random.default_rng(2).random((1, 4, 4, 4))
    padded = np.pad(coefficients, ((0, 0), (2, 1), (0, 0), (0, 0)), constant_values=9.0)
    shifted = label_fractions(label, 4, (7, 4, 4), cell_size=(1, 1, 1), offset=(-2, 0, 0))

    (plain,) = attention_statistics(coefficients, label_fractions(label, 4, (4, 4, 4)))
    (row,) = attention_statistics(padded, shifted)

    assert row == pytest.approx(plain)


def test_every_map_has_its_row_and_its_number() -> None:
    fractions = label_fractions(random_label((2, 2, 2)), 4, (2, 2, 2))

    rows = attention_statistics(torch.rand(3, 2, 2, 2), fractions)

    assert [row["map"] for row in rows] == [0, 1, 2]
    means = ["mean_inside_1", "mean_inside_2", "mean_inside_3", "mean_outside"]
    contrasts = [f"{kind}_inside{name}" for kind in ("auc", "ratio") for name in ("", "_1", "_2", "_3")]
    assert list(rows[0]) == ["map", "mean", "entropy", *means, *contrasts]


def test_an_absent_class_and_a_map_of_zeros_are_undefined() -> None:
    fractions = label_fractions(np.zeros((2, 2, 2), dtype=np.uint8), 2, (2, 2, 2))

    (row,) = attention_statistics(np.zeros((1, 2, 2, 2)), fractions)

    assert math.isnan(row["mean_inside_1"])
    assert math.isnan(row["entropy"])
    assert math.isnan(row["auc_inside_1"])
    assert math.isnan(row["ratio_inside"])
    assert row["mean_outside"] == 0


def test_the_area_under_the_roc_curve_is_that_of_all_pairs_of_places_inside_and_outside() -> None:
    """Oracle: every pair of cells, weighted by their shares; coarse values, so that many are tied."""
    coefficients = np.random.default_rng(3).integers(0, 5, size=(2, 3, 4, 5)) / 4
    fractions = label_fractions(random_label((7, 9, 10)), 4, (3, 4, 5))

    rows = attention_statistics(coefficients, fractions)

    for row, values in zip(rows, coefficients, strict=True):
        greater = np.sign(np.subtract.outer(values.ravel(), values.ravel())) / 2 + 0.5
        for name, inside in (
            ("inside", fractions[1:].sum(axis=0)),
            ("inside_1", fractions[1]),
            ("inside_3", fractions[3]),
        ):
            weights = np.multiply.outer(inside.ravel(), fractions[0].ravel())
            assert row[f"auc_{name}"] == pytest.approx((greater * weights).sum() / weights.sum())


def test_the_area_over_whole_cells_is_mann_whitneys_statistic() -> None:
    label = random_label((6, 7, 8), num_classes=3)
    values = np.random.default_rng(4).random((6, 7, 8)).round(1)

    (row,) = attention_statistics(values[None], label_fractions(label, 3, (6, 7, 8)))

    for index in (1, 2):
        statistic = stats.mannwhitneyu(values[label == index], values[label == 0]).statistic
        assert row[f"auc_inside_{index}"] == pytest.approx(statistic / ((label == index).sum() * (label == 0).sum()))


def test_cells_of_whole_voxels_give_the_area_of_the_map_repeated_to_the_labels_voxels() -> None:
    label = random_label((4, 6, 8), num_classes=2)
    values = np.random.default_rng(5).random((1, 2, 3, 4))

    (coarse,) = attention_statistics(values, label_fractions(label, 2, (2, 3, 4)))
    (fine,) = attention_statistics(values.repeat(2, 1).repeat(2, 2).repeat(2, 3), label_fractions(label, 2, (4, 6, 8)))

    for key in ("auc_inside", "ratio_inside", "auc_inside_1"):
        assert coarse[key] == pytest.approx(fine[key])


def test_a_map_that_is_the_label_has_an_area_of_one_and_its_opposite_zero() -> None:
    label = random_label((6, 6, 6), num_classes=2)
    fractions = label_fractions(label, 2, (6, 6, 6))

    rows = attention_statistics(np.stack([label, 1 - label, np.full_like(label, 1)]), fractions)

    assert [row["auc_inside"] for row in rows] == [1, 0, 0.5]
    assert [row["ratio_inside"] for row in rows] == [pytest.approx(np.nan, nan_ok=True), 0, 1]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_contrasts_do_not_depend_on_the_level_of_the_coefficients(dtype: type) -> None:
    coefficients = np.random.default_rng(6).random((1, 8, 8, 8)).astype(dtype)
    fractions = label_fractions(random_label((16, 16, 16)), 4, (8, 8, 8))

    (row,) = attention_statistics(coefficients, fractions)
    (dimmed,) = attention_statistics(coefficients * dtype(0.3), fractions)

    contrasts = [key for key in row if key.startswith(("auc_", "ratio_"))]
    assert len(contrasts) == 8
    assert {key: dimmed[key] for key in contrasts} == pytest.approx({key: row[key] for key in contrasts}, rel=1e-5)
    assert dimmed["mean_outside"] == pytest.approx(0.3 * row["mean_outside"])


def test_the_ratio_is_that_of_the_means() -> None:
    fractions = np.array([[[[1.0]], [[0.0]]], [[[0.0]], [[0.75]]], [[[0.0]], [[0.25]]]])

    (row,) = attention_statistics(np.array([[[[0.2]], [[0.6]]]]), fractions)

    assert [row[f"ratio_{name}"] for name in ("inside", "inside_1", "inside_2")] == pytest.approx([3, 3, 3])


def test_the_inside_of_a_region_is_all_of_its_values() -> None:
    """Region "whole" is values 1 and 2, "core" value 2: each as the label map of its own mask has it."""
    draw = np.random.default_rng(0)
    label, maps = draw.integers(0, 3, (8, 8, 8)), draw.random((2, 4, 4, 4))
    found = attention_statistics(
        maps, label_fractions(label, 3, (4, 4, 4)), ("background", "whole", "core"), ((1, 2), (2,))
    )
    outside = label_fractions(label, 3, (4, 4, 4))[0]
    for number, row in enumerate(found):
        for name, values in (("whole", (1, 2)), ("core", (2,))):
            inside = label_fractions(np.isin(label, values).astype(int), 2, (4, 4, 4))[1]
            [alone] = attention_statistics(maps[number][None], np.stack([outside, inside]))
            for measure in ("auc", "ratio", "mean"):
                assert row[f"{measure}_inside_{name}"] == pytest.approx(alone[f"{measure}_inside_1"])
        assert row["auc_inside"] == pytest.approx(row["auc_inside_whole"])


def test_fractions_of_many_classes_take_a_small_part_of_the_memory_of_the_one_hot_label() -> None:
    label = random_label((32, 32, 32), num_classes=100)
    tracemalloc.start()
    fractions = label_fractions(label, 100, (16, 16, 16))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 8 * label.size * 100 / 4
    np.testing.assert_allclose(fractions.sum(axis=0), 1)
