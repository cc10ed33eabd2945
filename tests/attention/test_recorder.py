"""The recorder, with a stand-in for the network whose coefficients are known."""

import csv
import logging
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from pytorch_lightning import LightningModule, Trainer
from torch import Tensor, nn
from torch.utils.data import DataLoader

from aunet.attention.recorder import AttentionRecorder, ValidationImage, patch_on_organ
from aunet.classes import IGNORED, Labels
from aunet.inference.coefficients import LevelCoefficients

LABELS = Labels(("background", "pancreas", "spleen"))


def known(level: int, maps: Tensor, cell_size: float, offset: float = 0.0) -> dict[int, LevelCoefficients]:
    return {level: LevelCoefficients(level, maps.numpy(), (cell_size,) * 3, (offset,) * 3)}


class Gated(nn.Module):
    is_softmax_gate = False


class SoftmaxGated(nn.Module):
    is_softmax_gate = True
    num_gates = None


class TwoGates(nn.Module):
    is_softmax_gate = False
    num_gates = 2


class StandIn(LightningModule):
    """Lightning's smallest module that has a network and validates."""

    def __init__(self) -> None:
        super().__init__()
        self.network = nn.Linear(1, 1)

    def training_step(self, batch: Tensor, batch_idx: int) -> Tensor:
        return self.network(batch).sum()

    def validation_step(self, batch: Tensor, batch_idx: int) -> None:
        pass

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.network.parameters(), lr=0.0)


def made_up_case(case_id: str = "case_1") -> ValidationImage:
    label = np.zeros((16, 16, 8), dtype=np.uint8)
    label[4:8, 4:8, 2:4] = 1
    label[8:12, 10:14, 2:4] = 2
    return ValidationImage(case_id, torch.from_numpy(label[None]).float(), label, (1.0, 1.0, 2.0))


def halved(network: nn.Module, image: Tensor) -> dict[int, LevelCoefficients]:
    """One gate at level 2 whose coefficients are half the image, whose values are those of the label."""
    maps = nn.functional.avg_pool3d(image, 2) / 2
    return known(2, maps, 2.0)


def offset_by(value: float) -> Any:
    """As ``halved``, plus ``value`` everywhere."""

    def predict(network: nn.Module, image: Tensor) -> dict[int, LevelCoefficients]:
        level = halved(network, image)[2]
        return {2: replace(level, values=level.values + np.float32(value))}

    return predict


def recorder_in(folder: Path, **changes: Any) -> AttentionRecorder:
    settings: dict[str, Any] = {
        "cases": [made_up_case()],
        "predict": halved,
        "labels": LABELS,
        "patch_size": (8, 8, 8),
    }
    settings |= changes
    predict = settings.pop("predict")
    return AttentionRecorder(folder, predict=lambda network, case: predict(network, case.image), **settings)


def statistics_of(folder: Path) -> list[dict[str, str]]:
    with (folder / "statistics.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def files_of(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_statistics_recover_the_known_coefficients_inside_and_outside(tmp_path: Path) -> None:
    recorder_in(tmp_path).record(Gated(), 3)
    (row,) = statistics_of(tmp_path)
    assert (row["epoch"], row["case_id"], row["level"], row["map"]) == ("3", "case_1", "2", "0")
    assert float(row["mean_inside_pancreas"]) == 0.5
    assert float(row["mean_inside_spleen"]) == 1.0
    assert float(row["mean_outside"]) == 0.0
    assert float(row["mean"]) == pytest.approx((32 * 0.5 + 32 * 1.0) / (16 * 16 * 8), rel=1e-5)


def test_statistics_hold_the_contrast_of_inside_against_outside(tmp_path: Path) -> None:
    """Half the image, whose values are those of the label: 0 outside, 0.5 in the pancreas and 1 in the spleen."""
    recorder_in(tmp_path, predict=offset_by(0.25)).record(Gated(), 3)
    (row,) = statistics_of(tmp_path)
    assert [row[f"auc_inside{name}"] for name in ("", "_pancreas", "_spleen")] == ["1", "1", "1"]
    assert [row[f"ratio_inside{name}"] for name in ("", "_pancreas", "_spleen")] == ["4", "3", "5"]


def test_the_contrast_of_a_recorded_epoch_is_the_mean_over_its_cases(tmp_path: Path) -> None:
    case = made_up_case("case_2")
    without_pancreas = np.where(case.label == 1, 0, case.label)
    other = ValidationImage(case.case_id, case.image, without_pancreas, case.spacing)
    recorder = recorder_in(tmp_path, cases=[made_up_case(), other], predict=offset_by(0.25))

    recorder.record(Gated(), 0)

    # In the second case the 4 cells over the unlabelled pancreas are outside: their 0.75 lies below the spleen's 1.25.
    outside = (0.25 * (8 * 8 * 4 - 8) + 0.75 * 4) / (8 * 8 * 4 - 4)
    assert recorder.contrasts == pytest.approx(
        {
            "attention/level_2/gate_1/auc": 1,
            "attention/level_2/gate_1/auc/pancreas": 1,
            "attention/level_2/gate_1/auc/spleen": 1,
            "attention/level_2/gate_1/ratio": (4 + 1.25 / outside) / 2,
            "attention/level_2/gate_1/ratio/pancreas": 3,
            "attention/level_2/gate_1/ratio/spleen": (5 + 1.25 / outside) / 2,
        }
    )


def test_a_run_recorded_before_contrasts_were_continues_with_empty_columns(tmp_path: Path) -> None:
    old = "epoch,case_id,level,map,mean,entropy,mean_inside_pancreas,mean_inside_spleen,mean_outside"
    (tmp_path / "statistics.csv").write_text(f"{old}\n0,case_1,2,0,0.1,0.9,0.5,1,0\n")
    recorder_in(tmp_path).record(Gated(), 1)
    first, second = statistics_of(tmp_path)
    assert (first["epoch"], first["mean_inside_pancreas"], first["auc_inside"]) == ("0", "0.5", "")
    assert (second["epoch"], second["auc_inside"]) == ("1", "1")


def test_offset_of_the_grid_enters_the_statistics(tmp_path: Path) -> None:
    def shifted(network: nn.Module, image: Tensor) -> dict[int, LevelCoefficients]:
        padded = nn.functional.pad(image, (1, 1, 1, 1, 1, 1))
        maps = nn.functional.avg_pool3d(padded, 2) / 2
        return known(2, maps, 2.0, offset=-1.0)

    recorder_in(tmp_path, predict=shifted).record(Gated(), 0)
    (row,) = statistics_of(tmp_path)
    # Cells begin at odd voxels: along each axis an organ of length n fills n / 2 - 1 cells and two half ones, so that
    # the sum of squared shares over the sum of shares is (n / 2 - 1 + 2 / 4) / (n / 2).
    assert float(row["mean_inside_spleen"]) == pytest.approx((1.5 / 2) * (1.5 / 2) * (0.5 / 1), rel=1e-5)


def test_absent_organ_is_undefined_in_the_statistics(tmp_path: Path) -> None:
    case = made_up_case()
    without = ValidationImage(case.case_id, case.image, np.where(case.label == 1, 0, case.label), case.spacing)
    recorder_in(tmp_path, cases=[without]).record(Gated(), 0)
    assert statistics_of(tmp_path)[0]["mean_inside_pancreas"] == ""


@pytest.mark.usefixtures("without_pictures")
def test_budget_bounds_pictures_and_volumes_but_not_statistics(tmp_path: Path) -> None:
    recorder = recorder_in(tmp_path, max_epochs_kept=4)
    for epoch in range(13):
        recorder.record(Gated(), epoch)
    for kind, suffix in (("pictures", "png"), ("volumes", "npz")):
        names = sorted(path.name for path in (tmp_path / kind / "case_1").iterdir())
        assert names == [f"epoch_{epoch:04d}.{suffix}" for epoch in (0, 4, 8, 12)]
    assert len(statistics_of(tmp_path)) == 13


def test_the_tracker_is_shown_every_level_of_every_epoch_and_the_film(tmp_path: Path) -> None:
    shown: list[tuple[str, int | None]] = []

    def show(key: str, path: Path, epoch: int | None = None) -> None:
        with Image.open(path) as picture:
            picture.verify()
        shown.append((key, epoch))

    def two_levels(network: nn.Module, image: Tensor) -> dict[int, LevelCoefficients]:
        maps = {level: nn.functional.avg_pool3d(image, 2**level) / 2 for level in (1, 2)}
        return known(1, maps[1], 2.0) | known(2, maps[2], 4.0)

    recorder = recorder_in(tmp_path, predict=two_levels, max_epochs_kept=2, tracker=SimpleNamespace(picture=show))
    for epoch in range(4):
        recorder.record(Gated(), epoch)
    recorder.write_films(Gated())
    levels = [(f"attention/level_{level}/case_1", epoch) for epoch in range(4) for level in (1, 2)]
    assert shown == [*levels, ("attention/film/case_1", None)]


@pytest.mark.usefixtures("without_pictures")
def test_repeated_epochs_of_a_resumed_run_replace_the_old_ones(tmp_path: Path) -> None:
    first = recorder_in(tmp_path)
    for epoch in range(4):
        first.record(Gated(), epoch)
    resumed = recorder_in(tmp_path)
    resumed.record(Gated(), 2)
    assert [row["epoch"] for row in statistics_of(tmp_path)] == ["0", "1", "2"]
    assert sorted(path.stem for path in tmp_path.glob("volumes/case_1/*")) == ["epoch_0000", "epoch_0001", "epoch_0002"]


def test_interrupted_and_resumed_recording_equals_an_uninterrupted_one_byte_by_byte(tmp_path: Path) -> None:
    whole = recorder_in(tmp_path / "whole", max_epochs_kept=2)
    for epoch in range(4):
        whole.record(Gated(), epoch)
    whole.write_films(Gated())
    for epochs in (range(3), range(2, 4)):
        parts = recorder_in(tmp_path / "parts", max_epochs_kept=2)
        for epoch in epochs:
            parts.record(Gated(), epoch)
    parts.write_films(Gated())
    assert files_of(tmp_path / "parts") == files_of(tmp_path / "whole")


def test_network_without_gates_is_reported_once_and_leaves_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    recorder = recorder_in(tmp_path, predict=lambda network, image: {})
    with caplog.at_level(logging.INFO, logger="aunet"):
        recorder.record(nn.Identity(), 0)
        recorder.record(nn.Identity(), 1)
        recorder.write_films(nn.Identity())
    assert len(caplog.records) == 1
    assert list(tmp_path.rglob("*")) == []


def test_gates_with_a_map_for_each_channel_are_recorded_as_their_means(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def six_maps(network: nn.Module, image: Tensor) -> dict[int, LevelCoefficients]:
        (half,) = nn.functional.avg_pool3d(image, 2) / 2
        maps = torch.stack([half, half * 0.5, half * 0, half * 0.1, half * 0.2, half * 0.3])
        return known(2, maps, 2.0)

    recorder = recorder_in(tmp_path, predict=six_maps)
    with caplog.at_level(logging.INFO, logger="aunet"):
        recorder.record(TwoGates(), 0)
        recorder.record(TwoGates(), 1)
    recorded = [(row["map"], float(row["mean_inside_spleen"])) for row in statistics_of(tmp_path)]
    assert recorded == [("0", 0.5), ("1", pytest.approx(0.2)), ("0", 0.5), ("1", pytest.approx(0.2))]
    assert [record.message for record in caplog.records if "mean" in record.message] == [
        "These gates have a map for each channel: attention is recorded as their mean."
    ]


def test_softmax_gates_see_one_patch_on_the_organ(tmp_path: Path) -> None:
    seen: list[Tensor] = []

    def predict(network: nn.Module, image: Tensor) -> dict[int, LevelCoefficients]:
        seen.append(image)
        return halved(network, image)

    recorder_in(tmp_path, predict=predict).record(SoftmaxGated(), 0)
    # The foreground's box is 4:12, 4:14, 2:4: its middle (8, 9, 3), the patch 4:12, 5:13, 0:8.
    torch.testing.assert_close(seen[0], made_up_case().image[:, 4:12, 5:13, 0:8])


@pytest.mark.parametrize("around", [0, IGNORED])
def test_patch_on_an_organ_at_the_edge_stays_within_the_volume(around: int) -> None:
    case = made_up_case()
    label = np.full(case.label.shape, around, np.uint8)
    label[15, 0, 7] = 1
    patch = patch_on_organ(ValidationImage("edge", case.image, label, case.spacing), (8, 8, 32))
    assert patch.label.shape == (8, 8, 8)
    assert patch.label[7, 0, 7] == 1
    assert np.argwhere(patch.as_scan().label).tolist() == [[7, 0, 7]]


def test_check_before_training_is_not_an_epoch(tmp_path: Path) -> None:
    trainer: Any = SimpleNamespace(sanity_checking=True, is_global_zero=True, current_epoch=0)
    recorder_in(tmp_path).on_validation_end(trainer, StandIn())
    assert list(tmp_path.rglob("*")) == []


# Lightning advises on loader workers, and asks torch for trees in a way that torch has deprecated.
@pytest.mark.filterwarnings("ignore:.*does not have many workers", "ignore:.*LeafSpec:FutureWarning")
def test_lightning_records_each_epoch_and_leaves_a_film(tmp_path: Path) -> None:
    data = DataLoader(torch.ones(2, 1))
    trainer = Trainer(
        max_epochs=2,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        callbacks=[recorder_in(tmp_path)],
    )
    trainer.fit(StandIn(), data, data)
    assert [row["epoch"] for row in statistics_of(tmp_path)] == ["0", "1"]
    film = tmp_path / "film_case_1.png"
    film.unlink()
    trainer.fit(StandIn(), data, data)  # as after a stop between the last epoch and the film: no epoch is left
    assert [row["epoch"] for row in statistics_of(tmp_path)] == ["0", "1"]
    assert film.is_file()
