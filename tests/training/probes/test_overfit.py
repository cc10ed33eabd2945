"""The check that a batch is memorised, where parts of its references are missing."""

from types import SimpleNamespace
from typing import Any

import torch
from nested_regions import LABELS
from torch import Tensor, nn

from aunet.classes import IGNORED, Labels
from aunet.inference.window_layout import Window
from aunet.training.probes.overfit import OverfitCheck, batch_with_most_classes
from aunet.training.segmentation_task import SegmentationTask


class Copying(nn.Module):
    """Certain of the value of each voxel of the image: regions up to it, or the class of that number."""

    def __init__(self, *, are_regions: bool) -> None:
        super().__init__()
        self.are_regions = are_regions

    def forward(self, image: Tensor) -> Tensor:
        if self.are_regions:
            return torch.cat([image - value + 0.5 for value in (1, 2, 3)], dim=1)
        return torch.cat([-(image - value).abs() for value in range(4)], dim=1)


def checked(labels: Labels, num_values: int = 4) -> OverfitCheck:
    """Return a check of a batch whose network is right but for voxels that the label ignores."""
    image = torch.arange(4.0).remainder(num_values).repeat(16).reshape(1, 1, 4, 4, 4)
    label = image.to(torch.uint8)
    label[0, 0, 0] = IGNORED
    image[0, 0, 0] = 3
    batch: Any = {"image": image, "label": label}
    unused: Any = None
    task = SegmentationTask(
        network=Copying(are_regions=bool(labels.regions)),
        loss=nn.CrossEntropyLoss(),
        labels=labels,
        optimizer=unused,
        schedule=unused,
        progress=unused,
        inferer=Window((4, 4, 4)),
        augmentation=unused,
        seed=0,
        is_channels_last=False,
    )
    check = OverfitCheck(batch, labels)
    trainer: Any = SimpleNamespace(
        callback_metrics={"train/loss_step": 0.0}, current_epoch=0, global_step=1, should_stop=False
    )
    check.on_train_epoch_end(trainer, task)
    return check


def test_ignored_voxels_do_not_keep_a_batch_from_being_memorised() -> None:
    assert checked(Labels(LABELS.names)).is_reached


def test_a_batch_of_background_alone_is_never_memorised() -> None:
    assert not checked(Labels(LABELS.names), num_values=1).is_reached


def test_a_batch_of_regions_is_memorised_once_each_region_is() -> None:
    check = checked(LABELS)
    assert check.is_reached
    assert [check.rows[0][f"dice/{name}"] for name in LABELS.names[1:]] == [1.0, 1.0, 1.0]


def test_the_ignored_value_does_not_count_among_the_classes_of_a_batch() -> None:
    batches: Any = [{"label": torch.tensor(values)} for values in ([0, 1, IGNORED], [0, 1, 2])]
    assert batch_with_most_classes(batches, 3) is batches[1]
