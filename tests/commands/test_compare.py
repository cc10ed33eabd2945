"""`aunet compare` from run folders to tables, the networks made small and given in place of trained ones."""

import argparse
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from torch import nn

from aunet.commands.compare import add_arguments, compare
from aunet.errors import UserError
from aunet.metrics.case_scores import NUMBERS, write_case_scores

CASES = tuple(f"phantom_{number:02d}" for number in range(8))


@pytest.fixture
def networks(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Run folders whose network was asked for: each is one convolution of two channels."""
    loaded: list[Path] = []

    def load_run(folder: Path) -> SimpleNamespace:
        loaded.append(folder)
        return SimpleNamespace(network=nn.Conv3d(2, 3, 1))

    monkeypatch.setattr("aunet.build.load_run", load_run)
    config = SimpleNamespace(dataset=SimpleNamespace(in_channels=2))
    monkeypatch.setattr("aunet.config.load_run_config", lambda folder: config)
    return loaded


def write_run(folder: Path, model: str, gain: float, **changes: Any) -> Path:
    random = np.random.default_rng(0)
    rows = [
        {
            "case_id": case_id,
            "patient": case_id,
            "class": name,
            **dict.fromkeys(NUMBERS, 0.5),
            "dice": random.uniform(0.5, 0.8) + gain,
        }
        for case_id in CASES
        for name in ("pancreas", "spleen")
    ]
    record = {
        "status": "finished",
        "data": "ct150",
        "is_phantom": True,
        "model": model,
        "seed": 0,
        "parameters": 5_888_004,
        "class_names": ["background", "pancreas", "spleen"],
        "patch_size": [8, 8, 8],
        "data_fingerprint": "f00d",
    }
    write_case_scores(folder / "test" / "case_scores.csv", pd.DataFrame(rows))
    (folder / "run.json").write_text(json.dumps({**record, **changes}), encoding="utf-8")
    return folder


def run(*words: str | Path) -> None:
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    compare(parser.parse_args([str(word) for word in words]))


def test_two_runs_give_three_files_and_a_printed_table(
    tmp_path: Path, networks: list[Path], capsys: pytest.CaptureFixture[str]
) -> None:
    first, second = write_run(tmp_path / "0", "unet", 0.0), write_run(tmp_path / "1", "attention", 0.1)

    run(first, second, "--output", tmp_path / "comparison")

    assert networks == [first, second]
    written = {path.name for path in (tmp_path / "comparison").iterdir()}
    assert written == {"comparison.md", "comparison.csv", "paired_differences.csv"}
    printed = capsys.readouterr().out
    assert "ct150 (PHANTOM): mean ± sd over 8 test cases" in printed
    assert "Paired differences: attention minus unet" in printed
    assert "Paired differences: attention minus unet" in (tmp_path / "comparison" / "comparison.md").read_text("utf-8")


def test_paired_differences_are_of_the_cases_of_both_runs(tmp_path: Path, networks: list[Path]) -> None:
    first, second = write_run(tmp_path / "0", "unet", 0.0), write_run(tmp_path / "1", "attention", 0.1)

    run(first, second, "--output", tmp_path / "comparison")

    differences = pd.read_csv(tmp_path / "comparison" / "paired_differences.csv").set_index(["metric", "class"])
    of_pancreas = differences.loc[("dice", "pancreas")]
    assert of_pancreas[["mean", "median", "low", "high"]].tolist() == pytest.approx([0.1] * 4)
    assert of_pancreas["p_value"] == pytest.approx(2 / 2**8)
    assert of_pancreas["count"] == 8


def test_forward_seconds_are_measured_in_the_same_call(tmp_path: Path, networks: list[Path]) -> None:
    first, second = write_run(tmp_path / "0", "unet", 0.0), write_run(tmp_path / "1", "attention", 0.1)

    run(first, second, "--output", tmp_path / "comparison")

    rows = pd.read_csv(tmp_path / "comparison" / "comparison.csv")
    assert (rows.groupby("run")["forward_seconds"].nunique() == 1).all()
    assert rows["forward_seconds"].between(1e-7, 5).all()


def test_runs_on_different_data_are_refused_before_a_network_is_loaded(tmp_path: Path, networks: list[Path]) -> None:
    first, second = write_run(tmp_path / "0", "unet", 0.0), write_run(tmp_path / "1", "unet", 0.0, is_phantom=False)

    with pytest.raises(UserError, match="cannot be compared"):
        run(first, second, "--output", tmp_path / "comparison")

    assert networks == []
    assert not (tmp_path / "comparison").exists()


def test_folds_of_one_model_give_one_table_over_all_cases(
    tmp_path: Path, networks: list[Path], capsys: pytest.CaptureFixture[str]
) -> None:
    folders: list[Path] = []
    for fold, tested in enumerate((CASES[:4], CASES[4:])):
        folder = write_run(tmp_path / str(fold), "unet", 0.0)
        scores = pd.read_csv(folder / "test" / "case_scores.csv")
        write_case_scores(folder / "test" / "case_scores.csv", scores[scores["case_id"].isin(tested)])
        (folder / "config.yaml").write_text(f"data: {{fold: {fold}}}")
        rest = [case_id for case_id in CASES if case_id not in tested]
        (folder / "splits.json").write_text(json.dumps({"train": rest, "val": [], "test": tested}))
        folders.append(folder)

    run(*folders, "--folds", "--output", tmp_path / "comparison")

    assert networks == folders[:1]
    assert "mean ± sd over 8 test cases" in capsys.readouterr().out
    rows = pd.read_csv(tmp_path / "comparison" / "comparison.csv")
    assert set(rows["folds"]) == {2}
    assert set(rows["count"]) == {8}
    assert not (tmp_path / "comparison" / "paired_differences.csv").exists()


def test_one_run_alone_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="needs two or more"):
        run(write_run(tmp_path / "0", "unet", 0.0), "--output", tmp_path / "comparison")
