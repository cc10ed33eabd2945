"""Similarity of maps, on pairs whose similarity is known."""

import math

import numpy as np
import pytest
from scipy import ndimage

from aunet.attention.map_similarity import similarity


def smooth_map(seed: int, shape: tuple[int, ...] = (20, 18, 16)) -> np.ndarray:
    return ndimage.gaussian_filter(np.random.default_rng(seed).random(shape), 1.5)


def test_a_map_and_its_multiple_are_alike() -> None:
    first = smooth_map(0)
    found = similarity(first, 0.3 * first + 0.2)
    assert (found.rank_correlation, found.ssim) == pytest.approx((1, 1), abs=1e-4)
    assert found.is_different is False


def test_a_map_and_its_inverse_are_alike_as_they_show_the_same_structure() -> None:
    found = similarity(smooth_map(0), 1 - smooth_map(0))
    assert found.rank_correlation == pytest.approx(-1)
    assert found.is_different is False


def test_unrelated_maps_differ() -> None:
    found = similarity(smooth_map(0), smooth_map(1))
    assert found.is_different is True


def test_the_rank_correlation_is_pearsons_of_the_ranks() -> None:
    first, second = smooth_map(0), smooth_map(0) + 0.5 * smooth_map(1)
    ranks = [np.argsort(np.argsort(values, axis=None)) for values in (first, second)]
    assert similarity(first, second).rank_correlation == pytest.approx(np.corrcoef(*ranks)[0, 1])


@pytest.mark.parametrize("shape", [(6, 6, 6), (12, 14, 1), (4, 4, 2)])
def test_coarse_and_thin_maps_have_a_similarity_too(shape: tuple[int, ...]) -> None:
    first = np.random.default_rng(0).random(shape)
    assert similarity(first, first).ssim == pytest.approx(1, abs=1e-4)


def test_a_constant_map_has_no_similarity() -> None:
    found = similarity(smooth_map(0), np.ones((20, 18, 16)))
    assert math.isnan(found.rank_correlation)
    assert found.is_different is None


def test_maps_of_two_cells_have_a_rank_correlation_alone() -> None:
    first = np.random.default_rng(0).random((2, 2, 2))
    found = similarity(first, first)
    assert found.rank_correlation == pytest.approx(1)
    assert math.isnan(found.ssim)
