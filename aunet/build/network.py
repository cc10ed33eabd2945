"""Construction of a configuration's network, and its weights from a checkpoint.

It loads neither Lightning and MONAI nor the readers of scans.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from aunet.build.objects import build_object
from aunet.config.draft import load_run_config
from aunet.config.schema import RunConfig, TargetNode
from aunet.errors import UserError
from aunet.networks import UNet
from aunet.networks.slice_by_slice import SliceBySlice
from aunet.runs.run_folder import checkpoint_of_run
from aunet.runs.tensor_files import UnreadableTensorsError, read_tensors


def build_network(config: RunConfig) -> nn.Module:
    """Return the network with fresh weights, a function of the seed.

    Raises:
        UserError: if it is not built of valid arguments, or for images of another number of axes than the patches.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        network = _build(config.model.network)
    _check_spatial_dims(config, network)
    return SliceBySlice(network) if config.dataset.spatial_dims == 2 else network


def _build(node: TargetNode) -> nn.Module:
    """Build the network; an error that begins with one of its arguments begins with the whole key instead."""
    try:
        return build_object(node)
    except UserError as error:
        if str(error).partition("=")[0] not in node:
            raise
        raise UserError(f"model.network.{error}") from None


def _check_spatial_dims(config: RunConfig, network: nn.Module) -> None:
    stated = network.layers.spatial_dims if isinstance(network, UNet) else config.model.network.get("spatial_dims")
    facts = config.dataset
    if stated in (None, facts.spatial_dims):
        return
    if facts.spatial_dims == 3:
        remedy = f"or train on slices with data.patch_size={[*facts.patch_size[:2], 1]}"
    else:
        remedy = "or give data.patch_size more than one voxel along its last axis"
    raise UserError(
        f"model.network.spatial_dims={stated}: data.patch_size={facts.patch_size} makes {facts.spatial_dims}D patches."
        f" Leave model.network.spatial_dims out, {remedy}."
    )


def load_network(folder: Path, trusted_modules: Sequence[str] = ()) -> nn.Module:
    """Return the network of a run with the weights of its best checkpoint, else of its last.

    Args:
        folder: the run's folder.
        trusted_modules: Python packages of your own that its configuration may name.

    Raises:
        UserError: if the folder is not one of a run, or its configuration or checkpoint cannot be used.
    """
    network = build_network(load_run_config(folder, trusted_modules))
    load_checkpoint_weights(network, checkpoint_of_run(folder))
    return network


def load_checkpoint_weights(network: nn.Module, checkpoint: Path) -> None:
    """Load the network's weights from a checkpoint, reading tensors only.

    Raises:
        UserError: if the file is damaged or holds the weights of another network.
    """
    try:
        state: Mapping[str, Any] = read_tensors(checkpoint)["state_dict"]
        weights = {key.removeprefix("network."): value for key, value in state.items() if key.startswith("network.")}
        network.load_state_dict(weights)
    except (UnreadableTensorsError, RuntimeError, KeyError, TypeError) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise UserError(
            f"{checkpoint}: does not hold the weights of this run's network ({reason}). It may be damaged, or"
            " config.yaml was changed; use another checkpoint or another run."
        ) from None
