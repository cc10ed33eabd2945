"""Files that runs and commands leave: if damaged, they are refused in one sentence, or made again."""

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from aunet.config.draft import load_run_config
from aunet.data.preprocessing import foreground_intensities
from aunet.errors import UserError
from aunet.files import read_json
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

OLD_RUN = Path(__file__).resolve().parents[1] / "fixtures" / "old_run" / "attention_half"
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


def test_a_setting_that_an_earlier_version_did_not_record_is_as_null(tmp_path: Path) -> None:
    (tmp_path / "predictions.json").write_text(json.dumps(HEADER))
    runs = [{"sha256": "00", "settings": {"halo": None}}]
    PredictionManifest(tmp_path, {**HEADER, "runs": runs}, is_continued=True)
    runs[0]["settings"] = {"region": {"margin": None}}
    with pytest.raises(UserError, match="region=not recorded, now it is"):
        PredictionManifest(tmp_path, {**HEADER, "runs": runs}, is_continued=True)
    (tmp_path / "predictions.json").write_text(json.dumps({**HEADER, "runs": runs}))
    with pytest.raises(UserError, match="margin=None, now it is not recorded"):
        PredictionManifest(
            tmp_path, {**HEADER, "runs": [{"sha256": "00", "settings": {"region": {}}}]}, is_continued=True
        )


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


@pytest.mark.parametrize(
    ("text", "is_sound"), [(r'"\ud83d\ude00"', True), (r'"\ud83d"', False), (r'"a\uDE00b"', False)]
)
def test_half_a_character_is_refused_where_it_is_read(text: str, is_sound: bool, tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text(f'{{"model": {text}}}')
    if is_sound:
        assert read_json(tmp_path / "run.json", "") == {"model": "😀"}
    else:
        with pytest.raises(UserError, match="not valid JSON"):
            read_json(tmp_path / "run.json", "")


@pytest.mark.parametrize("value", [True, 3, "spleen", {"0": "background"}])
def test_a_list_of_a_runs_record_that_is_none_is_refused(value: object, tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text(json.dumps({"class_names": value, "caveats": value}))
    with pytest.raises(UserError, match=r"run.json: 'class_names' is .*must be a list.*Restore"):
        _ = RunFolder(tmp_path).labels
    with pytest.raises(UserError, match=r"run.json: 'caveats' is"):
        _ = RunFolder(tmp_path).caveats


@pytest.mark.parametrize(
    "text", ["''", "'???'", "'${seed}'", "a: 1\n? [b]\n: 2", "n: " + "9" * 5000, "data: [1]", "data: 3"]
)
def test_a_damaged_configuration_is_refused_in_one_message_that_names_it(text: str, tmp_path: Path) -> None:
    if text.startswith("data:"):
        whole = yaml.safe_load((OLD_RUN / "config.yaml").read_text(encoding="utf-8"))
        text = yaml.safe_dump(whole | yaml.safe_load(text))
    (tmp_path / "config.yaml").write_text(text)
    with pytest.raises(UserError, match=r"config\.yaml"):
        load_run_config(tmp_path)
