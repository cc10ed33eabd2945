"""Voxels without reference: no loss, no gradient, whatever the network says there."""

from collections.abc import Callable
from typing import Any, cast

import pytest
import torch
from monai.losses import DeepSupervisionLoss, DiceCELoss, DiceLoss, FocalLoss, TverskyLoss
from torch import Tensor, nn

from aunet.classes import IGNORED
from aunet.losses import FocalTverskyLoss, ReleasedDiceLoss
from aunet.losses.ignored_voxels import hide_ignored, without_ignored

Loss = Callable[[Tensor, Tensor], Tensor]
LOSSES: dict[str, Loss] = {
    "dice": DiceLoss(softmax=True, to_onehot_y=True),
    "dice of the foreground": DiceLoss(softmax=True, to_onehot_y=True, include_background=False),
    "dice and cross-entropy": DiceCELoss(softmax=True, to_onehot_y=True),
    "focal": FocalLoss(to_onehot_y=True, use_softmax=True),
    "focal tversky": FocalTverskyLoss(),
    "released dice": ReleasedDiceLoss(),
    "tversky": TverskyLoss(softmax=True, to_onehot_y=True),
}


def sample(seed: int = 0) -> tuple[Tensor, Tensor]:
    draw = torch.Generator().manual_seed(seed)
    logits = torch.randn(2, 3, 6, 5, 4, generator=draw) * 3
    label = torch.randint(0, 3, (2, 1, 6, 5, 4), generator=draw)
    label[:, :, 2:4] = IGNORED
    return logits, label


@pytest.mark.parametrize("name", LOSSES)
def test_annotations_ignored_voxels_pass_no_gradient_and_do_not_change_the_loss(name: str) -> None:
    logits, label = sample()
    logits.requires_grad_()
    loss = LOSSES[name](hide_ignored(logits, label), without_ignored(label))
    loss.backward()
    assert logits.grad is not None
    assert torch.isfinite(loss)
    is_ignored = (label == IGNORED).expand_as(logits)
    assert not logits.grad[is_ignored].any()
    assert logits.grad[~is_ignored].any()
    other = torch.where(is_ignored, torch.randn_like(logits) * 100, logits.detach())
    assert LOSSES[name](hide_ignored(other, label), without_ignored(label)) == loss.detach()


def test_annotations_the_sum_of_cross_entropy_is_that_of_the_other_voxels() -> None:
    logits, label = sample(1)
    total = nn.CrossEntropyLoss(reduction="sum")(hide_ignored(logits, label), without_ignored(label)[:, 0])
    expected = nn.CrossEntropyLoss(reduction="sum", ignore_index=IGNORED)(logits, label[:, 0])
    assert total == pytest.approx(expected.item(), rel=1e-6)


def test_annotations_the_dice_of_the_foreground_is_that_of_the_other_voxels() -> None:
    logits, label = sample(2)
    kept = [0, 1, 4, 5]
    loss = LOSSES["dice of the foreground"]
    hidden = loss(hide_ignored(logits, label), without_ignored(label))
    assert hidden == pytest.approx(loss(logits[:, :, kept], label[:, :, kept]).item(), rel=1e-5)


@pytest.mark.parametrize("factor", [2, 3, 4])
def test_annotations_supervised_levels_learn_from_all_voxels_but_those_whose_label_is_ignored(factor: int) -> None:
    """The label that MONAI's loss compares with a coarser level shows which of its voxels are ignored."""
    side = 12 // factor
    label = torch.randint(0, 2, (1, 1, 12, 12, 12), generator=torch.Generator().manual_seed(3), dtype=torch.uint8)
    label[label == 0] = IGNORED
    levels = [torch.zeros(1, 2, 12, 12, 12), torch.zeros(1, 2, side, side, side, requires_grad=True)]
    seen: list[Tensor] = []

    def loss(logits: Tensor, target: Tensor) -> Tensor:
        seen.append(target)
        return nn.functional.cross_entropy(logits, target[:, 0].long(), reduction="sum")

    deep: Any = DeepSupervisionLoss(cast(Any, loss))
    deep([hide_ignored(level, label) for level in levels], without_ignored(label)).backward()
    assert levels[1].grad is not None
    is_learned = levels[1].grad.abs().sum(dim=1, keepdim=True) > 0
    assert 0 < is_learned.sum() < is_learned.numel()
    assert torch.equal(is_learned, seen[1] == 1)
