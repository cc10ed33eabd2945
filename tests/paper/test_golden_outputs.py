"""The released networks' own weights in our networks give the released networks' own outputs."""

from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file

from aunet.errors import UserError
from aunet.networks import UNet, load_official_weights, network_for_official_weights

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
    weights = {key.removeprefix("weights."): value for key, value in tensors.items() if key.startswith("weights.")}
    network = network_for_official_weights(weights, mode).eval()

    with torch.no_grad():
        logits, coefficients = network.forward_with_attention(tensors["input"])

    torch.testing.assert_close(logits, tensors["logits"], rtol=0, atol=1e-4)
    expected = {key: value for key, value in tensors.items() if key.startswith("coefficients.")}
    assert len(coefficients) == len(expected)
    for level, values in coefficients.items():
        torch.testing.assert_close(values, expected[f"coefficients.attentionblock{level}"], rtol=0, atol=1e-4)


def test_a_key_that_does_not_fit_is_named() -> None:
    with pytest.raises(UserError, match=r"conv9\.weight"):
        load_official_weights(UNet(), {"conv9.weight": torch.zeros(1)})


def test_an_unknown_gate_mode_is_refused() -> None:
    with pytest.raises(UserError, match="concatenation"):
        network_for_official_weights({}, mode="additive")


def test_a_state_dict_of_another_network_is_refused() -> None:
    with pytest.raises(UserError, match=r"conv1\.conv1\.0\.weight"):
        network_for_official_weights({"layer.weight": torch.zeros(1)})
