"""Check that a network can memorise one batch; failure points to a mistake in the loss, labels or learning rate."""

from collections.abc import Iterable
from typing import Any

import torch
from pytorch_lightning import Callback, LightningModule, Trainer
from torch.utils.data import DataLoader

from aunet.classes import IGNORED, Labels
from aunet.data.patches.sampling import Batch
from aunet.metrics.overlap import dice
from aunet.training.segmentation_task import SegmentationTask

# A batch counts as memorised once the Dice of every class exceeds this.
ENOUGH = 0.95


class OverfitCheck(Callback):
    """Callback that scores the training batch after each epoch, and ends the training once every Dice exceeds 0.95.

    Args:
        batch: image (B, C, *spatial), label (B, 1, *spatial), as used in training.
        labels: the classes; those absent from the batch are left out.

    Attributes:
        rows: epoch, step, loss and the Dice of each class, per epoch.
    """

    def __init__(self, batch: Batch, labels: Labels) -> None:
        self._batch = batch
        self._labels = labels
        self._present = [(k, name) for k, name in labels.foreground if bool(labels.mask(batch["label"], k).any())]
        self.rows: list[dict[str, float]] = []

    @property
    def is_reached(self) -> bool:
        """Return whether every class in the batch has a Dice above 0.95; false for a batch without any class."""
        scores = [self.rows[-1][f"dice/{name}"] for _, name in self._present] if self.rows else []
        return bool(scores) and min(scores) > ENOUGH

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Score the batch in evaluation mode, as validation does."""
        assert isinstance(pl_module, SegmentationTask)
        logits = [pl_module.predict_case(image).logits for image in self._batch["image"]]
        predictions = [pl_module.target.label_map(of_image) for of_image in logits]
        label = self._batch["label"][:, 0]
        prediction = torch.stack(predictions).masked_fill(label == IGNORED, 0)
        masks = {name: (self._labels.mask(prediction, k), self._labels.mask(label, k)) for k, name in self._present}
        scores = {f"dice/{name}": dice(*(mask.numpy() for mask in both)) for name, both in masks.items()}
        loss = float(trainer.callback_metrics["train/loss_step"])
        self.rows.append({"epoch": trainer.current_epoch, "step": trainer.global_step, "loss": loss, **scores})
        trainer.should_stop = trainer.should_stop or self.is_reached


def batch_with_most_classes(batches: Iterable[Batch], num_classes: int) -> Batch:
    """Return the first batch with all classes, else the first with the most classes."""
    best: Batch | None = None
    most = -1
    for batch in batches:
        count = len(torch.unique(batch["label"][batch["label"] != IGNORED]))
        if count > most:
            best, most = batch, count
        if most >= num_classes:
            break
    assert best is not None, "no batch to choose from"
    return best


def repeated(batch: Batch, times: int) -> DataLoader[Batch]:
    """Return a loader whose epoch is ``times`` repetitions of ``batch``."""
    batches: Any = [batch] * times  # a list, which torch accepts and its types do not
    return DataLoader(batches, batch_size=None)
