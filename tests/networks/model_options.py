"""Every option of conf/model and of its parts, as small as it can be and still be itself."""

from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

from omegaconf import DictConfig
from torch import nn

from aunet.build.network import build_network
from aunet.config.composition import compose_config, resolve_config
from aunet.config.schema import RunConfig
from aunet.networks.slice_by_slice import unwrap

CONF = Path(__file__).resolve().parents[2] / "conf" / "model"
OPTIONS = sorted(file.stem for file in CONF.glob("*.yaml"))
# Those whose code is ours; the others begin with whose they are.
OURS = [option for option in OPTIONS if not option.startswith("monai_")]
# Of gate/, block/ and head/, each within the Attention U-Net.
PARTS = sorted(f"{file.parent.name}/{file.stem}" for file in CONF.glob("*/*.yaml"))

IN_CHANNELS, NUM_CLASSES = 2, 3
# The parts that the Attention U-Net has by itself.
_DEFAULT_PARTS = ("gate/additive", "block/plain", "head/multiscale")
# By what the sides must divide by: three different sides, or two where three would be slow.
_SIDES = {8: (8, 24, 16), 16: (16, 48, 32), 32: (32, 64, 32)}


def option_of_part(part: str) -> str:
    """Return the name that the option has, if there is one, whose network is the Attention U-Net with ``part``."""
    return "attention" if part in _DEFAULT_PARTS else f"attention_{part.rpartition('/')[2]}"


def settings_of(
    option: str, spatial_dims: int, in_channels: int = IN_CHANNELS, num_classes: int = NUM_CLASSES
) -> RunConfig:
    """Return the resolved settings of ``option`` (``attention_hard``, ``gate/hard``) on small isotropic data."""
    facts = {
        "in_channels": in_channels,
        "num_classes": num_classes,
        "class_names": ["background", "ball", "box", "rod"][:num_classes],
        "modality": "ct",
        "spatial_dims": spatial_dims,
        "spacing": [1.0] * spatial_dims,
        "patch_size": [32] * spatial_dims,
        "batch_size": 2,
    }
    return resolve_config(composed(option), facts)


@cache
def composed(option: str) -> DictConfig:
    """Return the configuration of a run with ``option``, as for ``settings_of``."""
    part, _, choice = option.rpartition("/")
    return compose_config([f"model={choice}"] if not part else ["model=attention", f"model/{part}={choice}"])


def small_network(settings: RunConfig, seed: int = 0, levels: int = 4, width: int = 4) -> nn.Module:
    """Return the network of ``settings``, built as a run builds it, with ``width`` channels or so at the finest level.

    Ours keep their ``levels`` finest levels, and the proportions of their widths where the paper's begin with 16.
    """
    network = settings.model.network
    smaller = _smaller_networks_of_others(width).get(network["_target_"], {})
    if network["_target_"] in ("aunet.networks.UNet", "aunet.networks.AttentionUNet"):
        smaller = {"channels": [channels * width // 16 for channels in network["channels"][:levels]]}
    model = replace(settings.model, network={**network, **smaller})
    # A network of two dimensions itself, not slice by slice.
    return unwrap(build_network(replace(settings, seed=seed, model=model)))


def _smaller_networks_of_others(width: int) -> dict[str, dict[str, Any]]:
    widths = [width, 2 * width, 3 * width, 4 * width]
    return {
        "monai.networks.nets.AttentionUnet": {"channels": widths, "strides": [2, 2, 2]},
        "monai.networks.nets.BasicUNet": {"features": [width, *widths, width]},
        "monai.networks.nets.DynUNet": {
            "filters": widths,
            "kernel_size": [3, 3, 3, 3],
            "strides": [1, 2, 2, 2],
            "upsample_kernel_size": [2, 2, 2],
        },
        "monai.networks.nets.SegResNet": {"init_filters": max(8, 2 * width)},
        "monai.networks.nets.SwinUNETR": {"feature_size": 12, "depths": [1, 1, 1, 1], "num_heads": [2, 2, 2, 2]},
        "monai.networks.nets.UNet": {"channels": widths, "strides": [2, 2, 2]},
    }


def image_size(settings: RunConfig) -> tuple[int, ...]:
    """Sides of an image that the small network of ``settings`` takes, not all alike."""
    return _SIDES[settings.model.size_multiple or 8][-settings.dataset.spatial_dims :]
