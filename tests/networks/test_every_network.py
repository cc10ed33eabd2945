"""Properties of every option of conf/model and of its parts; a new YAML file is picked up by itself."""

import io
from collections.abc import Collection
from typing import Any

import pytest
import torch
from omegaconf import OmegaConf
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase

from aunet.config.schema import RunConfig
from aunet.networks import GridGate
from aunet.networks.processor_convolutions import ProcessorConvolutions
from aunet.networks.protocols import AttentionNetwork
from tests.networks.model_options import (
    IN_CHANNELS,
    NUM_CLASSES,
    OPTIONS,
    PARTS,
    composed,
    image_size,
    option_of_part,
    settings_of,
    small_network,
)
from tests.networks.training_loss import training_loss

# In double precision gradients of inert parameters stay below, as rounding errors, all others far above.
_ROUNDING = 2e-8


# Parts whose network is that of an option, as test_a_part_alone_gives_the_network_of_its_option shows.
SAME_AS = {part: option for part in PARTS if (option := option_of_part(part)) in OPTIONS}


# In two dimensions one of each kind, as blocks, gates and heads have the code of three; the others in the slow tier.
PLANAR = {
    "unet",
    "attention",
    "attention_deep_supervision",
    "attention_hard",
    "attention_official",
    "attention_recurrent_inception",
    "attention_softmax",
    *(option for option in OPTIONS if option.startswith("monai_")),
}


# A transformer cannot be made small in three dimensions; the one of two has its code.
LARGE = {("monai_swin_unetr", 3)}


def _parameters(in_three_dimensions: Collection[str]) -> pytest.MarkDecorator:
    """Return every option and part as a parameter; of three dimensions the named ones, the others in the slow tier."""

    def parameter(option: str, dims: int) -> Any:
        is_quick = option in (PLANAR if dims == 2 else in_three_dimensions) and option not in SAME_AS
        marks = [] if is_quick and (option, dims) not in LARGE else [pytest.mark.slow]
        return pytest.param((option, dims), id=f"{option}-{dims}D", marks=marks)

    options = [(option, dims) for option in OPTIONS for dims in (2, 3)] + [(part, 3) for part in PARTS]
    return pytest.mark.parametrize("settings", [parameter(*one) for one in options], indirect=True)


# Gradients depend on every part of a network.
of_every_network = _parameters({*OPTIONS, *PARTS})
# The rest depends on the kinds of layers, which those of two dimensions have too.
of_every_kind = _parameters({"unet", "attention"})


@pytest.fixture(scope="module")
def settings(request: pytest.FixtureRequest) -> RunConfig:
    return settings_of(*request.param)


@pytest.fixture
def network(settings: RunConfig) -> nn.Module:
    network = small_network(settings)
    torch.manual_seed(0)  # hard gates draw in training: with other draws a gate may be closed everywhere
    return network


@pytest.fixture
def image(settings: RunConfig) -> Tensor:
    return torch.randn(2, IN_CHANNELS, *image_size(settings), generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize(("part", "option"), SAME_AS.items())
def test_a_part_alone_gives_the_network_of_its_option(part: str, option: str) -> None:
    of_part, of_option = (OmegaConf.to_container(composed(name).model) for name in (part, option))
    assert isinstance(of_part, dict)
    assert of_part | {"name": option} == of_option


@of_every_network
def test_gradients_of_the_training_loss_reach_every_parameter_that_is_not_inert(
    network: nn.Module, image: Tensor
) -> None:
    label = torch.randint(0, NUM_CLASSES, (2, 1, *image.shape[2:]), dtype=torch.uint8)
    inert = _softmax_biases(network) | _shifts_of_gates(network) | _biases_before_a_norm(network, image)

    if inert:
        network, image = network.double(), image.double()
    training_loss(network.train(), image, label).backward()

    gradients = {name: parameter.grad for name, parameter in network.named_parameters()}
    untouched = {name for name, gradient in gradients.items() if gradient is None or gradient.abs().max() < _ROUNDING}
    assert untouched == inert


@of_every_kind
def test_a_training_step_counts_once_in_the_statistics_of_every_batch_norm(network: nn.Module, image: Tensor) -> None:
    label = torch.zeros(2, 1, *image.shape[2:], dtype=torch.uint8)
    with torch.no_grad():
        training_loss(network.train(), image, label)
    counts = {name: int(value) for name, value in network.named_buffers() if name.endswith("num_batches_tracked")}
    assert {name: count for name, count in counts.items() if count != 1} == {}


@of_every_kind
def test_logits_have_the_size_of_the_image_and_evaluation_is_deterministic(network: nn.Module, image: Tensor) -> None:
    network.eval()
    with torch.no_grad():
        logits, again = network(image), network(image)
    assert logits.shape == (2, NUM_CLASSES, *image.shape[2:])
    assert torch.equal(logits, again)


@of_every_kind
def test_weights_saved_and_loaded_as_tensors_only_give_the_same_logits(
    network: nn.Module, settings: RunConfig, image: Tensor
) -> None:
    other, file = small_network(settings, seed=1), io.BytesIO()
    torch.save(network.state_dict(), file)
    file.seek(0)
    other.load_state_dict(torch.load(file, weights_only=True))
    with torch.no_grad():
        assert torch.equal(network.eval()(image), other.eval()(image))


@of_every_kind
def test_bf16_is_close_to_float32(network: nn.Module, image: Tensor) -> None:
    network.eval()
    with torch.no_grad():
        exact = network(image)
        with torch.autocast("cpu", torch.bfloat16), ProcessorConvolutions():
            rounded = network(image).float()
    assert (rounded - exact).norm() / exact.norm() < 0.05


@of_every_kind
def test_coefficients_are_returned_without_changing_the_logits(
    network: Any, settings: RunConfig, image: Tensor
) -> None:
    """A map for each gate, and for each channel where the option says so, in [0, 1] at the size of the skip."""
    if not isinstance(network, AttentionNetwork):
        pytest.skip("this network keeps its coefficients to itself, or has none")
    with torch.no_grad():
        logits, coefficients = network.eval().forward_with_attention(image)
        assert torch.equal(logits, network(image))
    assert {level: values.shape for level, values in coefficients.items()} == _stated_shapes(settings, network, image)
    assert all(values.min() >= 0 and values.max() <= 1 for values in coefficients.values())


def _stated_shapes(settings: RunConfig, network: Any, image: Tensor) -> dict[int, tuple[int, ...]]:
    """Shapes of the coefficients by what the configuration says."""
    stated = settings.model.network
    if "gate" not in stated:
        return {}
    widths = [width // 4 for width in stated["channels"][:4]]
    shapes: dict[int, tuple[int, ...]] = {}
    for level in stated["gated_levels"] or range(2, len(widths)):
        maps = stated["num_gates"] * (widths[level - 1] if stated["gate"].get("is_per_channel") else 1)
        shapes[level] = (len(image), maps, *(length // 2 ** (level - 1) for length in image.shape[2:]))
    return shapes


def _softmax_biases(network: nn.Module) -> set[str]:
    """Return the names of biases that softmax ignores, as it does not change when all scores rise alike."""
    gates = [(name, gate) for name, gate in network.named_modules() if isinstance(gate, GridGate)]
    return {f"{name}.psi.bias" for name, gate in gates if gate.is_normalized_over_space}


def _shifts_of_gates(network: nn.Module) -> set[str]:
    """Return the names of biases that only shift a channel of one gate's output, which the next norm removes."""
    gates = [(name, gate) for name, gate in network.named_modules() if isinstance(gate, GridGate)]
    return {f"{name}.output.1.bias" for name, gate in gates if isinstance(gate.output, nn.Sequential)}


def _biases_before_a_norm(network: nn.Module, image: Tensor) -> set[str]:
    """Batch and instance norm take out the mean of each channel, and with it the bias of the convolution before."""
    names: set[str] = set()
    outputs: dict[int, tuple[str, Tensor]] = {}

    def note(name: str) -> Any:
        def hook(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
            if isinstance(module, _NormBase) and id(inputs[0]) in outputs:
                names.add(outputs[id(inputs[0])][0])
            elif getattr(module, "bias", None) is not None and not isinstance(module, _NormBase):
                outputs[id(output)] = f"{name}.bias", output  # held, so that its id is not given to another

        return hook

    handles = [module.register_forward_hook(note(name)) for name, module in network.named_modules()]
    network.eval()(image)
    for handle in handles:
        handle.remove()
    return names
