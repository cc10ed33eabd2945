"""Outputs of the blocks against their formulas written out."""

from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from aunet.errors import UserError
from aunet.networks import ConvolutionBlock, ConvolutionUnit, InceptionUnit, Layers, RecurrentUnit, UNet

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


def test_a_recurrent_unit_is_its_unrolled_formula_with_a_norm_for_each_application() -> None:
    """Oracle: R2U-Net with t = 2: three applications of the same convolution, each to the input plus the state."""
    recurrent = RecurrentUnit(Layers(), 5, 8, steps=2).eval()
    convolution, norm, _ = recurrent.unit
    for number, each in enumerate(norm.norms):
        each.running_mean.fill_(0.1 * number)
    projected = recurrent.projection(FEATURES)
    first = norm.norms[0](convolution(projected)).clamp(min=0)
    second = norm.norms[1](convolution(projected + first)).clamp(min=0)
    expected = norm.norms[2](convolution(projected + second)).clamp(min=0)
    torch.testing.assert_close(recurrent(FEATURES), expected)


def test_a_recurrent_unit_of_an_older_run_shares_one_norm_under_its_former_names() -> None:
    recurrent = RecurrentUnit(Layers(), 5, 8, steps=2, norm_per_application=False).eval()
    assert {"unit.0.weight", "unit.1.weight", "unit.1.running_mean"} <= recurrent.state_dict().keys()
    projected = recurrent.projection(FEATURES)
    first = recurrent.unit(projected)
    second = recurrent.unit(projected + first)
    torch.testing.assert_close(recurrent(FEATURES), recurrent.unit(projected + second))


def test_a_further_step_needs_no_more_parameters_than_a_norm() -> None:
    counts = [sum(p.numel() for p in RecurrentUnit(Layers(), 4, 8, steps=steps).parameters()) for steps in (1, 2, 5)]
    assert [count - counts[0] for count in counts] == [0, 2 * 8, 4 * 2 * 8]


@pytest.mark.parametrize("unit", [ConvolutionUnit, InceptionUnit, partial(RecurrentUnit, steps=1)])
def test_running_statistics_of_each_application_are_those_of_its_input(unit: Any) -> None:
    """Oracle: mean and variance of every input a batch norm had; momentum 1 keeps those of the last batch."""
    recurrent = RecurrentUnit(Layers(), 5, 8, unit=unit)
    norms = {module: [] for module in recurrent.modules() if isinstance(module, nn.BatchNorm3d)}
    for norm, seen in norms.items():
        norm.momentum = 1.0
        norm.register_forward_hook(lambda _, inputs, __, seen=seen: seen.append(inputs[0]))
    output = recurrent(FEATURES)

    for norm, seen in norms.items():
        [features] = seen
        variance, mean = torch.var_mean(features, dim=(0, 2, 3, 4))
        torch.testing.assert_close((norm.running_mean, norm.running_var), (mean, variance))
    difference = recurrent.eval()(FEATURES) - output
    assert (difference.square().mean().sqrt() / output.std()).item() < 0.01  # 0.36 and 0.50 with a shared norm


def test_a_recurrent_network_segments_in_evaluation_as_in_training() -> None:
    """A toy, discs in noise: with a shared norm its Dice falls from 0.93 in training mode to 0.85 in evaluation."""
    torch.manual_seed(2)
    network = UNet(2, 1, 2, (4, 8), block=partial(ConvolutionBlock, unit=RecurrentUnit))
    optimizer, generator = torch.optim.Adam(network.parameters(), 1e-2), torch.Generator().manual_seed(1)
    for _ in range(100):
        image, label = _discs(8, generator)
        optimizer.zero_grad()
        functional.cross_entropy(network(image), label).backward()
        optimizer.step()
    image, label = _discs(64, generator)

    with torch.no_grad():
        scores = [_dice(network.eval()(image), label), _dice(network.train()(image), label)]

    assert min(scores) > 0.9
    assert scores[0] == pytest.approx(scores[1], abs=0.02)


def _discs(count: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    grid = torch.stack(torch.meshgrid(torch.arange(16.0), torch.arange(16.0), indexing="ij"))
    middles = 4 + 8 * torch.rand(count, 2, 1, 1, generator=generator)
    label = ((grid - middles).square().sum(dim=1) < 12).long()
    return label[:, None] + 0.5 * torch.randn(count, 1, 16, 16, generator=generator), label


def _dice(logits: Tensor, label: Tensor) -> float:
    prediction = logits.argmax(dim=1)
    return float(2 * (prediction * label).sum() / (prediction.sum() + label.sum()))


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
