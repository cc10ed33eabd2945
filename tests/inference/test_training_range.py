"""Warnings for scans that differ from those of the training."""

from pathlib import Path

import numpy as np
import pytest

from aunet.data.io.volume import Volume
from aunet.inference import training_range
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
    assert len(found) == min(1, len(axes))
    assert all(f"mm {axis} (training: " in text for text in found for axis in axes)


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


def warned(scan_range: TrainingRange, *channels: Volume, caplog: pytest.LogCaptureFixture) -> list[str]:
    caplog.clear()
    scan_range.warn(channels)
    return [entry.getMessage().partition(": ")[2] for entry in caplog.records]


def test_a_warning_names_the_spacing_of_the_scan_and_that_of_the_training(caplog: pytest.LogCaptureFixture) -> None:
    scan = Volume(body().astype(np.float32), SPACING)
    ranges = TrainingRange(("ct",), ((2.5, 4.0), (1.0, 1.0), (5.0, 5.0)))
    assert warned(ranges, scan, caplog=caplog) == [
        "the spacing of its voxels is 2 mm right-left (training: 2.5 to 4 mm), 3 mm back-front (training: 1 mm)."
        " Expect a worse label map."
    ]


def test_the_axes_are_those_of_the_patient_however_they_are_stored(caplog: pytest.LogCaptureFixture) -> None:
    stored = np.zeros((4, 4))
    stored[2, 0], stored[0, 1], stored[1, 2], stored[3, 3] = -5.0, 2.0, 3.0, 1.0
    scan = Volume(body().astype(np.float32), stored)
    assert not warned(TrainingRange(("ct",), ((2, 2), (3, 3), (5, 5))), scan, caplog=caplog)
    assert [
        text.split(" (")[0] for text in warned(TrainingRange(("ct",), ((2, 2), (3, 3), (9, 9))), scan, caplog=caplog)
    ] == ["the spacing of its voxels is 5 mm feet-head"]


def test_each_channel_is_held_against_its_own_modality(caplog: pytest.LogCaptureFixture) -> None:
    ct, other = (Volume((body() + shift).astype(np.float32), SPACING) for shift in (0, 1400))
    assert not warned(TrainingRange(("ct", "mr")), ct, other, caplog=caplog)
    consequence = "Expect a label map without meaning."
    assert warned(TrainingRange(("mr", "ct")), ct, other, caplog=caplog) == [
        f"its values from -1000 to 40 look like HU of a CT; the run was trained on mr. {consequence}",
        f"its values from 400 to 1440 are not HU; the run was trained on ct. {consequence}",
    ]
    assert not warned(TrainingRange(("ct",)), ct, ct, caplog=caplog)  # a channel more is refused elsewhere


def test_a_dicom_header_says_the_modality_whatever_the_values(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    scan = Volume((body() + 1400).astype(np.float32), SPACING, Path("scan"))
    monkeypatch.setattr(training_range, "modality_of_file", lambda path: {"scan": "ct"}[path.name])
    assert not warned(TrainingRange(("ct",)), scan, caplog=caplog)
    [text] = warned(TrainingRange(("mr",)), scan, caplog=caplog)
    assert text.startswith("its DICOM header says ct; the run was trained on mr.")
