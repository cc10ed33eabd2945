"""YAML files of one's own, in a folder that the command names, from a checkout and from a wheel alike."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from aunet.build.data import compose_tested
from aunet.commands.main import main
from aunet.config.composition import compose_config, split_sweep
from aunet.config.draft import compose_draft
from aunet.config.trust import SOURCE_ALONE
from aunet.errors import UserError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Write a dataset, a network and an experiment of one's own."""
    own = tmp_path / "my, settings é"
    for group in ("data", "model", "experiment", "trainer"):
        (own / group).mkdir(parents=True)
    (own / "data" / "mine.yaml").write_text("defaults: [msd]\nname: mine\nroot: /scans/mine\nmax_epochs: 7\n")
    (own / "model" / "small.yaml").write_text("defaults: [unet]\nname: small\nnetwork: {channels: [2, 4]}\n")
    (own / "experiment" / "both.yaml").write_text(
        "# @package _global_\ndefaults: [{override /data: mine}, {override /model: small}]\nseed: 3\n"
    )
    (own / "trainer" / "smoke.yaml").write_text("defaults: [default]\nname: smoke\nmax_epochs: 5\n")
    return own


@pytest.mark.parametrize(
    ("word", "key", "value"),
    [
        ("data=mine", "data.name", "mine"),
        ("model=small", "model.name", "small"),
        ("experiment=both", "seed", "3"),
        ("trainer=smoke", "trainer.max_epochs", "5"),  # in place of the file of aunet
    ],
)
@pytest.mark.parametrize(
    "form",
    [
        "--config-dir",
        *(pytest.param(form, marks=pytest.mark.slow) for form in ("--config-dir=", "hydra.searchpath=", "file://")),
    ],
)
def test_an_own_yaml_file_is_found_by_its_name(
    word: str, key: str, value: str, form: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    named = {
        "--config-dir": ["--config-dir", str(folder)],
        "--config-dir=": [f"--config-dir={folder}"],
        "hydra.searchpath=": [f"hydra.searchpath=['{folder}']"],
        "file://": [f"hydra.searchpath=['file://{folder}']"],
    }[form]
    assert main(["train", "--cfg", word, *named]) == 0
    printed = capsys.readouterr().out
    assert f"{key.rpartition('.')[2]}: {value}\n" in printed


def test_a_relative_folder_and_several_folders_are_searched(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "second" / "data").mkdir(parents=True)
    (tmp_path / "second" / "data" / "other.yaml").write_text("defaults: [mine]\nname: other\n")
    words = ["train", "--cfg", "--config-dir", folder.name, "--config-dir", "second", "data=other"]
    assert main(words) == 0
    assert "name: other\n" in (printed := capsys.readouterr().out)
    assert "root: /scans/mine\n" in printed


def test_the_jobs_of_a_sweep_search_the_folder_too(folder: Path) -> None:
    jobs = split_sweep(["data=mine", "model=small,unet", f"hydra.searchpath=['{folder}']"])
    assert [compose_draft(job).model.name for job in jobs] == ["small", "unet"]


@pytest.mark.parametrize("path", ["nowhere", "data/mine.yaml"])
def test_a_folder_that_is_none_is_refused(path: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "--cfg", "--config-dir", str(folder / path)]) == 2
    assert f"{folder / path}: no such folder" in capsys.readouterr().err


def test_a_misspelt_own_option_is_refused_with_the_nearest(folder: Path) -> None:
    with pytest.raises(UserError, match="Did you mean mine"):
        compose_config(["data=mime", f"hydra.searchpath=['{folder}']"])


def test_the_folder_of_one_command_is_forgotten_by_the_next(folder: Path) -> None:
    compose_config(["data=mine", f"hydra.searchpath=['{folder}']"])
    with pytest.raises(UserError, match="has no option mine"):
        compose_config(["data=mine"])


@pytest.mark.slow
def test_an_installed_package_finds_the_files_as_a_checkout_does(
    folder: Path, repository: Path, tmp_path: Path
) -> None:
    """A wheel holds ``conf/`` inside the package; the same is made by copying."""
    site = tmp_path / "site"
    shutil.copytree(repository / "aunet", site / "aunet", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(repository / "conf", site / "aunet" / "conf")
    done = subprocess.run(
        [sys.executable, "-m", "aunet.commands.main", "train", "--cfg", "--config-dir", str(folder), "data=mine"],
        cwd=site,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert "name: mine\n" in done.stdout


@pytest.mark.parametrize(
    "word",
    [
        "hydra.sweep.subdir=here",
        "hydra.job.chdir=true",
        "hydra.mode=MULTIRUN",
        "hydra.output_subdir=null",
        "hydra.verbose=true",
        "hydra.job.config.override_dirname.kv_sep=-",
        "hydra/job_logging=disabled",
        "hydra/sweeper=optuna",
        "+hydra.callbacks={}",
    ],
)
def test_a_key_of_hydra_without_effect_is_refused_with_those_that_have_one(word: str) -> None:
    with pytest.raises(UserError, match=r"aunet does not use hydra[./].*aunet obeys hydra\.run\.dir"):
        compose_config([word])


@pytest.mark.parametrize("text", ["mode: MULTIRUN", "job: {chdir: true}", "sweep: {subdir: here}", "verbose: true"])
def test_a_key_of_hydra_without_effect_is_refused_in_a_yaml_file_too(text: str, folder: Path) -> None:
    file = folder / "experiment" / "own.yaml"
    file.write_text(f"# @package _global_\nhydra: {{{text}}}\n")
    with pytest.raises(UserError, match="aunet does not use hydra"):
        compose_config(["experiment=own", f"hydra.searchpath=['{folder}']"])


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["train", "-m", "seed=0,1", "hydra.run.dir=here"], "a sweep has a folder for each run"),
        (["search", "seed=0,1", "hydra.run.dir=here"], "a search has a folder for each run"),
        (["train", "-m", "resume=runs/a,runs/b"], "a sweep makes new runs, on which resume= has no effect"),
        (["train", "-m", "extend=runs/a", "trainer.max_epochs=3,4"], "a sweep makes new runs, on which extend= has"),
        (["search", "seed=0,1", "resume=runs/a"], "a search makes new runs, on which resume= has no effect"),
        (["train", "hydra.sweep.dir=here"], "a setting of sweeps"),
        (["train", "hydra.job.name=mine"], "a setting of sweeps"),
        (
            ["train", "hydra.run.dir=runs/${modell.name}", "data.root=/nowhere"],
            "hydra.run.dir: Interpolation key 'modell",
        ),
        (["train", "hydra.run.dir=null"], "hydra.run.dir must be text"),
        (["train", "hydra/launcher=submitit_slurm"], "a setting of sweeps"),
    ],
)
def test_a_place_or_run_that_the_command_would_not_use_is_refused(
    words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words) == 2
    assert message in capsys.readouterr().err


def test_the_dataset_that_is_tested_may_be_an_own_file_too(folder: Path) -> None:
    words = ["data=folder", "data.root=/scans", "data.test_on=['data=mine']", f"hydra.searchpath=['{folder}']"]
    data = compose_draft(words, SOURCE_ALONE).data
    assert data.test_on is not None
    assert compose_tested(data.test_on).name == "mine"
    assert compose_tested([*data.test_on, "data.root=/scans/other"]).root == "/scans/other"
    without = compose_draft(words[:-1], SOURCE_ALONE).data
    with pytest.raises(UserError, match="data has no option mine"):
        compose_tested(without.test_on or [])


def test_a_dataset_that_is_tested_may_have_a_source_of_ones_own_if_that_is_trusted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "own_scans.py").write_text("def cohort(root):\n    raise AssertionError\n")
    monkeypatch.syspath_prepend(tmp_path)
    words = ["data=folder", "data.root=/scans", "data.source={_target_: own_scans.cohort, root: /x}"]
    assert compose_tested(words, ["own_scans"]).source["_target_"] == "own_scans.cohort"
    with pytest.raises(UserError, match="--trust its_name"):
        compose_tested(words)


@pytest.mark.parametrize("text", ["true", "3", "2.5"])
def test_a_file_of_one_word_is_refused_in_one_sentence(
    text: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "data" / "mine.yaml").write_text(text)
    assert main(["train", "--cfg", "data=mine", "--config-dir", str(folder)]) == 2
    assert "one of its YAML files holds no keys" in capsys.readouterr().err


def test_a_list_in_place_of_a_part_of_the_model_is_refused_in_one_sentence(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "model" / "small.yaml").write_text("defaults: [unet]\nname: small\nlabel: [1]\n")
    assert main(["train", "--cfg", "model=small", "--config-dir", str(folder)]) == 2
    assert "model.label" in capsys.readouterr().err
