"""nnU-Net's own planning, preprocessing and trainer for ``peers.py dice``, its schedule stretched over a time.

nnU-Net trains 1,000 epochs of 250 iterations: days on a processor. Here an epoch is shorter and the polynomial schedule
of the learning rate follows the share of the time that is used, so it ends as nnU-Net's does. Everything else is
nnU-Net's: plans of 3d_fullres, network, loss, augmentation, optimizer.
"""

import json
import os
import shutil
import time
from pathlib import Path
from typing import Any

import torch
from nnunetv2.experiment_planning.plan_and_preprocess_api import (
    extract_fingerprints,
    plan_experiments,
    preprocess,
)
from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer
from peer_arguments import parse

_DATASET, _NUMBER = "Dataset004_Hippocampus", 4
_CONFIGURATION = "3d_fullres"
_EPOCHS = 25  # about; each ends with a validation, a figure and a checkpoint, as ever
# Of nnU-Net's 250 training and 50 validation iterations an epoch, fewer: the scores are made elsewhere.
_STEPS_PER_VALIDATION = 25
_TIMED_STEPS = 3


class TimeIsUpError(Exception):
    """The time of the training is used."""


class TimedTrainer(nnUNetTrainer):
    """nnU-Net's trainer, ending after ``seconds`` of training; weights are kept every ``interval`` seconds."""

    def start(self, seconds: float, interval: float, snapshots: Path) -> None:
        """Train."""
        self._seconds, self._interval, self._snapshots = seconds, interval, snapshots
        self._last_snapshot = self._start = time.monotonic()
        try:
            self.run_training()
        except TimeIsUpError:
            self.on_train_end()

    def on_train_start(self) -> None:
        """Take the first steps, and choose the length of an epoch by their time; the clock begins with them."""
        super().on_train_start()
        self._last_snapshot = self._start = time.monotonic()
        self.train_step(next(self.dataloader_train))  # warms up
        begin = time.monotonic()
        for _ in range(_TIMED_STEPS):
            self.train_step(next(self.dataloader_train))
        step = (time.monotonic() - begin) / _TIMED_STEPS
        self.num_iterations_per_epoch = max(1, round(self._seconds / _EPOCHS / step))
        self.num_val_iterations_per_epoch = max(1, self.num_iterations_per_epoch // _STEPS_PER_VALIDATION)

    def on_train_epoch_start(self) -> None:
        """Set the learning rate by the share of the time that is used."""
        super().on_train_epoch_start()
        share = min(1.0, (time.monotonic() - self._start) / self._seconds)
        self.lr_scheduler.step(share * self.lr_scheduler.max_steps)

    def train_step(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Take a step, and end the training if the time is up."""
        result = super().train_step(batch)
        now = time.monotonic()
        if now - self._start >= self._seconds:
            self._keep()
            raise TimeIsUpError
        if now - self._last_snapshot >= self._interval:
            self._last_snapshot = now
            self._keep()
        return result

    def _keep(self) -> None:
        number = round(1000 * (time.monotonic() - self._start))
        torch.save(self.network.state_dict(), self._snapshots / f"{number:09}.pt")


def train(data: Path, split: Path, folder: Path, minutes: float, interval: float) -> None:
    """Convert, plan, preprocess, and train on the training cases of ``split``."""
    parts = json.loads(split.read_text())
    _convert(data, [*parts["train"], *parts["val"]], folder / "raw" / _DATASET)
    extract_fingerprints([_NUMBER], num_processes=_processes())
    plans = plan_experiments([_NUMBER])
    preprocess([_NUMBER], plans, (_CONFIGURATION,), (_processes(),))
    fold = {"train": parts["train"], "val": parts["val"]}
    (folder / "preprocessed" / _DATASET / "splits_final.json").write_text(json.dumps([fold]))
    _trainer(folder).start(60 * minutes, interval, folder / "snapshots")


def predict(data: Path, split: Path, folder: Path, snapshots: list[Path], output: Path) -> None:
    """Write a label map for each case kept apart and each of the weights, without mirroring."""
    case_ids = json.loads(split.read_text())["test"]
    trainer = _trainer(folder)
    trainer.initialize()
    trainer.set_deep_supervision_enabled(False)
    predictor = nnUNetPredictor(use_mirroring=False, device=trainer.device, allow_tqdm=False)
    for snapshot in snapshots:
        weights = torch.load(snapshot, map_location="cpu", weights_only=True)
        predictor.manual_initialization(
            trainer.network,
            trainer.plans_manager,
            trainer.configuration_manager,
            [weights],
            trainer.dataset_json,
            type(trainer).__name__,
            None,
        )
        target = output / snapshot.name
        target.mkdir(parents=True, exist_ok=True)
        scans = [[str(data / "imagesTr" / f"{case_id}.nii.gz")] for case_id in case_ids]
        predictor.predict_from_files_sequential(scans, [str(target / case_id) for case_id in case_ids])


def _trainer(folder: Path) -> TimedTrainer:
    """Return the trainer of the planned dataset below ``folder``."""
    base = folder / "preprocessed" / _DATASET
    plans = {**json.loads((base / "nnUNetPlans.json").read_text()), "continue_training": False}
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return TimedTrainer(plans, _CONFIGURATION, 0, json.loads((base / "dataset.json").read_text()), device)


def _convert(data: Path, case_ids: list[str], target: Path) -> None:
    """Write the cases as a raw dataset of nnU-Net."""
    for part in ("imagesTr", "labelsTr"):
        (target / part).mkdir(parents=True)
    for case_id in case_ids:
        shutil.copyfile(data / "imagesTr" / f"{case_id}.nii.gz", target / "imagesTr" / f"{case_id}_0000.nii.gz")
        shutil.copyfile(data / "labelsTr" / f"{case_id}.nii.gz", target / "labelsTr" / f"{case_id}.nii.gz")
    source = json.loads((data / "dataset.json").read_text())
    content = {
        "channel_names": source["modality"],
        "labels": {name: int(value) for value, name in source["labels"].items()},
        "numTraining": len(case_ids),
        "file_ending": ".nii.gz",
    }
    (target / "dataset.json").write_text(json.dumps(content))


def _processes() -> int:
    return os.cpu_count() or 1


def main() -> None:
    """Train or predict."""
    arguments = parse(__doc__)
    folder: Path = arguments.folder
    for name in ("raw", "preprocessed", "results"):
        os.environ[f"nnUNet_{name}"] = str(folder / name)  # nnU-Net reads them when it uses them
    if arguments.task == "predict":
        predict(arguments.data, arguments.split, folder, arguments.snapshots, arguments.output)
        return
    train(arguments.data, arguments.split, folder, arguments.minutes, arguments.interval)


if __name__ == "__main__":
    main()
