"""The released networks' own weights in our networks give the released networks' own outputs."""

import re
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file
from torch import Tensor
from torch.nn import functional

from aunet.errors import UserError
from aunet.networks import AttentionUNet, UNet, load_official_weights, network_for_official_weights

NAMES = ("unet", "attention_single_gate", "attention_multi_gate", "attention_multi_gate_softmax")


@pytest.fixture
def golden_folder(shared_data: Path) -> Path:
    folder = shared_data.parent / "golden"
    if not folder.is_dir():
        pytest.skip("the golden tensors of the released networks are not beside this checkout (../shared/golden)")
    return folder


@pytest.mark.parametrize("name", NAMES)
def test_released_weights_reproduce_released_logits_and_coefficients(golden_folder: Path, name: str) -> None:
    path = golden_folder / f"{name}.safetensors"
    tensors = load_file(path)
    with safe_open(path, framework="pt") as file:
        mode = file.metadata()["mode"] or "concatenation"
    network = network_for_official_weights(_weights(tensors), mode).eval()

    with torch.no_grad():
        logits, coefficients = network.forward_with_attention(tensors["input"])

    torch.testing.assert_close(logits, tensors["logits"], rtol=0, atol=1e-4)
    expected = {key: value for key, value in tensors.items() if key.startswith("coefficients.")}
    assert len(coefficients) == len(expected)
    for level, values in coefficients.items():
        torch.testing.assert_close(values, expected[f"coefficients.attentionblock{level}"], rtol=0, atol=1e-4)


def test_the_debug_mode_is_the_released_formula_with_softplus(golden_folder: Path) -> None:
    """No golden file was made in this mode: the oracle is the gate's formula on the weights of another file."""
    weights = _weights(load_file(golden_folder / "attention_single_gate.safetensors"))
    network = network_for_official_weights(weights, "concatenation_debug").eval()
    assert isinstance(network, AttentionUNet)
    gate = network.skips[1].gates[0]
    skip, gating = torch.randn(1, 8, 8, 4, 4), torch.randn(1, 16, 4, 2, 2)

    released = {
        key: weights[f"attentionblock2.gate_block_1.{key}"] for key in ("theta.weight", "phi.weight", "phi.bias")
    }
    psi = [weights[f"attentionblock2.gate_block_1.psi.{key}"] for key in ("weight", "bias")]
    theta = functional.conv3d(skip, released["theta.weight"], stride=2)
    phi = functional.conv3d(gating, released["phi.weight"], released["phi.bias"])
    alpha = torch.sigmoid(functional.conv3d(functional.softplus(theta + phi), *psi))

    _, coefficients = gate(skip, gating)
    torch.testing.assert_close(coefficients, functional.interpolate(alpha, scale_factor=2, mode="trilinear"))


@pytest.fixture(params=["unet", "attention_multi_gate"])
def released_weights(request: pytest.FixtureRequest, golden_folder: Path) -> dict[str, Tensor]:
    return _weights(load_file(golden_folder / f"{request.param}.safetensors"))


@pytest.mark.parametrize("key", ["conv2.conv1.0.weight", "center.conv2.1.running_var", "dsv1.bias", "dsv3.dsv.0.bias"])
def test_a_missing_key_is_named(released_weights: dict[str, Tensor], key: str) -> None:
    del released_weights[key]
    with pytest.raises(UserError, match=rf"official weights: {re.escape(key)}: "):
        network_for_official_weights(released_weights)


def test_weights_saved_before_batch_norms_counted_batches_are_read(released_weights: dict[str, Tensor]) -> None:
    older = {key: value for key, value in released_weights.items() if not key.endswith("num_batches_tracked")}
    assert len(older) < len(released_weights)
    expected, found = map(network_for_official_weights, (released_weights, older))
    for name, value in found.state_dict().items():
        assert torch.equal(value, torch.tensor(0) if name.endswith("tracked") else expected.state_dict()[name])


@pytest.mark.parametrize("key", ["up_concat3.conv.conv2.0.weight", "dsv4.dsv.0.weight", "final.weight"])
def test_a_key_of_the_wrong_shape_is_named(released_weights: dict[str, Tensor], key: str) -> None:
    released_weights[key] = torch.zeros(2, 3)
    with pytest.raises(UserError, match=rf"official weights: {re.escape(key)}: their shapes differ"):
        network_for_official_weights(released_weights)


@pytest.mark.parametrize("key", ["conv9.weight", "dsv3.weight", "head.fusion.weight", "conv1.conv3.0.weight"])
def test_a_surplus_key_is_named(released_weights: dict[str, Tensor], key: str) -> None:
    released_weights[key] = torch.zeros(1)
    with pytest.raises(UserError, match=rf"official weights: {re.escape(key)}: this network has no place"):
        network_for_official_weights(released_weights)


def test_weights_of_another_width_are_refused(golden_folder: Path) -> None:
    weights = _weights(load_file(golden_folder / "unet.safetensors"))
    with pytest.raises(UserError, match=r"center\.conv1\.0\.bias.* and \d+ more: their shapes differ"):
        load_official_weights(UNet(), weights)


def test_an_unknown_gate_mode_is_refused() -> None:
    with pytest.raises(UserError, match="concatenation"):
        network_for_official_weights({}, mode="additive")


def test_a_state_dict_of_another_network_is_refused() -> None:
    with pytest.raises(UserError, match=r"conv1\.conv1\.0\.weight"):
        network_for_official_weights({"layer.weight": torch.zeros(1)})


def _weights(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {key.removeprefix("weights."): value for key, value in tensors.items() if key.startswith("weights.")}
