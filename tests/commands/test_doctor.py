"""`aunet doctor` says what is wrong, changes nothing, and writes what mends it."""

import csv
import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from abdomens import abdomens, words_for, write_abdomens
from scans import ball_and_box, write_msd_task, write_nifti

from aunet.build.data import build_cohort, describe_cohort, fill_in_facts
from aunet.build.inferer import build_inferer
from aunet.build.network import build_network
from aunet.commands.main import main
from aunet.config.draft import compose_draft
from aunet.config.words import quote
from aunet.data.cohort.references import read_reference


def digests(root: Path) -> dict[str, str]:
    return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in root.rglob("*") if path.is_file()}


def report(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "doctor.json").read_text())


def test_a_sound_dataset_is_status_0_and_its_fingerprint_is_shown(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = write_abdomens(tmp_path / "scans", abdomens(3))
    assert main(["doctor", *words_for(root), "--output", str(tmp_path / "out")]) == 0
    shown = capsys.readouterr().out
    assert "Every check was passed" in shown
    assert "3 cases examined, 3 of them without any finding" in shown
    assert "data.spacing=[8.0,8.0,8.0]" in shown
    assert not (tmp_path / "out" / "pictures").exists()
    written = report(tmp_path / "out")
    assert written["counts"] == {"error": 0, "warning": 0, "note": 0}
    assert written["fingerprint"]["spacing"][0] == {"median": 8.0, "lowest": 8.0, "highest": 8.0}
    assert [found["name"] for found in written["fingerprint"]["classes"]] == [
        "spleen",
        "liver",
        "left_kidney",
        "right_kidney",
    ]


def test_json_is_the_content_of_the_file_and_nothing_else(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cases = abdomens(2)
    cases["case_1"].label = cases["case_1"].label[:-2]
    root = write_abdomens(tmp_path / "scans", cases)
    assert main(["doctor", "--json", "--fix", *words_for(root), "--output", str(tmp_path / "out")]) == 2
    printed = json.loads(capsys.readouterr().out)
    assert printed == report(tmp_path / "out")
    assert printed["counts"]["error"] == 1
    assert (tmp_path / "out" / "fixes.json").is_file()


def test_the_dataset_of_test_on_is_examined_beside_the_own_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = write_abdomens(tmp_path / "scans", abdomens(2))
    cases = {name: case for name, case in abdomens(5).items() if name > "case_1"}
    cases["case_2"].label = cases["case_2"].label[:-2]
    other = words_for(write_abdomens(tmp_path / "other", cases))
    words = [*words_for(root), f"data.test_on=[{','.join(map(quote, other))}]", "--output", str(tmp_path / "out")]

    assert main(["doctor", "--fix", *words]) == 2
    shown = capsys.readouterr()
    assert "1 case of data.test_on cannot be used" in shown.err
    assert "Add to the words of data.test_on: data.fixes=" in shown.out
    assert f"or add data.fixes={tmp_path / 'out' / 'test_on' / 'fixes.json'} to the words of data.test_on." in shown.err
    assert "train with the fixes" not in shown.err
    assert (tmp_path / "out" / "test_on" / "pictures" / "case_2.png").is_file()
    own = report(tmp_path / "out")
    assert own["counts"]["error"] == 0
    assert own["test_on"] == report(tmp_path / "out" / "test_on")
    assert own["test_on"]["counts"]["error"] == 1

    fixed = quote(f"data.fixes={tmp_path / 'out' / 'test_on' / 'fixes.json'}")
    words[-3] = f"data.test_on=[{','.join([*map(quote, other), fixed])}]"
    assert main(["doctor", *words]) == 0

    words[-3] = f"data.test_on=[{','.join(map(quote, words_for(root)))}]"
    assert main(["doctor", *words]) == 2
    assert "a scan that was trained on cannot test" in capsys.readouterr().err


def test_without_output_the_findings_lie_in_outputs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = write_abdomens(tmp_path / "scans", abdomens(1))
    monkeypatch.chdir(tmp_path)
    assert main(["doctor", *words_for(root)]) == 0
    assert (tmp_path / "outputs" / "folder" / "doctor" / "doctor.json").is_file()


def test_a_case_that_cannot_be_used_is_status_2_and_files_and_picture_say_why(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cases = abdomens(4)
    cases["case_1"].label = cases["case_1"].label[:-2]
    cases["case_2"].label[:] = 0
    root = write_abdomens(tmp_path / "scans", cases)
    before = digests(root)
    assert main(["doctor", *words_for(root), "--output", str(tmp_path / "out")]) == 2
    shown = capsys.readouterr()
    assert "1 case cannot be used" in shown.err
    assert "differ in geometry" in shown.out.replace("\n", " ")
    written = report(tmp_path / "out")
    assert [(row["severity"], row["case_id"]) for row in written["findings"]] == [
        ("error", "case_1"),
        ("warning", "case_2"),
    ]
    with (tmp_path / "out" / "findings.csv").open() as file:
        assert list(csv.DictReader(file)) == written["findings"]
    assert sorted(path.name for path in (tmp_path / "out" / "pictures").iterdir()) == ["case_1.png", "case_2.png"]
    assert digests(root) == before


def test_cases_that_the_source_refuses_do_not_stop_the_doctor(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = write_abdomens(tmp_path / "scans", abdomens(3))
    (root / "labels" / "case_1.nii.gz").unlink()
    assert main(["doctor", *words_for(root), "--output", str(tmp_path / "out")]) == 2
    assert "2 cases examined" in capsys.readouterr().out
    [finding] = report(tmp_path / "out")["findings"]
    assert finding["finding"] == "not listed"
    assert "case_1 has no label map" in finding["message"]


def test_a_dataset_without_a_usable_case_is_reported_with_every_reason(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = write_abdomens(tmp_path / "scans", abdomens(2))
    (root / "labels" / "case_0.nii.gz").rename(root / "labels" / "other.nii.gz")
    (root / "labels" / "case_1.nii.gz").unlink()
    assert main(["doctor", *words_for(root), "--output", str(tmp_path / "out")]) == 2
    told = capsys.readouterr().err
    assert "case_0 has no label map" in told
    assert "case_1 has no label map" in told


def test_the_fixes_make_the_rest_usable_and_leave_the_files_as_they_are(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cases = abdomens(5)
    for case in cases.values():
        case.label[case.label == 4] = 255
    cases["case_2"].label = cases["case_2"].label[:-2]
    cases["case_4"].image = cases["case_1"].image
    root = write_abdomens(tmp_path / "scans", cases)
    (root / "labels" / "case_3.nii.gz").write_bytes(b"torn")
    before = digests(root)
    words, fixes = words_for(root), tmp_path / "out" / "fixes.json"

    assert main(["doctor", *words, "--fix", "--output", str(tmp_path / "out")]) == 2
    assert f"data.fixes={fixes}" in capsys.readouterr().out
    content = json.loads(fixes.read_text())
    assert sorted(content["leave_out"]) == ["case_2", "case_3", "case_4"]
    assert content["class_of_value"] == {"255": "right_kidney"}
    assert digests(root) == before

    mended = [*words, f"data.fixes={fixes}"]
    assert main(["doctor", *mended, "--output", str(tmp_path / "again")]) == 0
    cohort = build_cohort(compose_draft(mended).data)
    assert [case.case_id for case in cohort.cases] == ["case_0", "case_1"]
    assert set(np.unique(read_reference(cohort.cases[0], cohort).array)) == {0, 1, 2, 3, 4}
    assert digests(root) == before


def test_two_values_without_a_class_are_not_guessed(tmp_path: Path) -> None:
    cases = abdomens(2)
    for case in cases.values():
        case.label[case.label == 4] = 255
    cases["case_1"].label[0, 0, 0] = 9
    root = write_abdomens(tmp_path / "scans", cases)
    assert main(["doctor", *words_for(root), "--fix", "--output", str(tmp_path / "out")]) == 2
    assert json.loads((tmp_path / "out" / "fixes.json").read_text())["class_of_value"] == {}


@pytest.mark.parametrize(
    ("model", "spacing"),
    [
        ("attention", (0.8, 0.8, 5.0)),
        pytest.param("attention", (1.0, 1.0, 1.0), marks=pytest.mark.slow),
        *(
            pytest.param(model, spacing, marks=pytest.mark.slow)
            for model in ("unet", "monai_unet")
            for spacing in ((1.0, 1.0, 1.0), (0.8, 0.8, 5.0))
        ),
    ],
)
def test_proposed_settings_are_accepted(model: str, spacing: tuple[float, float, float], tmp_path: Path) -> None:
    root = write_msd_task(tmp_path / "task", num_cases=0)
    names = ("one", "two")
    for number, name in enumerate(names):
        image, label = ball_and_box((50, 66, 40), number)
        write_nifti(root / "imagesTr" / f"{name}.nii.gz", image, np.diag([*spacing, 1.0]))
        write_nifti(root / "labelsTr" / f"{name}.nii.gz", label, np.diag([*spacing, 1.0]))
    content = json.loads((root / "dataset.json").read_text())
    content["training"] = [{"image": f"imagesTr/{name}.nii.gz", "label": f"labelsTr/{name}.nii.gz"} for name in names]
    (root / "dataset.json").write_text(json.dumps(content))
    words = ["data=msd", f"data.root={root}", f"model={model}"]
    assert main(["doctor", *words, "--output", str(tmp_path / "out")]) == 0

    proposed = list(report(tmp_path / "out")["proposed"])
    draft = compose_draft([*words, *proposed])
    config = fill_in_facts(draft, describe_cohort(draft.data))
    network = build_network(config)
    window = build_inferer(config, network)
    assert list(window.patch_size) == config.data.patch_size
    assert config.data.spacing == list(spacing)
    if model != "monai_unet":
        strides = config.model.network["strides"]
        halvings = np.prod(strides, axis=0)
        assert (np.array(window.patch_size) // halvings >= 4)[halvings > 1].all()
        assert (strides[0] == [2, 2, 1]) == (spacing[2] > 2 * spacing[0])


@pytest.mark.parametrize(
    ("word", "message"),
    [("--fxi", "no such option"), ("modle=unet", "no key or group"), ("data.fixes=no", "data.fixes")],
)
def test_a_mistake_is_status_2(word: str, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = write_abdomens(tmp_path / "scans", abdomens(1))
    assert main(["doctor", *words_for(root), word]) == 2
    assert message in capsys.readouterr().err


@pytest.mark.realdata
def test_the_hippocampi_are_sound_and_their_proposal_is_four_levels(shared_data: Path, tmp_path: Path) -> None:
    words = ["data=msd", f"data.root={shared_data / 'Task04_Hippocampus'}", "data.cases=hippocampus_0*"]
    assert main(["doctor", *words, "--output", str(tmp_path)]) == 0
    written = report(tmp_path)
    assert written["findings"] == []
    assert "data.patch_size=[32,48,32]" in written["proposed"]
    assert "model.network.channels=[16,32,64,128]" in written["proposed"]


@pytest.mark.realdata
def test_real_abdomens_are_hounsfield_and_lie_as_they_should(shared_data: Path, tmp_path: Path) -> None:
    """Three scans of three projects, whose label values mean different things."""
    classes = "{spleen: 1, right_kidney: 2, left_kidney: 3, gallbladder: 4, liver: 6, stomach: 7, pancreas: 10}"
    words = ["data=ct150", f"data.root={shared_data / 'abdomen_ct'}", f"data.classes={classes}", "data.cases=amos*"]
    assert main(["doctor", *words, "data.other_labels=background", "--output", str(tmp_path)]) == 0
    assert report(tmp_path)["findings"] == []
    assert main(["doctor", *words[:-1], "--output", str(tmp_path)]) == 2
    kinds = {(row["case_id"], row["finding"]) for row in report(tmp_path)["findings"] if row["severity"] != "note"}
    assert kinds == {("amos_0001", "unknown label values"), ("totalsegmentator", "unknown label values")}
