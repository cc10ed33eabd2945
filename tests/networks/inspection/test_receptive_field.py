"""How far networks see, against the closed formula and against gradients."""

from collections.abc import Sequence
from functools import partial

import pytest
import torch
from torch import nn

from aunet.networks import (
    AttentionUNet,
    ConvolutionBlock,
    GridGate,
    HardGate,
    InceptionUnit,
    RecurrentUnit,
    SingleHead,
    UNet,
)
from aunet.networks.inspection.receptive_field import Field, receptive_fields

SMALL = {"channels": (4, 4, 4), "num_classes": 2}
PATCH = (48, 48)


def field_of(network: nn.Module, patch_size: Sequence[int] = PATCH, multiple: int = 4) -> Field:
    return receptive_fields(network, 1, patch_size, [multiple] * len(patch_size), {"all": network})["all"]


def by_formula(kernels: Sequence[Sequence[int]], strides: Sequence[int]) -> list[int]:
    """Of each level's features along one axis: r grows by (k - 1) * jump, pooling by (stride - 1) * jump."""
    widths: list[int] = []
    width, jump = 1, 1
    for level, of_level in enumerate(kernels):
        if level:
            width += (strides[level - 1] - 1) * jump
            jump *= strides[level - 1]
        width += sum((kernel - 1) * jump for kernel in of_level)
        widths.append(width)
    return widths


def encoder_fields(network: UNet, patch_size: Sequence[int]) -> list[Field]:
    watched = {str(level): block for level, block in enumerate(network.encoder.levels)}
    return [*receptive_fields(network, 1, patch_size, network.size_multiple, watched).values()]


@pytest.mark.parametrize("norm", ["batch", "instance", "group"])
def test_the_encoder_sees_what_the_formula_says(norm: str) -> None:
    network = UNet(3, channels=(4, 4, 4, 4), num_classes=2, norm=norm)
    assert by_formula([(3, 3)] * 4, [2] * 3) == [5, 14, 32, 68]
    assert encoder_fields(network, (72, 72, 40)) == [(5, 5, 5), (14, 14, 14), (32, 32, 32), (68, 68, None)]


def test_thick_slices_are_seen_across_less() -> None:
    network = UNet(3, **SMALL, spacing=(1.0, 1.0, 3.0))
    across = by_formula([(1, 1), (3, 3), (3, 3)], [1, 2])
    plane = by_formula([(3, 3)] * 3, [2, 2])
    assert encoder_fields(network, (48, 48, 24)) == [(a, a, b) for a, b in zip(plane, across, strict=True)]


@pytest.mark.parametrize(
    ("block", "kernels"),
    [
        (partial(ConvolutionBlock, is_residual=True), (3, 3)),
        (partial(ConvolutionBlock, unit=partial(RecurrentUnit, steps=2)), (3,) * 6),
        (partial(ConvolutionBlock, unit=partial(InceptionUnit, dilations=(1, 3))), (7, 7)),
    ],
    ids=["residual", "recurrent", "inception"],
)
def test_other_blocks_see_what_the_formula_says(block: partial[nn.Module], kernels: tuple[int, ...]) -> None:
    network = UNet(2, channels=(4, 4), num_classes=2, block=block)
    assert [field[0] for field in encoder_fields(network, PATCH)] == by_formula([kernels] * 2, [2])


@pytest.mark.parametrize(
    "network",
    [
        nn.Sequential(nn.Conv2d(1, 3, 3, padding=1), nn.Conv2d(3, 3, 5, padding=2, groups=3)),
        nn.Sequential(nn.Conv2d(1, 2, 3, stride=2, padding=1), nn.ConvTranspose2d(2, 2, 2, stride=2)),
        nn.Sequential(nn.Conv2d(1, 2, (3, 1), padding=(1, 0)), nn.Conv2d(2, 2, 3, padding="same", dilation=4)),
        nn.Sequential(nn.AvgPool2d(4), nn.Upsample(scale_factor=4, mode="bilinear"), nn.Conv2d(1, 1, 3, padding=1)),
        nn.Sequential(nn.ConvTranspose2d(1, 2, 4, stride=2, padding=1, bias=False), nn.AvgPool2d(2)),
    ],
    ids=["grouped", "strided", "dilated", "resized", "transposed"],
)
def test_linear_layers_see_where_their_gradient_is_not_zero(network: nn.Module) -> None:
    assert field_of(network) == gradient_field(network)


def test_a_unet_sees_where_the_gradient_of_its_linear_twin_is_not_zero() -> None:
    network = UNet(2, channels=(4, 4), num_classes=2, head=SingleHead)
    field = field_of(network)
    assert None not in field
    assert field == gradient_field(linear_twin(network))


def test_gates_widen_what_a_unet_sees_through_its_skip() -> None:
    gated = AttentionUNet(2, **SMALL, gated_levels=(1,), gating_source="bottleneck")
    alone = receptive_fields(gated, 1, PATCH, (4, 4), {"skip": gated.skips[0], "level": gated.encoder.levels[0]})
    bottleneck = by_formula([(3, 3)] * 3, [2, 2])[-1]
    assert alone["level"] == (5, 5)
    assert alone["skip"][0] is not None
    assert alone["skip"][0] > bottleneck


def test_hard_gates_see_as_far_as_soft_ones() -> None:
    soft, hard = (AttentionUNet(2, **SMALL, gated_levels=(1,), gate=gate) for gate in (GridGate, HardGate))
    fields = [receptive_fields(each, 1, (96, 96), (4, 4), {"skip": each.skips[0]})["skip"] for each in (soft, hard)]
    assert None not in fields[0]
    assert fields[1][0] is not None
    # A linearly resized coefficient mixes neighbours of the grid, one resized by nearest does not.
    assert 0 <= fields[0][0] - fields[1][0] <= 4


@pytest.mark.parametrize("options", [{"gating_source": "global"}, {"gate": partial(GridGate, normalization="softmax")}])
def test_gates_that_look_at_all_of_space_see_the_whole_patch(options: dict[str, object]) -> None:
    network = AttentionUNet(2, **SMALL, **options)
    assert field_of(network, (400, 400)) == (None, None)
    assert None not in field_of(AttentionUNet(2, **SMALL), (400, 400))


def test_a_field_is_the_whole_patch_from_its_length_on() -> None:
    network = nn.Conv2d(1, 1, 9, padding=4)
    assert field_of(network, (8, 12), multiple=1) == (None, 9)


def test_the_network_stays_as_it_was() -> None:
    network = UNet(2, **SMALL, norm="instance").train()
    image = torch.rand(2, 1, 8, 8)
    before = network(image)
    field_of(network)
    assert network.training
    assert torch.equal(network(image), before)


def linear_twin(network: UNet) -> UNet:
    """Return the same architecture without what hides part of a gradient: averages for maxima, no activation."""
    for parent in [*network.modules()]:
        for name, child in parent.named_children():
            if isinstance(child, nn.ReLU | nn.BatchNorm2d):
                setattr(parent, name, nn.Identity())
            elif isinstance(child, nn.MaxPool2d):
                setattr(parent, name, nn.AvgPool2d(child.kernel_size))
    return network


def gradient_field(network: nn.Module) -> Field:
    """Extent of the gradient of the middle's output where all weights are positive, in double precision."""
    network = network.double().eval()
    for parameter in network.parameters():
        torch.nn.init.ones_(parameter.data)
    image = torch.ones(1, 1, 96, 96, dtype=torch.double, requires_grad=True)
    widths: list[int | None] = []
    for dim in (2, 3):
        output = network(image)
        (gradient,) = torch.autograd.grad(output.select(dim, output.shape[dim] // 2).sum(), image)
        touched = gradient.abs().sum(dim=[each for each in range(4) if each != dim]).nonzero().flatten()
        width = int(touched.max() - touched.min()) + 1
        widths.append(width if width < PATCH[dim - 2] else None)
    return tuple(widths)
