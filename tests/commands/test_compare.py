"""`aunet compare` from run folders to tables, the networks made small and given in place of trained ones."""

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from compared_runs import case_scores, read_draft, write_run
from torch import nn

from aunet.commands.compare import add_arguments, compare
from aunet.errors import UserError
from aunet.evaluation import forward_time
from aunet.pipeline.second_process import Work

ATTENTION = {"model.name": "attention", "model.network.norm": "group"}
LOSS = {"loss.name": "dice", "loss.function._target_": "monai.losses.DiceLoss"}


@pytest.fixture(autouse=True)
def networks(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Run folders whose network was asked for: each is one convolution of two channels."""
    loaded: list[Path] = []

    def load_network(folder: Path, trusted_modules: Sequence[str]) -> nn.Module:
        loaded.append(folder)
        return nn.Conv3d(2, 3, 1)

    monkeypatch.setattr("aunet.build.network.load_network", load_network)
    monkeypatch.setattr("aunet.config.draft.load_draft", read_draft)
    return loaded


def unet_and_other(
    folder: Path, settings: dict[str, Any] | None = None, gain: float = 0.1, **changes: Any
) -> tuple[Path, Path]:
    """Return a U-Net and a run whose Dice is larger by ``gain``; of two slices each of eight patients."""
    dices, patients = np.random.default_rng(0).uniform(0.5, 0.8, 16), [f"patient {number // 2}" for number in range(16)]
    first = write_run(folder / "0", case_scores(list(dices), patients))
    other = {"model": "attention", **changes}
    second = write_run(folder / "1", case_scores(list(dices + gain), patients), settings or ATTENTION, **other)
    return first, second


def run(*words: str | Path, figures: bool = False) -> None:
    words = words if figures else (*words, "--no-figures")
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    compare(parser.parse_args([str(word) for word in words]))


def test_two_runs_give_tables_figures_and_a_summary(
    tmp_path: Path, networks: list[Path], capsys: pytest.CaptureFixture[str]
) -> None:
    first, second = unet_and_other(tmp_path)

    run(first, second, "--output", tmp_path / "comparison", figures=True)

    assert networks == [first, second]
    written = {path.name for path in (tmp_path / "comparison").iterdir()}
    assert written == {
        *("comparison.md", "comparison.tex", "comparison.csv", "effects.csv", "ranks.csv", "scores.csv"),
        *("paired_differences.csv", "summary.txt", "figures", "report.html"),
    }
    page = (tmp_path / "comparison" / "report.html").read_text("utf-8")
    assert page.count("<img") == 3
    assert "attention minus unet in pancreas Dice is" in page
    assert "http" not in page.replace("http://www.w3.org", "").replace("http-equiv", "")
    printed = capsys.readouterr().out
    assert "ct150 (PHANTOM): mean ± sd over 8 patients (16 test cases)" in printed
    assert "Paired differences: attention minus unet" in printed
    assert "Settings that differ" not in printed
    assert "Paired differences: attention minus unet" in (tmp_path / "comparison" / "comparison.md").read_text("utf-8")


def test_one_core_writes_the_same_figures_as_two(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runs = unet_and_other(tmp_path)
    for cores in (1, 2):
        monkeypatch.setattr("aunet.pipeline.second_process.count_cores", lambda cores=cores: cores)
        run(*runs, "--output", tmp_path / f"comparison_{cores}", figures=True)

    first, second = (
        {file.name: file.read_bytes() for file in (tmp_path / f"comparison_{cores}" / "figures").iterdir()}
        for cores in (1, 2)
    )
    assert first == second
    assert len(first) == 6


def test_figures_appear_only_after_the_networks_could_be_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = unet_and_other(tmp_path)
    monkeypatch.setattr("aunet.build.network.load_network", lambda *_: 1 / 0)

    with pytest.raises(ZeroDivisionError):
        run(*runs, "--output", tmp_path / "comparison", figures=True)

    assert not (tmp_path / "comparison").exists()


def test_forward_passes_are_timed_while_the_second_process_waits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    events: list[str] = []
    wait, rounds = Work.wait, forward_time.forward_rounds
    monkeypatch.setattr(Work, "wait", lambda work: (wait(work), events.append(f"ready: {work.is_ready}"))[0])
    monkeypatch.setattr(forward_time, "forward_rounds", lambda *_, **__: events.append("timed") or rounds(*_, **__))
    monkeypatch.setattr("aunet.pipeline.second_process.count_cores", lambda: 2)

    run(*unet_and_other(tmp_path), "--output", tmp_path / "comparison", figures=True)

    assert events[:2] == ["ready: True", "timed"]


def test_paired_differences_are_of_the_patients_of_both_runs(tmp_path: Path) -> None:
    first, second = unet_and_other(tmp_path)

    run(first, second, "--output", tmp_path / "comparison")

    differences = pd.read_csv(tmp_path / "comparison" / "paired_differences.csv").set_index(["metric", "form", "class"])
    of_pancreas = differences.loc[("dice", "common cases", "pancreas")]
    assert of_pancreas[["mean", "median", "low", "high"]].tolist() == pytest.approx([0.1] * 4)
    assert of_pancreas["p_value"] == of_pancreas["wilcoxon_p_value"] == pytest.approx(2 / 2**8)
    assert (of_pancreas["patients"], of_pancreas["cases"]) == (8, 16)


def test_forward_seconds_are_measured_in_the_same_call(tmp_path: Path) -> None:
    run(*unet_and_other(tmp_path), "--output", tmp_path / "comparison")

    rows = pd.read_csv(tmp_path / "comparison" / "comparison.csv")
    assert (rows.groupby("run")["forward_seconds"].nunique() == 1).all()
    assert rows["forward_seconds"].between(1e-7, 5).all()


def test_runs_on_different_data_are_refused_before_a_network_is_loaded(tmp_path: Path, networks: list[Path]) -> None:
    first, second = unet_and_other(tmp_path, is_phantom=False)

    with pytest.raises(UserError, match="cannot be compared"):
        run(first, second, "--output", tmp_path / "comparison")

    assert networks == []
    assert not (tmp_path / "comparison").exists()


def test_runs_that_differ_in_more_than_the_model_are_refused_unless_allowed_and_then_marked(
    tmp_path: Path, networks: list[Path], capsys: pytest.CaptureFixture[str]
) -> None:
    first, second = unet_and_other(tmp_path, ATTENTION | LOSS)

    with pytest.raises(UserError, match=r"loss \(loss\.name.*\): dice_ce against dice.*--allow-differences"):
        run(first, second, "--output", tmp_path / "comparison")
    assert networks == []

    run(first, second, "--allow-differences", "--output", tmp_path / "comparison")

    printed = capsys.readouterr().out
    assert printed.count("NOT ONLY THE MODEL DIFFERS: loss") == 3
    assert "Settings that differ besides the model" in printed


def test_two_losses_with_one_model_are_named_after_the_losses(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first, second = unet_and_other(tmp_path, LOSS, model="unet")

    run(first, second, "--allow-differences", "--output", tmp_path / "comparison")

    assert "Paired differences: loss=dice minus loss=dice_ce" in capsys.readouterr().out
    assert set(pd.read_csv(tmp_path / "comparison" / "comparison.csv")["run"]) == {"loss=dice_ce", "loss=dice"}


def test_folds_of_one_model_give_one_table_over_all_cases(
    tmp_path: Path, networks: list[Path], capsys: pytest.CaptureFixture[str]
) -> None:
    scores = case_scores([0.1 * number for number in range(8)])
    cases, folders = list(dict.fromkeys(scores["case_id"])), list[Path]()
    for fold, tested in enumerate((cases[:4], cases[4:])):
        splits = {"train": sorted(set(cases) - set(tested)), "val": [], "test": tested, "patients": {}}
        own = scores[scores["case_id"].isin(tested)]
        folders.append(write_run(tmp_path / str(fold), own, {"data.fold": fold}, splits))

    run(*folders, "--folds", "--output", tmp_path / "comparison")

    assert networks == folders[:1]
    assert "mean ± sd over 8 patients" in capsys.readouterr().out
    rows = pd.read_csv(tmp_path / "comparison" / "comparison.csv")
    assert set(rows["folds"]) == {2}
    assert set(rows["patients"]) == {8}
    assert not (tmp_path / "comparison" / "paired_differences.csv").exists()


def test_one_run_alone_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="needs two or more"):
        run(write_run(tmp_path / "0", case_scores([0.5])), "--output", tmp_path / "comparison")


def study(folder: Path, seeds: int = 3) -> list[Path]:
    """Write a U-Net and a run whose Dice is larger by 0.1, of several seeds each."""
    random, folders = np.random.default_rng(0), list[Path]()
    dices = random.uniform(0.5, 0.8, 8)
    for name, settings, gain in (("unet", {}, 0.0), ("attention", ATTENTION, 0.1)):
        for seed in range(seeds):
            scores = case_scores(list(dices + gain + random.normal(0, 0.01, 8)))
            words: dict[str, Any] = {**settings, "seed": seed}
            folders.append(write_run(folder / f"{name}_{seed}", scores, words, model=name, seed=seed))
    return folders


def test_several_seeds_become_one_column_per_model_and_a_verdict_on_the_models(
    tmp_path: Path, networks: list[Path], capsys: pytest.CaptureFixture[str]
) -> None:
    folders = study(tmp_path)

    run(*folders, "--margin", "0.05", "--output", tmp_path / "comparison")

    assert networks == [folders[0], folders[3]]
    printed = capsys.readouterr().out
    assert "speaks of these trainings" not in printed
    summary = (tmp_path / "comparison" / "summary.txt").read_text("utf-8").splitlines()
    assert summary[0].startswith("PHANTOM data")
    assert summary[1].startswith("attention minus unet in pancreas Dice is +0.1")
    assert "3 seeds, 8 patients: higher (corrected p" in summary[1]
    effects = pd.read_csv(tmp_path / "comparison" / "effects.csv").set_index(["metric", "form", "class"])
    of_pancreas = effects.loc[("dice", "common cases", "pancreas")]
    assert (of_pancreas["baseline_trainings"], of_pancreas["other_trainings"], of_pancreas["margin"]) == (3, 3, 0.05)
    assert len(pd.read_csv(tmp_path / "comparison" / "comparison.csv")["run"].unique()) == 6
    assert not (tmp_path / "comparison" / "paired_differences.csv").exists()
    assert r"\toprule" in (tmp_path / "comparison" / "comparison.tex").read_text("utf-8")


def test_a_seed_given_twice_is_refused(tmp_path: Path) -> None:
    folders = study(tmp_path)
    again = write_run(tmp_path / "again", case_scores([0.5] * 8), {"seed": 1}, seed=1)

    with pytest.raises(UserError, match="both are seed 1 of the same settings"):
        run(*folders, again, "--output", tmp_path / "comparison")


@pytest.mark.usefixtures("without_pictures")
def test_one_test_patient_is_shown_without_interval(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("aunet.pipeline.second_process.count_cores", lambda: 1)  # another would draw
    first = write_run(tmp_path / "0", case_scores([0.5]))
    second = write_run(tmp_path / "1", case_scores([0.6]), ATTENTION, model="attention")

    run(first, second, "--output", tmp_path / "comparison", figures=True)

    assert "1 patient: too few patients for a test" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda text: text.replace("0.6", "six"), "not a number"),
        (lambda text: text[: len(text) // 2], "lacks"),
        (lambda text: "", "not a table of case scores"),
        (lambda text: text.replace("case_3", "other"), "only .* was tested on"),
        (lambda text: text.replace("spleen", "liver"), "class"),
    ],
)
def test_damaged_or_foreign_scores_are_refused_with_the_file(
    tmp_path: Path, damage: Callable[[str], str], message: str
) -> None:
    folders = study(tmp_path)
    table = folders[4] / "test" / "case_scores.csv"
    table.write_text(damage(table.read_text("utf-8")), encoding="utf-8")

    with pytest.raises(UserError, match=message):
        run(*folders, "--output", tmp_path / "comparison")
    assert not (tmp_path / "comparison").exists()


@pytest.mark.parametrize("margin", ["0", "-1", "inf", "wide"])
def test_a_margin_that_is_not_above_0_is_refused(tmp_path: Path, margin: str) -> None:
    with pytest.raises(SystemExit) as refused:
        run(tmp_path, tmp_path, "--margin", margin, "--output", tmp_path)
    assert refused.value.code == 2


@pytest.mark.parametrize(
    ("seeds", "patients"),
    [
        ((1, 3), 1),
        pytest.param((1, 3), 8, marks=pytest.mark.slow),
        pytest.param((3, 3), 1, marks=pytest.mark.slow),
    ],
)
def test_uneven_seeds_and_a_single_patient_are_compared_too(
    tmp_path: Path, seeds: tuple[int, int], patients: int
) -> None:
    random, runs = np.random.default_rng(0), list[Path]()
    for model, count in zip(("unet", "attention"), seeds, strict=True):
        for seed in range(count):
            settings = {"seed": seed, **(ATTENTION if model == "attention" else {})}
            scores = case_scores(random.uniform(0.5, 0.8, patients).tolist())
            runs.append(write_run(tmp_path / f"{model} {seed}", scores, settings, model=model, seed=seed))

    run(*runs, "--output", tmp_path / "comparison", figures=True)

    assert "unknown" in (tmp_path / "comparison" / "comparison.md").read_text(encoding="utf-8")


def test_the_primary_metrics_are_declared_and_an_unknown_one_is_refused(tmp_path: Path) -> None:
    folders = study(tmp_path)
    with pytest.raises(UserError, match=r"--primary jaccard: not a metric of these tables. Choose from dice"):
        run(*folders, "--primary", "jaccard", "--output", tmp_path / "comparison")

    run(*folders, "--primary", "dice", "nsd", "dice", "--output", tmp_path / "comparison")

    rows = pd.read_csv(tmp_path / "comparison" / "effects.csv")
    assert set(rows.loc[rows["family"] == "primary", "metric"]) == {"dice", "nsd"}
    summary = (tmp_path / "comparison" / "summary.txt").read_text("utf-8")
    assert summary.count("in pancreas Dice") == 1
    assert "in pancreas NSD" in summary
    assert "primary rows (Dice, NSD)" in (tmp_path / "comparison" / "comparison.md").read_text("utf-8")


def test_models_that_lack_different_folds_are_compared_on_the_fold_that_both_have(tmp_path: Path) -> None:
    folders: list[Path] = []
    names = [f"fold {fold} case {number}" for fold in range(3) for number in range(7)]
    for model, folds in (("unet", (0, 1)), ("attention", (1, 2))):
        for fold in folds:
            scores = case_scores([0.7 + fold / 100 + number / 1000 for number in range(7)])
            tested = [f"fold {fold} {case_id.replace('_', ' ')}" for case_id in scores["case_id"]]
            parts = {"train": sorted(set(names) - set(tested)), "val": [], "test": sorted(set(tested)), "patients": {}}
            settings = {"model.name": model, "data.fold": fold}
            scores = scores.assign(case_id=tested, patient=tested)
            folders.append(write_run(tmp_path / f"{model}{fold}", scores, settings, parts, model=model))

    run(*folders, "--folds", "--allow-missing-folds", "--allow-differences", "--output", tmp_path / "comparison")

    comparison = tmp_path / "comparison"
    assert "1 seed each, 7 patients" in (comparison / "summary.txt").read_text("utf-8")
    assert "mean ± sd over 7 patients" in (comparison / "comparison.md").read_text("utf-8")
    for name in ("comparison.csv", "paired_differences.csv", "effects.csv"):
        rows = pd.read_csv(comparison / name)
        assert set(rows["patients"]) == {7}
        assert set(rows["undefined"]) == {0}
