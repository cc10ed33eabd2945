"""Protocols of losses."""

import pytest
from monai.losses.dice import DiceCELoss, DiceLoss
from torch import nn

from aunet.losses import ReleasedDiceLoss
from aunet.losses.protocols import is_over_batch


class OwnLoss(nn.Module):
    batch = True


@pytest.mark.parametrize(
    ("loss", "expected"),
    [
        (DiceLoss(batch=True), True),
        (DiceCELoss(batch=True), True),  # the loss inside it states it
        (OwnLoss(), True),
        (DiceLoss(), False),
        (ReleasedDiceLoss(), False),
        (nn.CrossEntropyLoss(), False),
    ],
)
def test_a_loss_over_the_whole_batch_is_found(loss: nn.Module, expected: bool) -> None:
    assert is_over_batch(loss) == expected
