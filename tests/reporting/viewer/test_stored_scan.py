"""Scans for the viewer: what is cropped, merged and kept, against small arrays computed by hand."""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from aunet.classes import IGNORED
from aunet.errors import UserError
from aunet.reporting.pictures.planes import LabelledScan
from aunet.reporting.viewer import stored_scan
from aunet.reporting.viewer.stored_scan import StoredScan, read_scan, store_scan, write_scan


def made_up(shape: tuple[int, int, int] = (4, 6, 2)) -> LabelledScan:
    label = np.zeros(shape, dtype=np.uint8)
    label[1, 2, 1] = 2
    return LabelledScan(np.linspace(-100.0, 300.0, label.size).reshape(shape), label, (1.0, 1.0, 5.0))


def test_small_scan_is_kept_whole_in_8_bits_of_its_window() -> None:
    scan = made_up()
    stored = store_scan(scan, scan.label, (0.0, 200.0))
    assert np.array_equal(stored.image, np.rint(np.clip(scan.image, 0, 200) * (255 / 200)).astype(np.uint8))
    assert np.array_equal(stored.reference, scan.label)
    assert stored.describe() == "Scan of 4 × 6 × 2 voxels of 1 × 1 × 5 mm, shown in full."


def test_file_holds_all_of_a_scan(tmp_path: Path) -> None:
    scan = made_up()
    stored = replace(store_scan(scan, scan.label), origin=(1, 2, 3), factors=(2, 2, 1))
    write_scan(tmp_path / "scan.npz", stored)
    restored = read_scan(tmp_path / "scan.npz")
    for name in ("image", "reference", "prediction"):
        assert np.array_equal(getattr(restored, name), getattr(stored, name))
    assert (restored.spacing, restored.whole, restored.origin, restored.factors) == (
        *(stored.spacing, stored.whole),
        *(stored.origin, stored.factors),
    )


def test_scan_without_a_prediction_is_read_without_one(tmp_path: Path) -> None:
    write_scan(tmp_path / "scan.npz", store_scan(made_up()))
    assert read_scan(tmp_path / "scan.npz").prediction is None


def test_voxels_without_reference_are_shown_as_background() -> None:
    scan = made_up()
    scan.label[0, 0, 0] = IGNORED
    assert store_scan(scan).reference[0, 0, 0] == 0


def test_merging_begins_with_the_finest_axes_and_takes_means_and_middle_labels() -> None:
    stored = store_scan(made_up(), None, (-100.0, 300.0))
    merged = stored.coarsened(12)
    assert merged.factors == (2, 2, 1)
    assert merged.shown_spacing == (2.0, 2.0, 5.0)
    assert merged.image[0, 0, 0] == round(float(stored.image[:2, :2, 0].mean()))
    assert np.array_equal(merged.reference, stored.reference[1::2, 1::2])
    assert merged.describe().endswith(", 2 × 2 × 1 voxels merged into one.")


def test_sizes_that_do_not_divide_keep_their_last_voxels() -> None:
    stored = StoredScan(*[np.arange(5, dtype=np.uint8).reshape(5, 1, 1)] * 2, None, (1.0, 1.0, 1.0), (5, 1, 1))
    assert stored.coarsened(3).image.ravel().tolist() == [0, 2, 4]


def test_large_scan_is_cropped_to_its_organs_and_a_margin(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stored_scan, "MOST_VOXELS", 63 * 5 * 1)
    label = np.zeros((200, 5, 1), dtype=np.uint8)
    label[100:103] = 1
    stored = store_scan(LabelledScan(np.zeros(label.shape), label, (1.0, 10.0, 10.0)))
    assert stored.origin == (70, 0, 0)
    assert stored.image.shape == (63, 5, 1)
    assert "cropped to the organs and 30 mm around them" in stored.describe()


def test_damaged_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "scan.npz"
    write_scan(path, store_scan(made_up()))
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(UserError, match=re.escape(str(path))):
        read_scan(path)
