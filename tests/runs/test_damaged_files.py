"""Files that runs and commands leave: if damaged, they are refused in one sentence, or made again."""

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import torch

from aunet.data.preprocessing import foreground_intensities
from aunet.errors import UserError
from aunet.inference.coefficient_files import read_coefficients
from aunet.inference.engine_choice import _as_measured
from aunet.inference.prediction_files import ScanFile
from aunet.pipeline.configuration import _read_steps
from aunet.pipeline.prediction_manifest import PredictionManifest
from aunet.reporting.probe_section import write_probe_page
from aunet.reporting.viewer.stored_scan import read_scan
from aunet.runs.epoch_rows import replace_row
from aunet.runs.run_folder import RunFolder
from aunet.training.callbacks.checkpoints import is_readable

GRID = np.zeros((1, 2, 2, 2), np.uint8)
HEADER = {"runs": [{"sha256": "00", "settings": {}}], "class_names": ["background", "spleen"]}


@pytest.mark.parametrize(
    "arrays",
    [
        {"level_x": GRID},
        {"level_2": GRID},
        {"level_2": GRID[0], "largest_2": GRID[0], "cell_size_2": np.ones(3), "offset_2": np.ones(3)},
        {"level_2": GRID, "largest_2": GRID[:, :1, :1, :1], "cell_size_2": np.ones(2), "offset_2": np.ones(3)},
        {"place": np.ones((3, 3)), "spacing": np.ones(3), "image": GRID[0], "reference": GRID[0, 0]},
        {"place": np.ones((3, 3)), "spacing": np.ones(2), "image": GRID[0], "reference": GRID[0]},
    ],
)
def test_an_archive_with_other_arrays_is_refused(arrays: Mapping[str, np.ndarray], tmp_path: Path) -> None:
    np.savez(tmp_path / "case.npz", **arrays)
    read = read_scan if "place" in arrays else read_coefficients
    with pytest.raises(UserError, match=r"case.npz: not readable .*delete it"):
        read(tmp_path / "case.npz")


@pytest.mark.parametrize(
    "content", [{"runs": 3}, {"runs": [1]}, {"scans": []}, {"scans": {"a": 1}}, {"scans": {"a": {"scan": []}}}]
)
def test_a_damaged_record_of_predictions_is_refused_if_continued_and_else_replaced(
    content: Mapping[str, object], tmp_path: Path
) -> None:
    (tmp_path / "predictions.json").write_text(json.dumps({**HEADER, **content}))
    with pytest.raises(UserError, match=r"predictions.json: does not list runs and scans .*Delete it"):
        PredictionManifest(tmp_path, HEADER, is_continued=True)
    manifest = PredictionManifest(tmp_path, HEADER, is_continued=False)
    assert not manifest.lists(ScanFile(Path("a.nii.gz"), tmp_path / "a.nii.gz"))


@pytest.mark.parametrize("content", [[1], 3, {"state_dict": {}}, {"global_step": "many"}, torch.zeros(2)])
def test_a_checkpoint_without_its_steps_is_not_extended(content: object, tmp_path: Path) -> None:
    last = RunFolder(tmp_path).checkpoints.last
    last.parent.mkdir()
    torch.save(content, last)
    with pytest.raises(UserError, match=r"last.ckpt: not a readable checkpoint .*init="):
        _read_steps(tmp_path)
    assert is_readable(last) is (isinstance(content, dict) and "state_dict" in content)


@pytest.mark.parametrize("text", ["epoch,loss\nfirst,1\n", "loss\n1\n", "epoch,loss\n,1\n"])
def test_a_table_without_epochs_is_not_continued(text: str, tmp_path: Path) -> None:
    (tmp_path / "metrics.csv").write_text(text)
    with pytest.raises(UserError, match=r"metrics.csv: not a table of epochs .*Restore"):
        replace_row(tmp_path / "metrics.csv", {"epoch": 1, "loss": 0.5})
    assert (tmp_path / "metrics.csv").read_text() == text


@pytest.mark.parametrize(
    "damage", [{"engine": ["torch"]}, {"engine": "abacus"}, {"precision": "bf17"}, {"seconds": "fast"}, {"more": 1}]
)
def test_a_damaged_memory_of_engines_is_measured_again(damage: Mapping[str, object]) -> None:
    sound = {"engine": "torch", "precision": "bf16", "seconds": 0.5, "equal_labels": 1.0}
    assert _as_measured(sound) is not None
    assert _as_measured({**sound, **damage}) is None


@pytest.mark.parametrize(
    "counts",
    [
        np.zeros(3, np.int64),
        np.zeros((3, 2)),
        np.array([[-1], [0], [1]]),
        np.array([[1], [0], [1]]),
        np.array([[0], [10**9], [1]]),
        np.array([["a"], ["b"], ["c"]]),
    ],
)
def test_damaged_counts_of_intensities_are_counted_again(counts: np.ndarray, tmp_path: Path) -> None:
    np.save(tmp_path / "counts.npy", counts)
    assert foreground_intensities._read(tmp_path / "counts.npy", 1) is None


@pytest.mark.parametrize("content", [{}, {"notes": 1}, {"notes": [], "tables": [3], "pictured_cases": []}])
def test_damaged_findings_of_a_probe_are_refused(content: Mapping[str, object], tmp_path: Path) -> None:
    (tmp_path / "probe.json").write_text(json.dumps(content))
    with pytest.raises(UserError, match=r"probe.json: does not hold the findings .*aunet probe"):
        write_probe_page(tmp_path)
