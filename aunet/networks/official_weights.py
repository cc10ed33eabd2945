"""Weights of the authors' released networks, under their own key names, loaded into ours.

Source: ozan-oktay/Attention-Gated-Networks, classes ``unet_CT_dsv_3D``, ``unet_CT_single_att_dsv_3D`` and
``unet_CT_multi_att_dsv_3D``. Only tensors are read, never the authors' pickled objects.
"""

import re
from collections.abc import Mapping
from functools import partial

import torch
from torch import Tensor

from aunet.errors import UserError
from aunet.messages import shortened
from aunet.networks.attention_unet import AttentionUNet
from aunet.networks.gates import GridGate
from aunet.networks.unet import UNet

# The released gate's mode -> our gate.
_GATE_OF_MODE = {
    "concatenation": partial(GridGate),
    "concatenation_debug": partial(GridGate, nonlinearity="softplus"),
    "concatenation_residual": partial(GridGate, normalization="softmax"),
}

# Our name -> theirs, by the first pattern that matches; our numbers start at 0, theirs at 1.
_RENAMES: tuple[tuple[str, str], ...] = (
    (r"encoder\.levels\.4\.units\.(\d)\.", "center.conv{0}."),
    (r"encoder\.levels\.(\d)\.units\.(\d)\.", "conv{0}.conv{1}."),
    (r"gating\.0\.", "gating.conv1."),
    (r"decoder\.(\d)\.block\.units\.(\d)\.", "up_concat{0}.conv.conv{1}."),
    (r"skips\.(\d)\.gates\.(\d)\.output\.", "attentionblock{0}.gate_block_{1}.W."),
    (r"skips\.(\d)\.gates\.(\d)\.", "attentionblock{0}.gate_block_{1}."),
    (r"skips\.(\d)\.combination\.", "attentionblock{0}.combine_gates."),
    (r"head\.level_scores\.0\.", "dsv1."),
    (r"head\.level_scores\.(\d)\.", "dsv{0}.dsv.0."),
    (r"head\.fusion\.", "final."),
)
# The first convolution of each level, whose output channels are the level's width.
_WIDTHS = tuple(f"{level}.conv1.0.weight" for level in ("conv1", "conv2", "conv3", "conv4", "center"))


def network_for_official_weights(state_dict: Mapping[str, Tensor], mode: str = "concatenation") -> UNet:
    """Build our network of the matching variant and width, with the weights loaded.

    Args:
        state_dict: the state dict of a released network.
        mode: the released gate's mode: "concatenation" (ReLU and sigmoid), "concatenation_debug" (softplus and sigmoid)
            or "concatenation_residual" (ReLU and softmax over space).
    """
    if mode not in _GATE_OF_MODE:
        raise UserError(f"mode={mode!r}: use one of {sorted(_GATE_OF_MODE)}.")
    _refuse([key for key in (*_WIDTHS, "final.bias") if key not in state_dict], "a released U-Net has them")
    channels = [state_dict[key].shape[0] for key in _WIDTHS]
    in_channels, num_classes = state_dict[_WIDTHS[0]].shape[1], state_dict["final.bias"].shape[0]
    network = UNet(3, in_channels, num_classes, channels)
    if any(key.startswith("attentionblock") for key in state_dict):
        network = AttentionUNet(
            3,
            in_channels,
            num_classes,
            channels,
            gate=_GATE_OF_MODE[mode],
            num_gates=1 + any(".gate_block_2." in key for key in state_dict),
            has_gating_convolution="gating.conv1.0.weight" in state_dict,
        )
    load_official_weights(network, state_dict)
    return network


def load_official_weights(network: UNet, state_dict: Mapping[str, Tensor]) -> None:
    """Load the weights of a released network into ``network``; raise UserError naming keys that do not fit.

    Counters of batches that batch norms lack, as those of old versions of torch do, become 0, as torch reads them.
    """
    expected = {_released_name(name): (name, tensor.shape) for name, tensor in network.state_dict().items()}
    counters = [key for key in expected if key.endswith(".num_batches_tracked")]
    state_dict = {**dict.fromkeys(counters, torch.tensor(0)), **state_dict}
    _refuse(sorted(state_dict.keys() - expected.keys()), "this network has no place for them")
    _refuse(sorted(expected.keys() - state_dict.keys()), "the state dict lacks them")
    wrong = [key for key, (_, shape) in expected.items() if state_dict[key].shape != shape]
    _refuse(sorted(wrong), "their shapes differ from this network's; use network_for_official_weights")
    network.load_state_dict({name: state_dict[key] for key, (name, _) in expected.items()})


def _released_name(name: str) -> str:
    for pattern, replacement in _RENAMES:
        match = re.match(pattern, name)
        if match:
            return replacement.format(*(int(group) + 1 for group in match.groups())) + name[match.end() :]
    return name


def _refuse(keys: list[str], reason: str) -> None:
    if keys:
        raise UserError(f"official weights: {shortened(keys)}: {reason}.")
