"""Measures of where a map looks, on maps whose measures are known."""

import math

import numpy as np
import pytest
import torch

from aunet.attention.case_map import case_map
from aunet.attention.localisation import fractions_on, localise
from aunet.inference.window_layout import Window

SIZE = (8, 8, 8)


def label_of_box() -> np.ndarray:
    label = np.zeros(SIZE, np.uint8)
    label[:4, :4, :4] = 1  # an eighth of the image
    label[6:, 6:, 6:] = 2
    return label


def measures(values: np.ndarray, index: int = 1) -> dict[str, float]:
    grid = case_map(torch.zeros(1, *values.shape), Window(SIZE, 0.5, SIZE).lay_out(SIZE))
    return localise(values, fractions_on(grid, label_of_box(), 3), (index,))


def test_a_map_that_is_the_organ_finds_all_of_it() -> None:
    found = measures((label_of_box() == 1).astype(float))
    assert found == {"auc": 1, "pointing": 1, "energy": 1, "pointing_chance": 1 / 8, "energy_chance": 1 / 8}


def test_a_uniform_map_is_as_good_as_chance() -> None:
    found = measures(np.full((4, 4, 4), 0.3))
    assert found == pytest.approx(
        {"auc": 0.5, "pointing": 1 / 8, "energy": 1 / 8, "pointing_chance": 1 / 8, "energy_chance": 1 / 8}
    )


def test_the_map_of_another_organ_points_away() -> None:
    values = np.full(SIZE, 0.1)
    values[6:, 6:, 6:] = 1.0
    found = measures(values)
    assert found["auc"] == 0.5
    assert found["pointing"] == 0
    assert found["energy"] == pytest.approx(64 * 0.1 / (8 * 1.0 + 504 * 0.1))


def test_an_organ_that_is_absent_and_a_map_of_zeros_have_no_measures() -> None:
    assert all(math.isnan(value) for value in measures(np.zeros(SIZE)).values())
    grid = case_map(torch.zeros(1, *SIZE), Window(SIZE, 0.5, SIZE).lay_out(SIZE))
    fractions = fractions_on(grid, np.zeros(SIZE, np.uint8), 3)
    assert all(math.isnan(value) for value in localise(np.ones(SIZE), fractions, (1,)).values())


def test_a_region_is_found_by_all_of_its_parts() -> None:
    """The box and the corner together, 1/8 and 1/64 of the image, as one class against the rest."""
    label = label_of_box()
    grid = case_map(torch.zeros(1, *SIZE), Window(SIZE, 0.5, SIZE).lay_out(SIZE))
    values = np.random.default_rng(0).random(SIZE)
    region = localise(values, fractions_on(grid, label, 3), (1, 2))
    alone = localise(values, fractions_on(grid, (label > 0).astype(np.uint8), 2), (1,))
    assert region == pytest.approx(alone)
    assert region["energy_chance"] == pytest.approx(1 / 8 + 1 / 64)
