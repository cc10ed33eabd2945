"""Every preset can learn one patch by heart."""

from collections.abc import Callable
from functools import partial

import pytest
import torch
from monai.losses import DiceCELoss
from torch import nn

from aunet.metrics.overlap import dice
from aunet.networks import AttentionUNet, GridGate, UNet

CHANNELS = (8, 16, 32, 64, 128)
RELEASED = partial(GridGate, is_pass_through_start=False)
SOFTMAX = partial(GridGate, normalization="softmax")
NETWORKS: dict[str, Callable[[], nn.Module]] = {
    "unet": lambda: UNet(num_classes=3, channels=CHANNELS),
    "attention": lambda: AttentionUNet(num_classes=3, channels=CHANNELS),
    "attention_official": lambda: AttentionUNet(
        num_classes=3,
        channels=CHANNELS,
        has_gating_convolution=True,
        gate=RELEASED,
    ),
    "attention_single_gate": lambda: AttentionUNet(
        num_classes=3,
        channels=CHANNELS,
        num_gates=1,
        has_gating_convolution=True,
        gate=RELEASED,
    ),
    "attention_softmax": lambda: AttentionUNet(num_classes=3, channels=CHANNELS, gate=SOFTMAX),
}


def patch() -> tuple[torch.Tensor, torch.Tensor]:
    """A ball and a box that differ from the rest by less than the noise."""
    grid = torch.stack(torch.meshgrid(*[torch.arange(32.0)] * 3, indexing="ij"))
    label = torch.zeros(1, 1, 32, 32, 32)
    label[0, 0][(grid - 11).square().sum(0) < 49] = 1
    label[0, 0, 18:28, 16:30, 14:26] = 2
    return label * 0.5 + torch.randn(label.shape), label


@pytest.mark.slow
@pytest.mark.parametrize("name", NETWORKS)
def test_fifty_steps_on_one_patch_reach_a_dice_of_95_percent(name: str) -> None:
    torch.manual_seed(0)
    network, (image, label) = NETWORKS[name](), patch()
    loss = DiceCELoss(softmax=True, to_onehot_y=True)
    optimizer = torch.optim.AdamW(network.parameters(), lr=5e-3)
    for _ in range(50):
        optimizer.zero_grad()
        logits = network(image)
        loss(logits, label).backward()
        optimizer.step()
    prediction = network(image).argmax(dim=1, keepdim=True).numpy()
    for index in (1, 2):
        assert dice(prediction == index, label.numpy() == index) > 0.95
