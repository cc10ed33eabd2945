"""Warnings for scans that differ from those of the training."""

import numpy as np
import pytest

from aunet.data.io.volume import Volume
from aunet.inference.training_range import TrainingRange

SPACING = np.diag([2.0, 3.0, 5.0, 1.0])


def messages(
    record: dict[str, object], modality: str, array: np.ndarray, caplog: pytest.LogCaptureFixture
) -> list[str]:
    TrainingRange.of_record(record, [modality]).warn([Volume(array.astype(np.float32), SPACING)])
    return [entry.getMessage() for entry in caplog.records]


def body() -> np.ndarray:
    """HU of a body in air."""
    array = np.full((12, 12, 12), -1000.0)
    array[3:9, 3:9] = 40
    return array


@pytest.mark.parametrize(
    ("ranges", "axes"),
    [
        ([[2, 2], [3, 3], [5, 5]], []),
        ([[2.01, 4], [1, 2.98], [5, 5]], []),  # within 1 %
        ([[2.5, 4], [1, 2.5], [1, 9]], ["right-left", "back-front"]),
        ([], []),
    ],
)
def test_each_axis_beyond_the_spacing_of_the_training_is_named(
    ranges: list[list[float]], axes: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    found = messages({"training_range": {"spacing_mm": ranges}}, "ct", body(), caplog)
    assert len(found) == len(axes)
    assert all(f"mm apart {axis}; the training scans had" in text for axis, text in zip(axes, found, strict=True))


def test_a_run_that_recorded_no_range_is_silent(caplog: pytest.LogCaptureFixture) -> None:
    assert not messages({}, "ct", body(), caplog)


@pytest.mark.parametrize(
    ("modality", "array", "words"),
    [
        ("ct", body(), []),
        ("mr", body(), ["look like HU of a CT; the run was trained on mr"]),
        ("ct", body() + 1400, ["its values from 400 to 1440 are not HU; the run was trained on ct"]),
        ("mr", body() + 1400, []),
        ("picture", body(), []),
    ],
)
def test_values_of_another_modality_are_reported(
    modality: str, array: np.ndarray, words: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    found = messages({}, modality, array, caplog)
    assert len(found) == len(words)
    assert all(word in text for word, text in zip(words, found, strict=True))
