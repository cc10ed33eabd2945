"""Weights of the authors' released networks, by their own key names, for ours.

Source: ozan-oktay/Attention-Gated-Networks, classes ``unet_CT_dsv_3D``, ``unet_CT_single_att_dsv_3D`` and
``unet_CT_multi_att_dsv_3D``. Only tensors are read, never the authors' pickled objects.
"""

import re
from collections.abc import Mapping
from functools import partial

from torch import Tensor

from aunet.errors import UserError
from aunet.networks.attention_gate import GridGate
from aunet.networks.attention_unet import AttentionUNet
from aunet.networks.unet import UNet

# The released gate's mode -> what it says of ours.
_GATE_OF_MODE = {
    "concatenation": partial(GridGate),
    "concatenation_debug": partial(GridGate, nonlinearity="softplus"),
    "concatenation_residual": partial(GridGate, normalization="softmax"),
}

# Their name -> ours, for the parts whose place has a number.
_RENAMES: tuple[tuple[str, str], ...] = (
    (r"^conv(\d)\.conv(\d)\.(\d)\.", r"encoder.levels.{0}.units.{1}.\3."),
    (r"^center\.conv(\d)\.(\d)\.", r"encoder.levels.4.units.{0}.\2."),
    (r"^gating\.conv1\.(\d)\.", r"gating.0.\1."),
    (r"^up_concat(\d)\.conv\.conv(\d)\.(\d)\.", r"decoder.{0}.block.units.{1}.\3."),
    (r"^attentionblock(\d)\.gate_block_(\d)\.W\.", r"skips.{0}.gates.{1}.output."),
    (r"^attentionblock(\d)\.gate_block_(\d)\.", r"skips.{0}.gates.{1}."),
    (r"^attentionblock(\d)\.combine_gates\.", r"skips.{0}.combination."),
    (r"^dsv(\d)\.(?:dsv\.0\.)?", r"head.level_scores.{0}."),
    (r"^final\.", r"head.fusion."),
)


def network_for_official_weights(state_dict: Mapping[str, Tensor], mode: str = "concatenation") -> UNet:
    """Build ours of the variant and width that fits, with the weights loaded.

    Args:
        state_dict: the state dict of a released network.
        mode: the released gate's mode: "concatenation" (ReLU and sigmoid), "concatenation_debug" (softplus and sigmoid)
            or "concatenation_residual" (ReLU and softmax over space).
    """
    if mode not in _GATE_OF_MODE:
        raise UserError(f"mode={mode!r}: use one of {sorted(_GATE_OF_MODE)}.")
    _require(state_dict, "conv1.conv1.0.weight", "final.bias", "center.conv1.0.weight")
    channels = [
        state_dict[f"{name}.conv1.0.weight"].shape[0] for name in ("conv1", "conv2", "conv3", "conv4", "center")
    ]
    in_channels, num_classes = state_dict["conv1.conv1.0.weight"].shape[1], state_dict["final.bias"].shape[0]
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
    """Load the weights of a released network into ``network``; a key that does not fit is refused by its name."""
    renamed = {_our_name(key): key for key in state_dict}
    expected = network.state_dict()
    _refuse(sorted(renamed[name] for name in renamed.keys() - expected.keys()), "this network has no place for them")
    _refuse(sorted(expected.keys() - renamed.keys()), "the state dict lacks them (our names)")
    wrong = [key for name, key in renamed.items() if state_dict[key].shape != expected[name].shape]
    _refuse(sorted(wrong), "their shapes differ from this network's; use network_for_official_weights")
    network.load_state_dict({name: state_dict[key] for name, key in renamed.items()})


def _our_name(key: str) -> str:
    for pattern, replacement in _RENAMES:
        match = re.match(pattern, key)
        if match:
            places = [int(group) - 1 for group in match.groups()]  # they count from 1, lists from 0
            return match.expand(replacement.format(*places)) + key[match.end() :]
    return key


def _require(state_dict: Mapping[str, Tensor], *keys: str) -> None:
    _refuse([key for key in keys if key not in state_dict], "a released U-Net has them")


def _refuse(keys: list[str], reason: str) -> None:
    if keys:
        shown = ", ".join(keys[:5]) + (f" and {len(keys) - 5} more" if len(keys) > 5 else "")
        raise UserError(f"official weights: {shown}: {reason}.")
