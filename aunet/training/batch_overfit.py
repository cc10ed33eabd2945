"""Can the network learn one batch by heart? What cannot has a mistake in its loss, labels or rate."""

from collections.abc import Iterable
from typing import Any

import torch
from pytorch_lightning import Callback, LightningModule, Trainer
from torch.utils.data import DataLoader

from aunet.labels import Labels
from aunet.metrics.overlap import dice
from aunet.training.segmentation_task import SegmentationTask

# The Dice of every class that shows that a batch is known by heart.
ENOUGH = 0.95


class OverfitCheck(Callback):
    """After each epoch the loss and the Dice of each class on the batch trained on; ends once all are enough.

    Args:
        batch: image (B, C, *spatial), label (B, 1, *spatial), as it is trained on.
        labels: the classes; those not in the batch are left out.
    """

    def __init__(self, batch: dict[str, Any], labels: Labels) -> None:
        self._batch = batch
        self._present = [(k, name) for k, name in labels.foreground if bool((batch["label"] == k).any())]
        self.rows: list[dict[str, Any]] = []

    @property
    def is_reached(self) -> bool:
        """Whether every class in the batch has a Dice above 0.95."""
        return bool(self.rows) and all(self.rows[-1][f"dice/{name}"] > ENOUGH for _, name in self._present)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Look at the batch in evaluation mode, as validation would."""
        assert isinstance(pl_module, SegmentationTask)
        predictions = [pl_module.predict_case(image).logits.argmax(dim=0) for image in self._batch["image"]]
        prediction, label = torch.stack(predictions).numpy(), self._batch["label"][:, 0].numpy()
        scores = {f"dice/{name}": dice(prediction == k, label == k) for k, name in self._present}
        loss = float(trainer.callback_metrics["train/loss_step"])
        self.rows.append({"epoch": trainer.current_epoch, "step": trainer.global_step, "loss": loss, **scores})
        trainer.should_stop = trainer.should_stop or self.is_reached


def batch_with_most_classes(batches: Iterable[dict[str, Any]], num_classes: int) -> dict[str, Any]:
    """The first batch with all classes, or with as many as any has."""
    best: dict[str, Any] = {}
    most = -1
    for batch in batches:
        count = len(torch.unique(batch["label"]))
        if count > most:
            best, most = batch, count
        if most >= num_classes:
            break
    return best


def repeated(batch: dict[str, Any], times: int) -> DataLoader[dict[str, Any]]:
    """A loader of an epoch of ``times`` the same batch."""
    batches: Any = [batch] * times
    return DataLoader(batches, batch_size=None)
