"""What the blocks compute, against their formulas written out."""

from functools import partial
from typing import Any

import pytest
import torch
from torch import nn

from aunet.errors import UserError
from aunet.networks import ConvolutionBlock, ConvolutionUnit, InceptionUnit, Layers, RecurrentUnit

FEATURES = torch.randn(2, 5, 6, 7, 8, generator=torch.Generator().manual_seed(0))


def test_a_unit_is_convolution_norm_and_activation() -> None:
    unit = ConvolutionUnit(Layers(), 5, 8)
    convolution, norm, _ = unit
    torch.testing.assert_close(unit(FEATURES), norm(convolution(FEATURES)).clamp(min=0))


def test_dropout_sets_its_share_to_zero_before_the_activation_in_training_only() -> None:
    torch.manual_seed(0)
    unit = ConvolutionUnit(Layers(dropout=0.3, activation="leaky_relu"), 5, 64)
    assert (unit(FEATURES) == 0).float().mean().item() == pytest.approx(0.3, abs=0.01)
    assert not (unit.eval()(FEATURES) == 0).any()


def test_leaky_activation_keeps_a_hundredth_of_what_is_negative() -> None:
    activation = Layers(activation="leaky_relu").activate()
    assert activation(torch.tensor([-2.0, 3.0])).tolist() == pytest.approx([-0.02, 3.0])


@pytest.mark.parametrize(("norm", "axes"), [("batch", (0, 2, 3, 4)), ("instance", (2, 3, 4))])
def test_a_norm_takes_mean_and_variance_over_its_axes(norm: Any, axes: tuple[int, ...]) -> None:
    normalized = Layers(norm=norm).normalization(5)(FEATURES)
    variance, mean = torch.var_mean(FEATURES, dim=axes, keepdim=True, correction=0)
    torch.testing.assert_close(normalized, (FEATURES - mean) / (variance + 1e-5).sqrt())


@pytest.mark.parametrize(("channels", "groups"), [(16, 2), (8, 1), (12, 3), (33, 33)])
def test_groups_hold_eight_channels_where_the_width_allows_it(channels: int, groups: int) -> None:
    norm: Any = Layers(norm="group").normalization(channels)
    assert norm.num_groups == groups


def test_a_recurrent_unit_is_its_unrolled_formula() -> None:
    """Oracle: R2U-Net with t = 2: three applications of the same weights, each to the input plus the state."""
    recurrent = RecurrentUnit(Layers(), 5, 8, steps=2).eval()
    projected = recurrent.projection(FEATURES)
    first = recurrent.unit(projected)
    second = recurrent.unit(projected + first)
    torch.testing.assert_close(recurrent(FEATURES), recurrent.unit(projected + second))


def test_more_steps_need_no_more_parameters() -> None:
    counts = {sum(p.numel() for p in RecurrentUnit(Layers(), 4, 8, steps=steps).parameters()) for steps in (1, 2, 5)}
    assert len(counts) == 1


def test_an_inception_unit_is_its_branches_side_by_side() -> None:
    unit = InceptionUnit(Layers(), 5, 10, dilations=(1, 3)).eval()
    kernels = [(branch[0].kernel_size, branch[0].dilation) for branch in unit.branches]
    assert kernels == [((1, 1, 1), (1, 1, 1)), ((3, 3, 3), (1, 1, 1)), ((3, 3, 3), (3, 3, 3))]
    assert [branch[0].out_channels for branch in unit.branches] == [4, 3, 3]
    torch.testing.assert_close(unit(FEATURES), torch.cat([branch(FEATURES) for branch in unit.branches], dim=1))


def test_a_dilated_branch_sees_as_far_as_its_dilation() -> None:
    branch = InceptionUnit(Layers(2), 1, 2, dilations=(3,)).eval().branches[1]
    image = torch.zeros(1, 1, 15, 15, requires_grad=True)
    nn.init.ones_(branch[0].weight)
    nn.init.ones_(branch[0].bias)
    branch(image)[0, 0, 7, 7].backward()
    assert image.grad is not None
    assert image.grad[0, 0].nonzero().tolist() == [[i, j] for i in (4, 7, 10) for j in (4, 7, 10)]


def test_a_residual_block_adds_its_projected_input() -> None:
    block = ConvolutionBlock(Layers(), 5, 8, is_residual=True).eval()
    projected = block.projection(FEATURES)
    torch.testing.assert_close(block(FEATURES), projected + block.units(projected))


def test_a_residual_block_of_equal_widths_adds_the_input_itself() -> None:
    block = ConvolutionBlock(Layers(), 5, 5, is_residual=True).eval()
    before = FEATURES.clone()
    torch.testing.assert_close(block(FEATURES), before + block.units(before))
    assert torch.equal(FEATURES, before)


@pytest.mark.parametrize(
    "unit",
    [ConvolutionUnit, RecurrentUnit, InceptionUnit, partial(RecurrentUnit, unit=InceptionUnit)],
    ids=["plain", "recurrent", "inception", "recurrent inception"],
)
@pytest.mark.parametrize("norm", ["batch", "instance", "group"])
def test_a_block_keeps_the_size_whatever_its_kernel(unit: Any, norm: Any) -> None:
    for kernel_size in (3, (3, 3, 1), (1, 1, 1)):
        block = ConvolutionBlock(Layers(norm=norm), 5, 8, kernel_size, unit=unit, is_residual=True)
        assert block(FEATURES).shape == (2, 8, 6, 7, 8)


@pytest.mark.parametrize(
    ("build", "rule"),
    [
        (lambda: RecurrentUnit(Layers(), 4, 4, steps=0), "at least once"),
        (lambda: InceptionUnit(Layers(), 4, 3), "narrowest level"),
        (lambda: InceptionUnit(Layers(), 4, 8, dilations=(0,)), "from 1 on"),
        (lambda: ConvolutionUnit(Layers(), 4, 4, kernel_size=2), "odd along every axis"),
        (lambda: ConvolutionUnit(Layers(), 4, 4, kernel_size=(3, 3)), "3 of them"),
        (lambda: Layers(4), "2 or 3 spatial dimensions"),
        (lambda: Layers(norm="layer"), "'batch', 'instance' or 'group'"),  # pyright: ignore[reportArgumentType]
        (lambda: Layers(activation="elu"), "'relu' or 'leaky_relu'"),  # pyright: ignore[reportArgumentType]
        (lambda: Layers(dropout=1.0), "below 1"),
    ],
)
def test_an_impossible_block_is_refused(build: Any, rule: str) -> None:
    with pytest.raises(UserError, match=rule):
        build()
