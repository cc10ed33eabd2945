"""A 2D network on volumes sees each slice for itself."""

import torch
from torch import nn

from aunet.networks import AttentionUNet, DeepSupervisionHead, UNet
from aunet.networks.slice_by_slice import SliceBySlice

VOLUME = (2, 1, 16, 24, 3)


def test_every_slice_is_what_the_network_gives_for_it() -> None:
    network = AttentionUNet(spatial_dims=2, num_classes=3, channels=(4, 8, 8)).eval()
    image = torch.randn(VOLUME)

    logits, coefficients = SliceBySlice(network).forward_with_attention(image)

    assert coefficients[2].shape == (2, 2, 8, 12, 3)
    for index in range(3):
        expected, maps = network.forward_with_attention(image[..., index])
        torch.testing.assert_close(logits[..., index], expected)
        torch.testing.assert_close(coefficients[2][..., index], maps[2])
    torch.testing.assert_close(SliceBySlice(network)(image), logits)


def test_levels_keep_their_losses() -> None:
    network = SliceBySlice(UNet(spatial_dims=2, channels=(4, 8, 8), head=DeepSupervisionHead))
    assert [tuple(logits.shape) for logits in network.supervised_logits(torch.randn(VOLUME))] == [
        (2, 4, 16, 24, 3),
        (2, 4, 8, 12, 3),
    ]
    assert network.size_multiple == (4, 4, 1)


def test_a_foreign_network_has_logits_alone() -> None:
    network = SliceBySlice(nn.Conv2d(1, 2, 3, padding=1))
    image = torch.randn(VOLUME)
    logits, coefficients = network.forward_with_attention(image)
    assert coefficients == {}
    assert logits.shape == (2, 2, 16, 24, 3)
    assert torch.equal(network.supervised_logits(image)[0], logits)
