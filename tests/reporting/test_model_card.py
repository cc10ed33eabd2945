"""The model card, the checklist and the summary in words of a made-up run."""

import json
from pathlib import Path

import pandas as pd
import pytest
from viewer_runs import write_viewed_run

from aunet.reporting.model_card import BY_AUTHORS, NOT_RECORDED, RunAnswers
from aunet.reporting.summary_words import summarise_in_words
from aunet.runs.run_folder import RunFolder


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    return write_viewed_run(tmp_path, with_scans=False)


def write_facts(run: RunFolder, **facts: object) -> RunFolder:
    run.record.write_text(json.dumps(run.read_record() | facts))
    return RunFolder(run.path)


def test_answers_that_a_folder_lacks_are_not_recorded_never_an_error(run: RunFolder) -> None:
    answers = dict(RunAnswers(run).checklist())
    assert answers["Assignment to partitions"] == NOT_RECORDED
    assert answers["Preprocessing"] == NOT_RECORDED
    assert answers["Reference standard and annotators"] == BY_AUTHORS


def test_phantom_results_are_called_so_and_use_is_research(run: RunFolder) -> None:
    card = dict(RunAnswers(run).model_card())
    assert "PHANTOM" in card["Trained on"]
    assert "synthetic" in card["Limits"]
    assert card["Intended use"].startswith("Research")


def test_test_cases_are_called_held_out_only_without_caveats(run: RunFolder) -> None:
    assert "held out from training" in dict(RunAnswers(run).model_card())["Evaluated on"]
    card = dict(RunAnswers(write_facts(run, caveats=["init was trained on test cases."])).model_card())
    assert "held out" not in card["Evaluated on"]
    assert "init was trained on test cases." in card["Limits"]


def test_checklist_is_filled_from_the_folder(run: RunFolder) -> None:
    run = write_facts(run, commit="abc123", patch_size=[48, 48, 32], durations={"train": 61.4}, steps=8, epochs=2)
    run.splits.write_text(json.dumps({"train": ["a", "b"], "val": ["c"], "test": ["d"], "patients": {"a": "p"}}))
    run.config.write_text("data: {spacing: [2.0, 2.0, 3.0], window: [-160.0, 240.0], split: {seed: 5}, fold: 1}\n")
    answers = dict(RunAnswers(run).checklist())
    assert (
        answers["Preprocessing"]
        == "resampled to 2 × 2 × 3 mm, clipped to -160 to 240 HU, patches of 48 × 48 × 32 voxels"
    )
    assert answers["Assignment to partitions"].startswith(
        "2 training, 1 validation, 1 test cases (fold 1, split seed 5)"
    )
    assert answers["Level at which partitions are disjoint"] == "patient"
    assert answers["Code"] == "commit abc123"
    assert answers["Hardware"].endswith("training 61 s")
    assert "steps 8, epochs 2" in answers["Training"]


def test_words_state_mean_range_best_epoch_and_contrast(run: RunFolder) -> None:
    """Kidney Dice: k + 1 of 3 slices right is 2 (k + 1) / (k + 4), so 0.5, 0.8 and 1; the spleen's is 1."""
    run = write_facts(run, best_epoch=1)
    pd.DataFrame({"epoch": [0, 1], "val/dice": [0.2, 0.7]}).to_csv(run.metrics, index=False)
    rows = [{"epoch": epoch, "level": 2, "auc_inside": area} for epoch, area in ((0, 0.5), (1, 0.8), (1, 0.9))]
    pd.DataFrame(rows).to_csv(run.attention.statistics, index=False)
    words = " ".join(summarise_in_words(run))
    assert "left <kidney> 0.767 ± 0.252, spleen 1.000 ± 0.000" in words
    assert "ranges from 0.750 (case_0) to 1.000 (case_2)" in words
    assert "best validation Dice, 0.700, is that of epoch 1 (2 of 2). The last one was the best" in words
    assert "0.85 at level 2" in words
    assert "one training" in words


def test_words_of_a_run_that_has_just_begun_are_none(tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text("{}")
    assert summarise_in_words(RunFolder(tmp_path)) == []
