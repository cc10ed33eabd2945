"""`aunet probe` from the words of the command line to the files on disk."""

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import nibabel
import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from aunet.build.data import build_cohort, fill_in_facts
from aunet.build.network import build_network
from aunet.commands.main import main
from aunet.config.draft import compose_draft, write_run_config
from aunet.pipeline import probe_picture
from aunet.pipeline.gate_probe import GateProbing, ProbeOptions
from aunet.pipeline.probed_run import read_probed_run
from aunet.reporting.tables import PHANTOM_NOTE
from tests.scans import write_msd_task

SPLITS = {"train": ["ball_000"], "val": ["ball_001"], "test": ["ball_002", "ball_003"], "patients": {}}


def write_run(folder: Path, data: Path, *words: str, seed: int = 0) -> Path:
    """Write a run as a training leaves it, with the weights it began with."""
    size = ["data.patch_size=[16,16,16]", "data.spacing=[2,2,2]", f"seed={seed}"]
    draft = compose_draft(["data=msd", f"data.root={data}", *size, *words])
    config = fill_in_facts(draft, build_cohort(draft.data))
    torch.manual_seed(seed)
    network = build_network(config)
    (folder / "checkpoints").mkdir(parents=True)
    write_run_config(config, folder)
    (folder / "splits.json").write_text(json.dumps(SPLITS), encoding="utf-8")
    weights = {f"network.{name}": value for name, value in network.state_dict().items()}
    torch.save({"state_dict": weights}, folder / "checkpoints" / "best.ckpt")
    return folder


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_msd_task(tmp_path_factory.mktemp("data") / "task", num_cases=4)


@pytest.fixture(scope="module")
def attention(tmp_path_factory: pytest.TempPathFactory, data: Path) -> Path:
    folder = tmp_path_factory.mktemp("runs")
    return write_run(folder / "attention", data, "model=attention", "model.network.channels=[2,4,8]")


@pytest.fixture(scope="module")
def unet(tmp_path_factory: pytest.TempPathFactory, data: Path) -> Path:
    return write_run(tmp_path_factory.mktemp("runs") / "unet", data, "model=unet", "model.network.channels=[2,4,8]")


@pytest.fixture(scope="module")
def probed(tmp_path_factory: pytest.TempPathFactory, attention: Path, unet: Path) -> Path:
    folder = tmp_path_factory.mktemp("probe") / "new" / "folder"
    words = ["--pictures", "1", "--against", str(attention), "--unet", str(unet), "--device", "cpu"]
    assert main(["probe", str(attention), "--output", str(folder), *words]) == 0
    return folder


def probe(*words: str | Path) -> int:
    return main(["probe", *map(str, words)])


def test_every_target_and_intervention_is_scored_for_every_case(probed: Path) -> None:
    scores = pd.read_csv(probed / "case_scores.csv")
    kinds = set(zip(scores["target"], scores["intervention"], strict=True))
    names = ("open", "mean", "shuffled", "other case", "inverted", "blurred")
    targets = ("level 2", "level 2 gate 1", "level 2 gate 2")
    assert kinds == {("none", "none"), ("level 2", "own, stitched")} | {(a, b) for a in targets for b in names}
    assert len(scores) == len(kinds) * 2 * 2  # cases, classes
    assert list(scores.columns[:3]) == ["target", "intervention", "case_id"]
    changes = pd.read_csv(probed / "changes.csv")
    assert set(changes["metric"]) >= {"dice", "assd_mm"}


def test_the_scores_without_intervention_are_those_of_the_prediction(
    probed: Path, attention: Path, data: Path, tmp_path: Path
) -> None:
    images = [data / "imagesTr" / f"{name}.nii.gz" for name in SPLITS["test"]]
    assert main(["predict", str(attention), *map(str, images), "--output", str(tmp_path), "--device", "cpu"]) == 0
    scores = pd.read_csv(probed / "case_scores.csv")
    for name in SPLITS["test"]:
        label = np.asarray(nibabel.load(data / "labelsTr" / f"{name}.nii.gz").dataobj) == 1
        found = np.asarray(nibabel.load(tmp_path / f"{name}.nii.gz").dataobj) == 1
        row = scores[(scores["intervention"] == "none") & (scores["case_id"] == name) & (scores["class"] == "ball")]
        assert row["dice"].item() == pytest.approx(2 * (label & found).sum() / (label.sum() + found.sum()))


def test_the_maps_of_a_run_and_itself_do_not_differ(probed: Path) -> None:
    rows = pd.read_csv(probed / "similarity.csv")
    itself = rows[rows["changed"] == "run attention"]
    assert itself["rank_correlation"].tolist() == pytest.approx([1] * 4)
    assert {"weights of level 2 drawn anew"} <= set(rows["changed"])


def test_coefficients_and_grad_cam_of_both_networks_are_measured_alike(probed: Path) -> None:
    rows = pd.read_csv(probed / "localisation.csv")
    kinds = set(zip(rows["model"], rows["map"], rows["layer"], strict=True))
    assert kinds == {
        ("attention", "coefficients", "level 2"),
        ("attention", "Grad-CAM", "level 2"),
        ("attention", "Grad-CAM", "level 3"),
        ("unet", "Grad-CAM", "level 2"),
        ("unet", "Grad-CAM", "level 3"),
    }


def test_the_report_needs_no_other_file(probed: Path) -> None:
    with Image.open(probed / "pictures" / "ball_002.png") as picture:
        assert picture.width > 500
    page = (probed / "probe.html").read_text(encoding="utf-8")
    findings = json.loads((probed / "probe.json").read_text(encoding="utf-8"))
    assert [verdict["target"] for verdict in findings["verdicts"]] == ["level 2"]
    assert all(table["title"] in page for table in findings["tables"])
    assert all(table["groups"] for table in findings["tables"])
    # A sorted row keeps the name of its gates, which only the first row of a group shows.
    assert page.count('<td class="repeated">level 2 gate 1</td>') >= 5
    assert "http" not in page.replace("http-equiv", "")
    assert page.count("data:image/webp") == 1


def test_a_probe_repeats_bit_for_bit(probed: Path, attention: Path, tmp_path: Path) -> None:
    words = ["--interventions", "shuffled", "--targets", "level", "--pictures", "0", "--device", "cpu"]
    assert probe(attention, "--output", tmp_path, *words) == 0
    again, before = (pd.read_csv(folder / "case_scores.csv") for folder in (tmp_path, probed))
    rows = before[(before["target"] == "level 2") & (before["intervention"] == "shuffled")]
    found = again[again["intervention"] == "shuffled"]
    assert found["dice"].tolist() == rows["dice"].tolist()


@pytest.mark.parametrize(
    ("kind", "target"), [("all", "all levels"), pytest.param("gate", "level 2 gate 1", marks=pytest.mark.slow)]
)
def test_one_kind_of_target_is_enough_with_a_single_gated_level(
    attention: Path, tmp_path: Path, kind: str, target: str
) -> None:
    words = ["--interventions", "mean", "--targets", kind, "--max-cases", "1", "--device", "cpu"]
    assert probe(attention, "--output", tmp_path, *words) == 0
    assert target in set(pd.read_csv(tmp_path / "case_scores.csv")["target"])


def test_grad_cam_alone_needs_no_gates(unet: Path, tmp_path: Path) -> None:
    assert probe(unet, "--output", tmp_path, "--grad-cam-only", "--cases", "validation", "--device", "cpu") == 0
    assert set(pd.read_csv(tmp_path / "localisation.csv")["case_id"]) == {"ball_001"}
    assert not (tmp_path / "changes.csv").exists()


def refused(capsys: pytest.CaptureFixture[str], *words: str | Path) -> str:
    assert probe(*words) == 2
    error = capsys.readouterr().err
    assert "Traceback" not in error
    assert error.count("aunet: ") == 1
    return error


@pytest.mark.slow
def test_notes_name_caveats_omitted_steps_and_cases_that_the_other_run_was_trained_on(
    data: Path, unet: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    step = "inference.postprocessing=[{_target_: torch.nn.Identity}]"
    run = write_run(tmp_path / "run", data, "model=attention", "model.network.channels=[2,4,8]", step)
    (run / "run.json").write_text(json.dumps({"caveats": ["The budget ended early."]}), encoding="utf-8")
    other = shutil.copytree(unet, tmp_path / "other")
    (other / "splits.json").write_text(json.dumps(SPLITS | {"train": ["ball_002"], "test": ["ball_000"]}))
    words = ["--interventions", "mean", "--targets", "level", "--pictures", "0", "--device", "cpu"]
    assert probe(run, "--output", tmp_path / "out", "--unet", other, *words) == 0

    notes = json.loads((tmp_path / "out" / "probe.json").read_text(encoding="utf-8"))["notes"]
    page, printed = (tmp_path / "out" / "probe.html").read_text(encoding="utf-8"), capsys.readouterr().out
    assert notes[0] == "The budget ended early."
    assert notes[1].startswith("inference.postprocessing is left out")
    assert notes[2].startswith("--unet other was trained or validated on 1 of the 2 probed cases (ball_002)")
    assert len(notes) == 3
    assert all(note.split("'")[0] in page and f"Note: {note}" in printed for note in notes)


@pytest.mark.slow
def test_probes_of_phantoms_say_so_in_a_note_and_in_the_pictures(
    attention: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    titles: list[str] = []
    monkeypatch.setattr(probe_picture, "intervention_picture", lambda *_, title, **__: titles.append(title))
    real = read_probed_run(attention, "test", 1, "cpu")
    options = ProbeOptions(("mean",), ("level",), 1.0, 0, None, None, pictures=1, is_grad_cam_alone=False)
    for run in (real, replace(real, cohort=replace(real.cohort, is_phantom=True))):
        notes = GateProbing(run, options, tmp_path).run(lambda: None).notes
        assert (PHANTOM_NOTE in notes) == run.cohort.is_phantom
    assert ["(phantom)" in title for title in titles] == [False, True]


def test_a_network_without_gates_is_refused(unet: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "model=unet has no gates" in refused(capsys, unet, "--output", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_run_without_checkpoint_is_refused(
    attention: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("config.yaml", "splits.json"):
        (tmp_path / name).write_bytes((attention / name).read_bytes())
    assert "no checkpoint" in refused(capsys, tmp_path, "--output", tmp_path / "out")


def test_a_folder_without_a_run_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "not a run folder" in refused(capsys, tmp_path, "--output", tmp_path / "out")


@pytest.mark.parametrize("place", ["file", "file/below"])
def test_an_output_folder_that_is_a_file_is_refused(
    attention: Path, tmp_path: Path, place: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    assert "is a file" in refused(capsys, attention, "--output", tmp_path / place)


@pytest.mark.parametrize(
    "words",
    [
        ["--blur", "0"],
        ["--margin", "-1"],
        ["--margin", "nan"],
        ["--max-cases", "0"],
        ["--seed", "-1"],
        ["--device", "tpu"],
    ],
)
def test_a_value_out_of_range_is_refused(
    attention: Path, tmp_path: Path, words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert words[0] in refused(capsys, attention, "--output", tmp_path / "out", *words)


@pytest.mark.parametrize(
    "vanished",
    [
        "imagesTr/ball_002.nii.gz",
        *(pytest.param(place, marks=pytest.mark.slow) for place in ("task", "labelsTr/ball_003.nii.gz")),
    ],
)
def test_cases_whose_data_have_vanished_are_refused(
    tmp_path: Path, vanished: str, capsys: pytest.CaptureFixture[str]
) -> None:
    data = write_msd_task(tmp_path / "task", num_cases=4)
    run = write_run(tmp_path / "run", data, "model=attention", "model.network.channels=[2,4,8]")
    place = data if vanished == "task" else data / vanished
    place.rename(tmp_path / "elsewhere")
    error = refused(capsys, run, "--output", tmp_path / "out")
    assert place.name.removesuffix(".nii.gz") in error


def test_a_second_run_on_other_classes_is_refused(
    attention: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = write_run(
        tmp_path / "other",
        data,
        "model=unet",
        "model.network.channels=[2,4,8]",
        "data.classes={Ball: 1}",
        "data.other_labels=background",
    )
    error = refused(capsys, attention, "--output", tmp_path / "out", "--unet", other)
    assert "--unet" in error
    assert "classes" in error


def test_help_answers_without_torch(repository: Path) -> None:
    program = (
        "import sys\nfrom aunet.commands.main import main\nassert main(['probe', '--help']) == 0\n"
        "assert not {'torch', 'numpy', 'pandas', 'hydra'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=repository, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert "--interventions" in done.stdout
