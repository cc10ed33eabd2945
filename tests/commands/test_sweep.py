"""The end of a sweep: the command that it proposes, and the comparison of a study, some of whose jobs failed."""

import json
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from compared_runs import case_scores, read_draft, write_run
from torch import nn

from aunet.commands.main import main
from aunet.commands.sweep import compare_options, run_sweep
from aunet.commands.train import without_sweep_settings
from aunet.errors import UserError
from aunet.sweeps.job import Job
from aunet.sweeps.sweep_plan import SweepPlan

ARMS, FOLDS = ("unet", "attention"), 3
ONE = nn.Conv3d(2, 3, 1)


@pytest.mark.parametrize(
    ("jobs", "expected"),
    [
        (["model=unet seed=0 loss=dice", "model=attention seed=1 loss=dice"], ""),
        (["model.network.num_gates=1", "model.network.num_gates=2"], ""),
        (["data.fold=0", "data.fold=1"], " --folds"),
        (["loss=dice", "loss=dice_ce"], " --allow-differences"),
        (["data.fold=0 trainer.max_epochs=3", "data.fold=0 trainer.max_epochs=6"], " --folds --allow-differences"),
    ],
)
def test_runs_that_differ_in_more_than_the_model_are_compared_with_the_option_that_allows_it(
    jobs: list[str], expected: str
) -> None:
    assert compare_options([Job(tuple(words.split()), Path(words), {}) for words in jobs]) == expected


@pytest.fixture
def study_without_a_fold(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the folder of a study of two arms and three folds, of which the second arm's last fold has failed."""
    random, jobs = np.random.default_rng(0), list[Job]()
    scores = case_scores(list(random.uniform(0.5, 0.8, 24)))
    cases = list(dict.fromkeys(scores["case_id"]))
    for number, (arm, fold) in enumerate(product(ARMS, range(FOLDS))):
        folder, tested = tmp_path / f"fold={fold}_model={arm}", cases[8 * fold : 8 * fold + 8]
        splits = {"train": sorted(set(cases) - set(tested)), "val": [], "test": tested, "patients": {}}
        settings = {"data.fold": fold, "model.name": arm}
        own = scores[scores["case_id"].isin(tested)]
        own = own.assign(dice=own["dice"] + 0.1 * (arm == "attention"))
        folder.mkdir()
        write_run(folder, own, settings, splits, model=arm, status="failed" if number == 5 else "finished")
        jobs.append(Job((f"model={arm}", f"data.fold={fold}"), folder, {}))
    plan = SweepPlan(tmp_path, tuple(jobs), "basic", {}, "study")
    monkeypatch.setattr("aunet.commands.sweep.plan_sweep", lambda overrides: plan)
    monkeypatch.setattr("aunet.commands.sweep.write_plan", lambda plan: None)
    monkeypatch.setattr("aunet.commands.sweep.run_jobs_here", lambda jobs, at_once: None)
    monkeypatch.setattr("aunet.build.network.load_network", lambda folder, trusted_modules: ONE)
    monkeypatch.setattr("aunet.config.draft.load_draft", read_draft)
    return tmp_path


def test_a_study_with_a_failed_fold_compares_the_folds_that_both_arms_have(
    study_without_a_fold: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(UserError, match=r"1 of 6 jobs did not finish: fold=2_model=attention"):
        run_sweep([], None)

    comparison = study_without_a_fold / "comparison"
    (row,) = (
        pd.read_csv(comparison / "effects.csv")
        .query("metric == 'dice' and form == 'common cases' and `class` == 'pancreas'")
        .to_dict("records")
    )
    assert row["mean"] == pytest.approx(0.1)
    assert (row["patients"], row["undefined"], row["folds"]) == (16, 0, 2)
    assert (row["baseline_trainings"], row["other_trainings"]) == (2, 2)
    shown = (comparison / "comparison.md").read_text("utf-8")
    assert "attention: fold=2_model=attention did not finish." in shown
    assert "With folds 0, 1 no fold tests 8 cases" in shown
    assert "attention: fold=2_model=attention did not finish." in (comparison / "summary.txt").read_text("utf-8")
    assert "24 patients" in capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.parametrize("failed", [{"model=attention"}, {"model=unet"}, {"data.fold=0", "data.fold=1"}])
def test_a_study_compares_whatever_finished(study_without_a_fold: Path, failed: set[str]) -> None:
    for folder in study_without_a_fold.glob("fold=*"):
        if failed & {f"data.{folder.name[:6]}", folder.name.partition("_")[2]}:
            record = json.loads((folder / "run.json").read_text("utf-8"))
            (folder / "run.json").write_text(json.dumps({**record, "status": "failed"}), encoding="utf-8")

    with pytest.raises(UserError, match=r"did not finish"):
        run_sweep([], None)

    assert "did not finish" in (study_without_a_fold / "comparison" / "summary.txt").read_text("utf-8")


@pytest.mark.parametrize(
    ("of_sweep", "of_one_run"),
    [
        ("seed=1 hydra.job.name=search hydra.sweep.dir=runs/search hydra/launcher=basic", "seed=1"),
        (
            "hydra.job.name=a hydra.run.dir=runs/${hydra.job.name}",
            "hydra.job.name=a hydra.run.dir=runs/${hydra.job.name}",
        ),
    ],
)
def test_words_of_the_best_trial_are_those_that_a_single_run_takes(of_sweep: str, of_one_run: str) -> None:
    words = without_sweep_settings(of_sweep.split())
    assert words == of_one_run.split()
    assert main(["train", *words, "--cfg"]) == 0
