"""Protocols of networks: what training and prediction use of a network beyond its forward pass."""

from functools import partial

import pytest
import torch
from monai.networks.nets import UNet as MonaiUNet
from torch import Tensor, nn

from aunet.networks import AttentionUNet, DeepSupervisionHead, GridGate, UNet
from aunet.networks.protocols import (
    AttentionNetwork,
    GatedNetwork,
    SizedNetwork,
    SupervisedNetwork,
    gates_per_skip,
    has_softmax_gates,
    supervised_logits,
)
from aunet.networks.slice_by_slice import SliceBySlice

PROTOCOLS = (AttentionNetwork, GatedNetwork, SizedNetwork, SupervisedNetwork)


class OwnGate(nn.Module):
    """A gate that competes over space and derives from nothing of ours."""

    is_normalized_over_space = True

    def __init__(self, *sizes: object) -> None:
        super().__init__()

    def forward(self, skip: Tensor, gating: Tensor) -> tuple[Tensor, Tensor]:
        return skip, torch.ones_like(skip[:, :1]) / skip[0, 0].numel()


@pytest.mark.parametrize("network", [UNet(channels=(4, 8)), AttentionUNet(channels=(4, 8, 8))], ids=["unet", "gated"])
def test_our_networks_have_every_protocol(network: nn.Module) -> None:
    assert all(isinstance(network, protocol) for protocol in PROTOCOLS)


def test_a_network_of_monai_has_none_and_a_single_output_with_a_loss() -> None:
    network = MonaiUNet(3, 1, 2, (4, 8), (2,)).eval()
    image = torch.randn(1, 1, 8, 8, 8)
    assert not any(isinstance(network, protocol) for protocol in PROTOCOLS)
    assert not has_softmax_gates(network)
    assert gates_per_skip(network) is None
    [logits] = supervised_logits(network, image)
    assert torch.equal(logits, network(image))


def test_gates_are_counted_and_a_softmax_is_found_also_slice_by_slice() -> None:
    softmax = partial(GridGate, normalization="softmax")
    for network in (
        AttentionUNet(2, channels=(4, 8, 8), gate=softmax, num_gates=3),
        SliceBySlice(AttentionUNet(2, channels=(4, 8, 8), gate=softmax, num_gates=3)),
    ):
        assert has_softmax_gates(network)
        assert gates_per_skip(network) == 3
    assert gates_per_skip(UNet(channels=(4, 8))) is None


def test_a_gate_of_ones_own_states_that_it_competes_over_space() -> None:
    assert has_softmax_gates(AttentionUNet(2, channels=(4, 8, 8), gate=OwnGate))


def test_a_slice_by_slice_network_states_a_size_multiple_only_if_its_network_does() -> None:
    assert isinstance(SliceBySlice(UNet(2, channels=(4, 8))), SizedNetwork)
    assert not isinstance(SliceBySlice(nn.Conv2d(1, 2, 1)), SizedNetwork)


def test_deep_supervision_has_a_loss_per_level() -> None:
    network = UNet(channels=(4, 8, 8), head=DeepSupervisionHead)
    assert [tuple(logits.shape[2:]) for logits in supervised_logits(network, torch.randn(2, 1, 8, 8, 8))] == [
        (8, 8, 8),
        (4, 4, 4),
    ]
