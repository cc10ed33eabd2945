"""One training step, one validation of whole cases, one optimizer: what Lightning's trainer repeats."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from pytorch_lightning import LightningModule
from torch import Tensor, nn
from torch.optim import Optimizer

from aunet.data.augmentation import Augmentation
from aunet.data.keyed_randomness import network_seed
from aunet.inference.sliding_window import VolumePrediction, predict_volume
from aunet.labels import Labels
from aunet.losses.marginal_logits import marginal_logits
from aunet.metrics.overlap import dice
from aunet.training.thin_convolution import ThinConvolutionsInFloat32


@dataclass(frozen=True)
class Window:
    """How whole volumes are seen: patch by patch."""

    patch_size: tuple[int, ...]
    overlap: float
    size_multiple: tuple[int, ...]
    window_batch: int


class SegmentationTask(LightningModule):
    """Trains any network with ``forward(image) -> logits``.

    Args:
        network: (B, C, *spatial) -> logits (B, K, *spatial).
        loss: (logits, label (B, 1, *spatial)) -> scalar; computed in float32.
        labels: the classes.
        optimizer: parameters -> optimizer.
        schedule: share of the training done -> share of the learning rate.
        progress: optimizer steps -> share of the training done.
        window: sliding window of the validation.
        augmentation: random changes of the training batches.
        seed: of the augmentation.
        is_channels_last: memory format of network and batches.
    """

    def __init__(
        self,
        network: nn.Module,
        loss: nn.Module,
        labels: Labels,
        optimizer: Callable[[Iterable[nn.Parameter]], Optimizer],
        schedule: Callable[[float], float],
        progress: Callable[[int], float],
        window: Window,
        augmentation: Augmentation,
        seed: int,
        is_channels_last: bool,
    ) -> None:
        super().__init__()
        if is_channels_last:
            network = network.to(memory_format=torch.channels_last_3d)  # pyright: ignore[reportCallIssue]
        self.network = network
        self.labels = labels
        self._loss = loss
        self._optimizer = optimizer
        self._schedule = schedule
        self._progress = progress
        self._window = window
        self._augmentation = augmentation
        self._seed = seed
        self._is_channels_last = is_channels_last
        self._loss_sum, self._num_losses = 0.0, 0
        self._case_dice: dict[str, list[float]] = {}

    def configure_optimizers(self) -> Optimizer:
        """The optimizer; its learning rate is set before each step."""
        optimizer = self._optimizer(self.network.parameters())
        for group in optimizer.param_groups:
            group["initial_lr"] = group["lr"]
        return optimizer

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        """Set the learning rate of this step, and the seed of what the network itself draws."""
        torch.manual_seed(network_seed(self._seed, self.trainer.global_step))
        share = self._schedule(self._progress(self.trainer.global_step))
        for group in self.trainer.optimizers[0].param_groups:
            group["lr"] = group["initial_lr"] * share

    def training_step(self, batch: dict[str, Any], batch_idx: int) -> Tensor:
        """Loss of one augmented batch."""
        with torch.autocast(self.device.type, enabled=False):
            image, label = self._augmentation(batch, self._seed)
        with ThinConvolutionsInFloat32():
            logits = self.network(self._laid_out(image))
        with torch.autocast(self.device.type, enabled=False):
            told = marginal_logits(logits.float(), batch["annotated"]) if "annotated" in batch else logits.float()
            loss = self._loss(told, label)
        self._loss_sum += float(loss.detach())
        self._num_losses += 1
        self.log("train/loss_step", loss.detach(), logger=False)
        return loss

    def validation_step(self, case: dict[str, Any], batch_idx: int) -> None:
        """Dice per class of one whole case; undefined (NaN) where the reference does not annotate the class."""
        prediction = self.predict_case(case["image"]).logits.argmax(dim=0).numpy()
        label, annotated = case["label"].cpu().numpy(), case["annotated"].tolist()
        self._case_dice[case["case_id"]] = [
            dice(prediction == k, label == k) if annotated[k] else float("nan") for k, _ in self.labels.foreground
        ]

    def on_validation_epoch_end(self) -> None:
        """Log what the epoch came to.

        ``val/dice/<class>``: mean over the cases; ``val/dice``: mean of the classes; ``train/loss``: mean over the
        steps; ``learning_rate``: that of the last step. It is logged here, as callbacks read it at the epoch's end.
        """
        by_class = [_defined_mean(values) for values in zip(*self._case_dice.values(), strict=True)]
        for (_, name), value in zip(self.labels.foreground, by_class, strict=True):
            self.log(f"val/dice/{name}", value)
        self.log("val/dice", _defined_mean(by_class))
        self.log("train/loss", self._loss_sum / max(1, self._num_losses))
        self.log("learning_rate", self.trainer.optimizers[0].param_groups[0]["lr"])
        self._case_dice.clear()
        self._loss_sum, self._num_losses = 0.0, 0

    def predict_case(self, image: Tensor, with_attention: bool = False) -> VolumePrediction:
        """Logits of a whole case (C, *spatial) by sliding window, and its coefficients if asked for."""
        window = self._window
        with torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self._is_autocast()):
            return predict_volume(
                self.network,
                image.to(self.device),
                window.patch_size,
                overlap=window.overlap,
                size_multiple=window.size_multiple,
                window_batch=window.window_batch,
                with_attention=with_attention,
            )

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep the loss sums of an unfinished epoch."""
        checkpoint["loss_sums"] = [self._loss_sum, self._num_losses]

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Take the loss sums up again."""
        self._loss_sum, self._num_losses = checkpoint["loss_sums"]

    def _laid_out(self, image: Tensor) -> Tensor:
        return image.contiguous(memory_format=torch.channels_last_3d) if self._is_channels_last else image

    def _is_autocast(self) -> bool:
        return "bf16" in str(self.trainer.precision)


def _defined_mean(values: Sequence[float]) -> float:
    defined = [value for value in values if not np.isnan(value)]
    return float(np.mean(defined)) if defined else float("nan")
