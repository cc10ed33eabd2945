"""Costs of the parts of a network, against counts by hand and against real tensors."""

import copy

import pytest
import torch
from monai.networks.nets import UNet as MonaiUNet
from torch import nn

from aunet.networks import (
    AttentionUNet,
    ConvolutionBlock,
    DeepSupervisionHead,
    GridGate,
    HardGate,
    UNet,
    linear_resizing,
)
from aunet.networks.inspection.cost import PartCost, forward_gflop, measure_cost

SMALL = {"channels": (4, 8, 8), "num_classes": 3}
MIB = 2**20


def by_name(network: nn.Module, patch_size: tuple[int, ...], batch_size: int = 1) -> dict[str, PartCost]:
    return {cost.name: cost for cost in measure_cost(network, 1, patch_size, batch_size)}


def convolution_flop(inputs: int, outputs: int, kernel: int, voxels: int) -> int:
    """Count a multiply and an add for each weight at each voxel of the output."""
    return 2 * inputs * outputs * kernel**3 * voxels


def test_one_convolution_costs_two_operations_a_weight_and_voxel() -> None:
    costs = by_name(nn.Sequential(nn.Conv3d(1, 5, 3), nn.ReLU()), (8, 6, 6), batch_size=2)
    assert costs["total"].flop == convolution_flop(1, 5, kernel=3, voxels=2 * 6 * 4 * 4)
    assert (costs["0"].size, costs["0"].channels, costs["0"].parameters) == ((6, 4, 4), 5, 5 * 27 + 5)


def test_levels_of_a_unet_cost_what_their_convolutions_do() -> None:
    costs = by_name(UNet(**SMALL), (16, 16, 8), batch_size=2)
    fine, middle, coarse = 2 * 16 * 16 * 8, 2 * 8 * 8 * 4, 2 * 4 * 4 * 2
    expected = {
        "encoder 1": [(1, 4, fine), (4, 4, fine)],
        "encoder 2": [(4, 8, middle), (8, 8, middle)],
        "encoder 3": [(8, 8, coarse), (8, 8, coarse)],
        "decoder 2": [(8 + 8, 8, middle), (8, 8, middle)],
        "decoder 1": [(4 + 8, 4, fine), (4, 4, fine)],
    }
    for name, convolutions in expected.items():
        flop = sum(convolution_flop(before, after, 3, voxels) for before, after, voxels in convolutions)
        assert costs[name].flop == flop, name


@pytest.mark.parametrize(
    "network",
    [
        UNet(**SMALL),
        AttentionUNet(**SMALL, has_gating_convolution=True, gating_source="bottleneck"),
        AttentionUNet(**SMALL, gated_levels=(1, 2), gate=HardGate, upsampling="transposed"),
        UNet(**SMALL, head=DeepSupervisionHead),
        MonaiUNet(3, 1, 3, (4, 8, 8), (2, 2), num_res_units=2),
    ],
    ids=["unet", "gating convolution", "hard", "deep supervision", "monai"],
)
def test_parts_add_up_to_the_network(network: nn.Module) -> None:
    *parts, total = measure_cost(network, 1, (16, 16, 8), 2)
    assert total.parameters == sum(parameter.numel() for parameter in network.parameters())
    for quantity in ("parameters", "flop", "kept_bytes"):
        assert sum(getattr(part, quantity) for part in parts) == getattr(total, quantity), quantity
    assert (total.size, total.channels) == ((16, 16, 8), 3)


def test_parts_of_an_attention_unet_are_listed_in_the_order_they_run() -> None:
    names = [cost.name for cost in measure_cost(AttentionUNet(**SMALL), 1, (8, 8, 8), 1)]
    encoder, decoder = ["encoder 1", "encoder 2", "encoder 3"], ["decoder 2", "decoder 1"]
    assert names == [*encoder, "skip 2", *decoder, "head", "total"]


def test_modules_outside_every_part_have_a_row_of_their_own() -> None:
    class Scaled(nn.Sequential):
        def __init__(self) -> None:
            super().__init__(nn.Conv2d(1, 2, 1), nn.Conv2d(2, 2, 1))
            self.scale = nn.Parameter(torch.ones(7))

    costs = by_name(Scaled(), (4, 4))
    assert costs["elsewhere"].parameters == 7


def test_two_layers_keep_their_inputs_and_the_output_of_the_activation() -> None:
    network = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 2, 3, padding=1))
    costs = by_name(network, (32, 32), batch_size=3)
    image, hidden = 3 * 32 * 32 * 4, 3 * 4 * 32 * 32 * 4
    assert [costs[name].kept_bytes for name in ("0", "1", "2", "total")] == [image, hidden, 0, image + hidden]


@pytest.mark.parametrize(
    "network",
    [
        UNet(2, **SMALL),
        AttentionUNet(2, **SMALL, gate=GridGate, norm="instance"),
        UNet(2, **SMALL, recomputed_levels=(1, 2)),
    ],
    ids=["unet", "attention", "recomputed"],
)
def test_kept_memory_is_what_a_real_forward_pass_keeps(network: nn.Module, monkeypatch: pytest.MonkeyPatch) -> None:
    # The matrices of resizing by products are kept as well, but once for all steps.
    monkeypatch.setattr(linear_resizing, "_MOST_CHANNELS", 0)
    network.train()
    kept: dict[int, torch.Tensor] = {}
    own = {tensor.untyped_storage().data_ptr() for tensor in (*network.parameters(), *network.buffers())}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        kept[tensor.untyped_storage().data_ptr()] = tensor
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        logits = network(torch.rand(2, 1, 32, 16))
    real = sum(tensor.untyped_storage().nbytes() for pointer, tensor in kept.items() if pointer not in own)
    assert by_name(network, (32, 16), batch_size=2)["total"].kept_bytes == real
    del logits


def test_recomputed_levels_keep_less() -> None:
    plain = by_name(AttentionUNet(**SMALL), (16, 16, 16))
    recomputed = by_name(AttentionUNet(**SMALL, recomputed_levels=(1, 2)), (16, 16, 16))
    for name in ("encoder 1", "encoder 2", "skip 2", "decoder 1", "decoder 2"):
        assert recomputed[name].kept_bytes < plain[name].kept_bytes, name
    assert recomputed["total"].kept_bytes < plain["total"].kept_bytes / 2
    assert recomputed["total"].flop == plain["total"].flop


def test_a_patch_no_machine_holds_is_measured() -> None:
    total = measure_cost(UNet(**SMALL), 1, (4096, 4096, 4096), 8)[-1]
    assert total.kept_bytes > 2**45


def test_the_network_stays_as_it_was() -> None:
    network = AttentionUNet(**SMALL).eval()
    before = copy.deepcopy(network.state_dict())
    measure_cost(network, 1, (8, 8, 8), 2)
    assert not network.training
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())
    assert network(torch.zeros(1, 1, 8, 8, 8)).isfinite().all()


def test_modules_that_are_used_at_several_places_count_once() -> None:
    shared = nn.Conv2d(1, 1, 3, padding=1)
    network = nn.Sequential(nn.Sequential(shared, nn.ReLU()), nn.Sequential(shared, nn.ReLU()))
    costs = by_name(network, (8, 8))
    assert costs["total"].parameters == 10
    assert costs["total"].flop == 2 * 2 * 9 * 64
    assert shared(torch.zeros(1, 1, 8, 8)).isfinite().all()


def test_a_block_alone_is_measured_by_its_parts() -> None:
    network = UNet(2, **SMALL)
    block = ConvolutionBlock(network.layers, 1, 4)
    assert [cost.name for cost in measure_cost(block, 1, (8, 8), 2)] == ["projection", "units", "total"]


def test_a_patch_that_ends_in_a_single_voxel_is_counted_although_batch_norm_refuses_it_alone() -> None:
    network = UNet(channels=(2, 4, 4, 4, 4))
    assert forward_gflop(network, 1, (16, 16, 16)) == pytest.approx(forward_gflop(network, 1, (32, 32, 32)) / 8)


def test_a_network_that_looks_at_values_has_no_count() -> None:
    class Choosing(nn.Conv3d):
        def forward(self, image: torch.Tensor) -> torch.Tensor:
            return super().forward(image) if image.mean().item() > 0 else image

    assert forward_gflop(Choosing(1, 1, 1), 1, (4, 4, 4)) is None
