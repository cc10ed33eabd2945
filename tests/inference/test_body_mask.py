"""The body of a drawn CT is found whole, without table and air."""

import numpy as np
import pytest

from aunet.data.io.volume import Volume
from aunet.inference.body_mask import find_body

SHAPE = (90, 80, 60)


def drawn_scan(affine: np.ndarray) -> tuple[Volume, np.ndarray, np.ndarray]:
    """Return a CT with a cylinder of tissue that holds a lung open at both ends, the body and the table."""
    first, second, _ = np.meshgrid(*(np.arange(length) for length in SHAPE), indexing="ij")
    is_body = ((first - 40) / 25) ** 2 + ((second - 35) / 18) ** 2 < 1
    is_lung = ((first - 40) / 10) ** 2 + ((second - 35) / 8) ** 2 < 1
    is_table = (second >= 74) & (second < 76)
    hu = np.full(SHAPE, -1000.0)
    hu[is_table], hu[is_body], hu[is_lung] = -750, 30, -850
    return Volume(hu.astype(np.float32), affine), is_body, is_table


@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (1.2, 1.2, 5.0), (2.5, 2.5, 2.5)])
def test_the_mask_holds_the_body_with_its_lungs_and_little_else(spacing: tuple[float, ...]) -> None:
    scan, is_body, is_table = drawn_scan(np.diag([*spacing, 1.0]))
    mask = find_body(scan, SHAPE, scan.affine)
    assert mask[is_body].all()
    assert not mask[:3].any()
    assert mask[is_table].mean() < 0.5


def test_the_mask_lies_on_the_grid_asked_for_whatever_the_stored_axes() -> None:
    stored = np.array([[0.0, -1.2, 0, 9], [1.0, 0, 0, -5], [0, 0, 2.0, 3], [0, 0, 0, 1]])
    scan, is_body, _ = drawn_scan(stored)
    # Right = 9 - 1.2 * second, anterior = -5 + first, superior = 3 + 2 * third, on a grid of (1.2, 1, 2) mm.
    grid = np.array([[1.2, 0, 0, 9 - 1.2 * 79], [0, 1.0, 0, -5], [0, 0, 2.0, 3], [0, 0, 0, 1]])
    mask = find_body(scan, (80, 90, 60), grid)
    assert mask[is_body.transpose(1, 0, 2)[::-1]].all()
    assert mask.mean() < 0.7


def test_a_scan_without_a_body_is_kept_whole() -> None:
    scan = Volume(np.full((20, 20, 10), -1000, np.float32), np.eye(4))
    assert find_body(scan, (20, 20, 10), scan.affine).all()
