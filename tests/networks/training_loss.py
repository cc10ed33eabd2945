"""The loss of a training step, as training computes it."""

from typing import Any

import torch
from monai.losses import DiceCELoss
from torch import Tensor, nn

from aunet.classes import Labels
from aunet.inference.window_layout import Window
from aunet.training.segmentation_task import SegmentationTask


class UnwatchedTask(SegmentationTask):
    """Logs nothing, as no trainer listens."""

    def log(self, *args: Any, **kwargs: Any) -> None: ...


def training_loss(network: nn.Module, image: Tensor, label: Tensor) -> Tensor:
    """Return the loss of one training step: every supervised level, and every draw of gates that are drawn."""
    task = UnwatchedTask(
        network=network,
        loss=DiceCELoss(softmax=True, to_onehot_y=True),
        labels=Labels(("background", "ball", "box")),
        optimizer=torch.optim.AdamW,
        schedule=lambda share: 1.0,
        progress=lambda step: 0.0,
        inferer=Window(tuple(image.shape[2:]), 0.5, (1,) * (image.ndim - 2), 1),
        augmentation=lambda batch, seed: batch,
        seed=0,
        is_channels_last=False,
    )
    return task.training_step({"image": image, "label": label}, 0)
