"""The contact sheet of epochs and levels."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from aunet.attention.film import Frame, attention_film, choose_epochs
from aunet.classes import Labels
from aunet.inference.coefficients import LevelCoefficients
from aunet.reporting.pictures.planes import LabelledScan

LABELS = Labels(("background", "pancreas"))
SCAN = LabelledScan(
    np.random.default_rng(0).normal(size=(16, 16, 4)), np.ones((16, 16, 4), dtype=np.uint8), (1.0, 1.0, 1.0)
)


def made_up_frame(epoch: int, num_gates: int = 1) -> Frame:
    values = np.random.default_rng(epoch).uniform(size=(num_gates, 8, 8, 2))
    return Frame(epoch, [LevelCoefficients(level, values, (2.0, 2.0, 2.0)) for level in (3, 2)])


def size_of(path: Path) -> tuple[int, int]:
    with Image.open(path) as image:
        return image.size


def test_chosen_epochs_hold_the_first_and_the_last_and_thin_out() -> None:
    for count in range(1, 200):
        epochs = list(range(3, 3 + count))
        chosen = choose_epochs(epochs)
        steps = np.diff(chosen)
        assert chosen[0] == epochs[0], count
        assert chosen[-1] == epochs[-1], count
        assert len(chosen) == min(count, 8)
        assert (steps > 0).all(), count
        assert (np.diff(steps) >= -1).all(), count  # growing, up to rounding


def test_chosen_epochs_of_a_long_run_are_those_of_a_geometric_row() -> None:
    assert choose_epochs(range(128)) == [0, 1, 3, 7, 15, 31, 63, 127]


def test_film_has_a_column_an_epoch_and_a_row_a_gate(tmp_path: Path) -> None:
    sizes: dict[tuple[int, int], tuple[int, int]] = {}
    for epochs, gates in ((2, 1), (3, 1), (2, 2)):
        path = tmp_path / f"film_{epochs}_{gates}.png"
        attention_film(SCAN, [made_up_frame(epoch, gates) for epoch in range(epochs)], LABELS, path)
        sizes[epochs, gates] = size_of(path)
    panel = 150 * (1.55 + 0.04)
    assert sizes[3, 1][0] - sizes[2, 1][0] == pytest.approx(panel, abs=2)
    assert sizes[2, 2][1] - sizes[2, 1][1] == pytest.approx(2 * panel, abs=2)


def test_film_does_not_depend_on_the_order_of_epochs_and_levels(tmp_path: Path) -> None:
    frames = [made_up_frame(epoch) for epoch in range(3)]
    turned = [Frame(frame.epoch, list(reversed(frame.levels))) for frame in reversed(frames)]
    attention_film(SCAN, frames, LABELS, tmp_path / "first.png")
    attention_film(SCAN, turned, LABELS, tmp_path / "second.png")
    assert (tmp_path / "first.png").read_bytes() == (tmp_path / "second.png").read_bytes()


def test_relative_film_ignores_the_scale_of_the_coefficients(tmp_path: Path) -> None:
    for name, factor in (("first", 1.0), ("second", 2.0**-10)):
        frame = made_up_frame(0)
        scaled = [LevelCoefficients(level.level, level.values * factor, level.cell_size) for level in frame.levels]
        attention_film(SCAN, [Frame(0, scaled)], LABELS, tmp_path / f"{name}.png", is_relative=True)
    assert (tmp_path / "first.png").read_bytes() == (tmp_path / "second.png").read_bytes()
