"""The attention files that stay on disk."""

from pathlib import Path

import numpy as np
import pytest

from aunet.attention.archive import AttentionArchive, epochs_to_keep
from aunet.errors import UserError
from aunet.inference.coefficients import LevelCoefficients


@pytest.mark.parametrize("limit", [2, 3, 8, 64])
def test_budget_holds_however_many_epochs_and_nothing_deleted_is_missed(limit: int) -> None:
    on_disk: set[int] = set()
    for count in range(1, 700):
        epochs = list(range(5, 5 + count))
        on_disk = {*on_disk, epochs[-1]}
        kept = epochs_to_keep(epochs, limit)
        assert set(kept) <= on_disk
        assert len(kept) <= limit
        assert {epochs[0], epochs[-1]} <= set(kept)
        on_disk = set(kept)


def test_every_epoch_is_kept_within_the_budget_then_every_second() -> None:
    assert epochs_to_keep(range(8), 8) == list(range(8))
    assert epochs_to_keep(range(9), 8) == [0, 2, 4, 6, 8]
    assert epochs_to_keep(range(10), 8) == [0, 2, 4, 6, 8, 9]


def test_budget_below_two_is_refused_with_its_key(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"attention\.max_epochs_kept=1"):
        AttentionArchive(tmp_path, 1)


@pytest.mark.parametrize("scale", [1.0, 1e-6])
def test_stored_coefficients_come_back_within_half_a_step_in_their_place(tmp_path: Path, scale: float) -> None:
    values = (scale * np.random.default_rng(0).uniform(size=(2, 5, 4, 3))).astype(np.float32)
    level = LevelCoefficients(3, values, (4.0, 4.0, 2.0), (-3.0, 0.0, -1.0))
    archive = AttentionArchive(tmp_path, 4)
    archive.write_volumes("case", 7, [level])
    (restored,) = archive.read_volumes("case", 7)
    assert (restored.level, restored.cell_size, restored.offset) == (3, level.cell_size, level.offset)
    largest = values.max(axis=(1, 2, 3), keepdims=True)
    assert (np.abs(restored.values - values) <= 1.001 * largest / 510).all()


def test_map_of_zeros_comes_back_as_zeros(tmp_path: Path) -> None:
    archive = AttentionArchive(tmp_path, 4)
    archive.write_volumes("case", 0, [LevelCoefficients(2, np.zeros((1, 2, 2, 2)), (2.0, 2.0, 2.0))])
    assert not archive.read_volumes("case", 0)[0].values.any()
