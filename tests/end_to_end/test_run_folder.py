"""A run's folder, and that a second run leaves the same."""

import csv
import json
from pathlib import Path

import pandas as pd
import pytest
import torch
import yaml

from aunet.commands.main import main


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_run_json_records_what_ran_and_how_it_scored(finished_run: Path) -> None:
    record = json.loads((finished_run / "run.json").read_text())
    assert record["status"] == "finished"
    assert (record["data"], record["model"], record["is_phantom"], record["repeatable"]) == (
        "msd",
        "attention",
        False,
        True,
    )
    assert record["class_names"] == ["background", "ball", "box"]
    assert record["scores"]["ball"]["dice"]["count"] + record["scores"]["ball"]["dice"]["undefined"] == 2
    assert set(record["durations"]) == {"prepare", "train", "test"}
    assert record["flips"] == []


@pytest.mark.usefixtures("without_pictures")
def test_flips_that_exchange_classes_are_logged_and_recorded(
    small_settings: list[str], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    classes, folder = "data.classes={left_kidney: ball, right_kidney: box}", tmp_path / "run"
    settings = ["model=unet", "logger=csv", *small_settings, "trainer.max_epochs=1", classes]
    with caplog.at_level("INFO", logger="aunet"):
        assert main(["train", *settings, f"hydra.run.dir={folder}"]) == 0
    assert "Flips: right-left (exchanging left_kidney and right_kidney). Off: back-front" in caplog.text
    record = json.loads((folder / "run.json").read_text())
    assert record["flips"] == [{"axis": 0, "exchanged": [["left_kidney", "right_kidney"]]}]
    assert yaml.safe_load((folder / "config.yaml").read_text())["data"]["augmentation"]["flip_axes"] == "auto"


@pytest.mark.parametrize("setting", ["flip_axes=[3]", "flip_axes=all", "rotation_plane=sagittal"])
def test_a_mistake_in_the_geometry_is_found_before_the_training(
    setting: str, small_settings: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [*small_settings, f"data.augmentation.{setting}", f"hydra.run.dir={tmp_path / 'run'}"]
    assert main(["train", *words]) == 2
    assert f"data.augmentation.{setting}: it must be" in capsys.readouterr().err
    assert not (tmp_path / "run" / "run.json").exists()


def test_metrics_have_a_row_an_epoch_with_every_class(finished_run: Path) -> None:
    rows = rows_of(finished_run / "metrics.csv")
    assert [row["epoch"] for row in rows] == ["0", "1", "2"]
    assert set(rows[0]) == {"epoch", "train/loss", "val/dice", "val/dice/ball", "val/dice/box", "learning_rate"}
    assert float(rows[-1]["train/loss"]) < float(rows[0]["train/loss"])
    assert float(rows[-1]["learning_rate"]) < float(rows[1]["learning_rate"])


def test_every_case_is_in_one_part_and_every_test_case_is_predicted_and_pictured(finished_run: Path) -> None:
    splits = json.loads((finished_run / "splits.json").read_text())
    assert sorted(splits["train"] + splits["val"] + splits["test"]) == [f"ball_{i:03d}" for i in range(8)]
    scores = pd.read_csv(finished_run / "test" / "case_scores.csv")
    assert sorted(set(scores["case_id"])) == sorted(splits["test"])
    for case_id in splits["test"]:
        assert (finished_run / "test" / "predictions" / f"{case_id}.nii.gz").is_file()
        assert (finished_run / "test" / "pictures" / f"{case_id}.png").is_file()


def test_attention_of_every_epoch_is_on_disk_and_in_the_tracker(finished_run: Path) -> None:
    case_id = json.loads((finished_run / "splits.json").read_text())["val"][0]
    rows = rows_of(finished_run / "attention" / "statistics.csv")
    assert {(row["epoch"], row["level"], row["map"]) for row in rows if row["case_id"] == case_id} == {
        (str(epoch), str(level), str(number)) for epoch in range(3) for level in (1, 2) for number in (0, 1)
    }
    pictures = sorted((finished_run / "attention" / "pictures" / case_id).iterdir())
    assert [path.name for path in pictures] == [f"epoch_{epoch:04d}.png" for epoch in range(3)]
    assert (finished_run / "attention" / f"film_{case_id}.png").is_file()
    for level in (1, 2):
        media = f"wandb/offline-run-*/files/media/images/attention/level_{level}/{case_id}_*.png"
        assert len(list(finished_run.glob(media))) == 3


def test_the_contrast_of_every_map_is_on_disk_and_in_the_tracker(finished_run: Path) -> None:
    rows = rows_of(finished_run / "attention" / "statistics.csv")
    assert all(0 <= float(row["auc_inside"]) <= 1 and float(row["ratio_inside"]) > 0 for row in rows)
    [history] = finished_run.glob("wandb/offline-run-*/*.wandb")
    for name in ("level_1/gate_1/auc", "level_2/gate_2/ratio", "level_1/gate_2/auc/ball", "level_2/gate_1/ratio/box"):
        assert f"attention/{name}".encode() in history.read_bytes()


def test_scores_and_predictions_are_in_the_tracker(finished_run: Path) -> None:
    for case_id in json.loads((finished_run / "splits.json").read_text())["test"]:
        assert len(list(finished_run.glob(f"wandb/offline-run-*/files/media/images/test/{case_id}_*.png"))) == 1
    for name in ("scores", "case_scores"):
        assert len(list(finished_run.glob(f"wandb/offline-run-*/files/media/table/test/{name}_*.json"))) == 1


def test_checkpoints_hold_tensors_and_plain_values_only(finished_run: Path) -> None:
    for name in ("last.ckpt", "previous.ckpt", "best.ckpt"):
        assert torch.load(finished_run / "checkpoints" / name, weights_only=True)["state_dict"]


def test_the_configuration_is_plain_yaml_without_open_references(finished_run: Path) -> None:
    text = (finished_run / "config.yaml").read_text()
    assert "${" not in text
    assert yaml.safe_load(text)["dataset"]["class_names"] == ["background", "ball", "box"]


def test_the_report_names_the_data_and_holds_its_pictures(finished_run: Path) -> None:
    page = (finished_run / "report.html").read_text()
    assert "Balls" in page
    assert page.count("data:image/") >= 3
    assert "http://" not in page.replace("http://www.w3.org", "")


@pytest.mark.usefixtures("without_pictures")
def test_an_equal_run_gives_equal_losses_and_scores(
    finished_run: Path, attention_settings: list[str], tmp_path: Path
) -> None:
    assert main(["train", *attention_settings, "logger=csv", "data.num_workers=1", f"hydra.run.dir={tmp_path}/b"]) == 0
    for name in ("metrics.csv", "test/case_scores.csv", "attention/statistics.csv", "splits.json"):
        assert (tmp_path / "b" / name).read_bytes() == (finished_run / name).read_bytes()


@pytest.mark.usefixtures("without_pictures")
def test_another_seed_gives_other_losses(finished_run: Path, attention_settings: list[str], tmp_path: Path) -> None:
    words = [*attention_settings, "logger=csv", "seed=1", "trainer.max_epochs=1", "attention.cases=0"]
    assert main(["train", *words, f"hydra.run.dir={tmp_path}/b"]) == 0
    losses = [rows_of(run / "metrics.csv")[0]["train/loss"] for run in (tmp_path / "b", finished_run)]
    assert losses[0] != losses[1]


def test_a_folder_that_holds_a_run_is_not_overwritten(
    finished_run: Path, attention_settings: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    before = (finished_run / "run.json").read_bytes()
    assert main(["train", *attention_settings, f"hydra.run.dir={finished_run}"]) == 2
    assert "holds a run already" in capsys.readouterr().err
    assert (finished_run / "run.json").read_bytes() == before
