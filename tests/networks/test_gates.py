"""The laws of an attention gate, stated at its own resolution."""

import logging
import math
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from aunet.errors import UserError
from aunet.networks import AttentionUNet, GridGate, HardGate, Layers, SeveralGates

KINDS: dict[str, Any] = {
    "additive": GridGate,
    "softplus": partial(GridGate, nonlinearity="softplus"),
    "multiplicative": partial(GridGate, combination="multiplicative"),
    "per channel": partial(GridGate, is_per_channel=True),
    "hard, straight-through": HardGate,
    "hard, score function": partial(HardGate, estimator="score_function"),
}


def _without_output_transform(kind: Any) -> Any:
    return kind(Layers(), skip_channels=4, gating_channels=8, has_output_transform=False)


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_coefficients_of_one_leave_the_skip_unchanged_before_the_output_transform(kind: Any) -> None:
    gate = _without_output_transform(kind)
    with torch.no_grad():
        gate.psi.bias.fill_(1e4)
    skip = torch.randn(2, 4, 8, 6, 4)

    gated, coefficients = gate(skip, torch.randn(2, 8, 4, 3, 2))

    assert torch.equal(coefficients, torch.ones(2, coefficients.shape[1], 8, 6, 4))
    assert torch.equal(gated, skip)


def test_a_softmax_over_a_single_place_leaves_the_skip_unchanged_before_the_output_transform() -> None:
    gate = _without_output_transform(partial(GridGate, normalization="softmax"))
    skip = torch.randn(2, 4, 2, 2, 2)

    gated, _ = gate(skip, torch.randn(2, 8, 1, 1, 1))

    assert torch.equal(gated, skip)


@pytest.mark.parametrize(
    ("kind", "score"),
    [
        (GridGate, 0.25 * max(0.0, 4 + 5) - 2),
        (partial(GridGate, nonlinearity="softplus"), 0.25 * math.log(1 + math.exp(4 + 5)) - 2),
        (partial(GridGate, combination="multiplicative"), 0.25 * (4 * 5) - 2),
    ],
    ids=["additive", "softplus", "multiplicative"],
)
def test_one_voxel_computed_by_hand(kind: Any, score: float) -> None:
    gate = kind(Layers(), skip_channels=1, gating_channels=1)
    with torch.no_grad():
        gate.theta.weight.fill_(0.5)  # eight voxels of value 1 give 4
        gate.phi.weight.fill_(2.0)
        gate.phi.bias.fill_(-1.0)  # 2 * 3 - 1 = 5
        gate.psi.weight.fill_(0.25)
        gate.psi.bias.fill_(-2.0)

    scores = gate.scores(torch.ones(1, 1, 2, 2, 2), torch.full((1, 1, 1, 1, 1), 3.0))

    assert scores.item() == pytest.approx(score, abs=1e-6)
    assert gate.coefficients(scores).item() == pytest.approx(1 / (1 + math.exp(-score)), abs=1e-6)


def test_multiplicative_scores_with_psi_of_ones_are_dot_products() -> None:
    """Oracle: Luong et al. 2015, the dot product of the two projections at each place."""
    gate = GridGate(Layers(), skip_channels=4, gating_channels=8, combination="multiplicative")
    with torch.no_grad():
        gate.psi.weight.fill_(1.0)
        gate.psi.bias.zero_()
    skip, gating = torch.randn(2, 4, 8, 6, 4), torch.randn(2, 8, 4, 3, 2)

    dot_products = torch.einsum("bcijk,bcijk->bijk", gate.theta(skip), gate.phi(gating))

    torch.testing.assert_close(gate.scores(skip, gating)[:, 0], dot_products)


def test_softmax_coefficients_sum_to_one_over_space_at_the_gates_resolution() -> None:
    gate = GridGate(Layers(), skip_channels=4, gating_channels=8, normalization="softmax")

    coefficients = gate.coefficients(gate.scores(torch.randn(3, 4, 8, 8, 4), torch.randn(3, 8, 4, 4, 2)))

    torch.testing.assert_close(coefficients.sum(dim=(2, 3, 4)), torch.ones(3, 1))


def test_a_map_per_channel_weighs_that_channel_alone() -> None:
    gate = _without_output_transform(KINDS["per channel"])
    with torch.no_grad():
        gate.psi.bias.copy_(torch.tensor([1e4, -1e4, 1e4, -1e4]))
    skip = torch.randn(2, 4, 8, 6, 4)

    gated, coefficients = gate(skip, torch.randn(2, 8, 4, 3, 2))

    assert coefficients.shape == skip.shape
    assert torch.equal(gated[:, ::2], skip[:, ::2])
    assert torch.equal(gated[:, 1::2], torch.zeros(2, 2, 8, 6, 4))


def test_the_gate_is_the_papers_formula_written_out() -> None:
    """Oracle: the additive gate in functional form, with the resizing spelled out."""
    gate = GridGate(Layers(), skip_channels=4, gating_channels=6).eval()
    skip, gating = torch.randn(2, 4, 8, 8, 4), torch.randn(2, 6, 2, 2, 1)  # the gating signal is coarser than theta
    theta = functional.conv3d(skip, gate.theta.weight, stride=2)
    phi = functional.conv3d(gating, gate.phi.weight, gate.phi.bias)
    phi = functional.interpolate(phi, size=theta.shape[2:], mode="trilinear")
    alpha = torch.sigmoid(functional.conv3d(functional.relu(theta + phi), gate.psi.weight, gate.psi.bias))
    alpha = functional.interpolate(alpha, size=skip.shape[2:], mode="trilinear")

    gated, coefficients = gate(skip, gating)

    torch.testing.assert_close(coefficients, alpha)
    torch.testing.assert_close(gated, gate.output(alpha * skip))


def test_a_global_gating_vector_says_the_same_at_every_place() -> None:
    gate = GridGate(Layers(), skip_channels=4, gating_channels=8)
    skip, vector = torch.randn(2, 4, 8, 6, 4), torch.randn(2, 8, 1, 1, 1)

    torch.testing.assert_close(gate.scores(skip, vector), gate.scores(skip, vector.expand(-1, -1, 4, 3, 2)))


@pytest.mark.parametrize(("is_pass_through_start", "messages"), [(True, 1), (None, 0), (False, 0)])
def test_a_pass_through_start_asked_of_softmax_has_no_effect_and_one_line_says_so(
    is_pass_through_start: bool | None, messages: int, caplog: pytest.LogCaptureFixture
) -> None:
    def psi_of(**options: Any) -> dict[str, Tensor]:
        torch.manual_seed(0)
        gate = partial(GridGate, normalization="softmax", **options)
        return AttentionUNet(2, channels=(4, 8, 8, 8), gate=gate).state_dict()

    with caplog.at_level(logging.INFO, logger="aunet"):
        weights = psi_of(is_pass_through_start=is_pass_through_start)

    assert all(torch.equal(value, other) for value, other in zip(weights.values(), psi_of().values(), strict=True))
    assert len([message for message in caplog.messages if "is_pass_through_start=true" in message]) == messages


@pytest.mark.parametrize(
    ("gate", "setting"),
    [
        (partial(GridGate, combination="multiplicative", nonlinearity="softplus"), "nonlinearity=softplus"),
        (partial(HardGate, estimator="score_function", temperature=0.5), "temperature=0.5"),
        (partial(HardGate, num_draws=8), "num_draws=8"),
    ],
)
def test_a_setting_of_the_gate_that_changes_nothing_is_named_once(
    gate: Any, setting: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, logger="aunet"):
        AttentionUNet(2, channels=(4, 8, 8, 8), gate=gate)
    [message] = caplog.messages
    assert message.startswith(f"Without effect: model.network.gate.{setting}, as ")


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_the_level_of_the_coefficients_has_no_effect_as_a_norm_follows(kind: Any) -> None:
    """All coefficients times 0.3 leave a gate's output in training as it is: only contrasts within a map matter."""
    torch.manual_seed(0)
    gate = kind(Layers(), skip_channels=4, gating_channels=8, is_pass_through_start=False).double()
    gate.output[1].eps = 1e-20  # the constant that keeps it from dividing by 0 is all that scaling can change
    draw, skip, gating = torch.get_rng_state(), torch.randn(2, 4, 8, 6, 4).double(), torch.randn(2, 8, 4, 3, 2).double()
    torch.set_rng_state(draw)
    output, coefficients = gate(skip, gating)

    resize = gate.resize
    gate.resize = lambda coefficients, skip: 0.3 * resize(coefficients, skip)
    torch.set_rng_state(draw)
    scaled_output, scaled = gate(skip, gating)

    torch.testing.assert_close(scaled, 0.3 * coefficients)
    torch.testing.assert_close(scaled_output, output)


def test_several_gates_give_a_map_each() -> None:
    gate = SeveralGates(Layers(2), skip_channels=4, gating_channels=8, num_gates=3)

    gated, coefficients = gate(torch.randn(2, 4, 8, 6), torch.randn(2, 8, 4, 3))

    assert gated.shape == (2, 4, 8, 6)
    assert coefficients.shape == (2, 3, 8, 6)


def test_coefficients_are_float32_under_autocast() -> None:
    gate = GridGate(Layers(), skip_channels=4, gating_channels=8)
    with torch.autocast("cpu", torch.bfloat16):
        _, coefficients = gate(torch.randn(1, 4, 4, 4, 4), torch.randn(1, 8, 2, 2, 2))
    assert coefficients.dtype == torch.float32


@pytest.mark.parametrize(
    ("argument", "remedy"),
    [
        ({"combination": "sum"}, "'additive' or 'multiplicative'"),
        ({"nonlinearity": "tanh"}, "'relu' or 'softplus'"),
        ({"normalization": "relu"}, "'sigmoid' or 'softmax'"),
    ],
)
def test_an_unknown_way_of_gating_is_refused(argument: dict[str, Any], remedy: str) -> None:
    with pytest.raises(UserError, match=remedy):
        GridGate(Layers(), 4, 8, **argument)


class WhatGates:
    """Notes the gating signal of each gated level and what the network made on the way to it."""

    def __init__(self, **options: Any) -> None:
        self.network = AttentionUNet(num_classes=3, channels=(4, 8, 12, 16), **options).eval()
        self.gating: dict[int, Tensor] = {}
        self.decoded: dict[int, Tensor] = {}
        for level, skip in enumerate(self.network.skips, start=1):
            skip.register_forward_hook(partial(self._note_gating, level))
        for level, part in enumerate(self.network.decoder, start=1):
            part.register_forward_hook(partial(self._note_decoded, level))
        image = torch.randn(1, 1, 16, 16, 8)
        self.network(image)
        self.bottleneck: Tensor = self.network.encoder(image)[-1]

    def _note_gating(self, level: int, module: nn.Module, inputs: tuple[Tensor, ...], output: object) -> None:
        self.gating[level] = inputs[1]

    def _note_decoded(self, level: int, module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        self.decoded[level] = output


def test_the_decoder_gates_each_level_by_the_next_coarser_one() -> None:
    seen = WhatGates()
    assert torch.equal(seen.gating[3], seen.bottleneck)
    assert torch.equal(seen.gating[2], seen.decoded[3])


def test_the_bottleneck_can_gate_every_level() -> None:
    seen = WhatGates(gating_source="bottleneck")
    assert torch.equal(seen.gating[3], seen.bottleneck)
    assert torch.equal(seen.gating[2], seen.bottleneck)


def test_global_gating_is_the_mean_of_the_bottleneck_over_space() -> None:
    seen = WhatGates(gating_source="global")
    mean = seen.bottleneck.flatten(2).mean(dim=2)[..., None, None, None]
    torch.testing.assert_close(seen.gating[2], mean)
    torch.testing.assert_close(seen.gating[3], mean)


def test_the_gating_convolution_comes_between_the_bottleneck_and_the_gate() -> None:
    seen = WhatGates(has_gating_convolution=True)
    torch.testing.assert_close(seen.gating[3], seen.network.gating(seen.bottleneck))
    assert not torch.equal(seen.gating[3], seen.bottleneck)


@pytest.mark.parametrize("option", ["combination", "normalization", "nonlinearity"])
def test_an_option_that_does_not_exist_is_named(option: str) -> None:
    with pytest.raises(UserError, match=f"{option}='other'"):
        GridGate(Layers(), 4, 8, **{option: "other"})


def test_a_multiplicative_gate_by_itself_has_no_setting_without_effect() -> None:
    assert GridGate(Layers(), 4, 8, combination="multiplicative").without_effect == []
