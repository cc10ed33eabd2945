"""Construction of the inferer with which validation, test and ``aunet predict`` predict whole cases."""

import logging
from dataclasses import replace
from functools import partial

import torch
from torch import nn

from aunet.config.schema import DatasetFacts, ModelConfig, RunConfig
from aunet.errors import UserError
from aunet.inference.inferers import AutomaticInferer, Inferer, WholeVolume
from aunet.inference.memory import available_bytes, bytes_per_voxel
from aunet.inference.sliding_window import device_of
from aunet.inference.tiles import Tiled
from aunet.inference.window_layout import Window
from aunet.networks import UNet
from aunet.networks.inspection.receptive_field import reach_of_cuts
from aunet.networks.protocols import SizedNetwork
from aunet.networks.slice_by_slice import unwrap

_log = logging.getLogger(__name__)
# Of a network that does not state its own: five levels, each half as fine as the one before, are usual.
_USUAL_SIZE_MULTIPLE = 16
# Of a pass during training: what a laptop with 8 GiB can spare beside the training itself.
_VALIDATION_GIB = 2.0


def build_inferer(config: RunConfig, network: nn.Module, autocast_type: torch.dtype | None = None) -> Inferer:
    """Return the inferer of ``inference.inferer``.

    Raises:
        UserError: if the patch size is not a multiple that ``network`` accepts, with the next larger one that is, or if
            tiles are requested of a network that averages over all of its input.
    """
    inference = config.inference
    patch_size, multiple = tuple(config.dataset.patch_size), _size_multiple(config.dataset, config.model, network)
    _check_tile_size(inference.tile_size)
    if inference.inferer == "whole_volume":
        if not _is_local(network):
            _log.warning(
                "inference.inferer=whole_volume: model=%s averages over all of its input, which is a patch in training"
                " and the whole scan now. inference.inferer=sliding_window predicts patches.",
                config.model.name,
            )
        return WholeVolume(patch_size, multiple)
    if inference.inferer == "sliding_window" or (inference.inferer == "auto" and not _is_local(network)):
        if inference.inferer == "auto":
            _log.info("Inferer: sliding windows, as model=%s may average over all of its input.", config.model.name)
        one_pass = inference.one_pass_voxels if _is_local(network) else 0
        return Window(patch_size, inference.overlap, multiple, inference.window_batch, one_pass)
    if not _is_local(network):
        raise UserError(
            f"inference.inferer=tiled: model={config.model.name} may average over all of its input (instance or group"
            " norm, softmax over space, global gating, or layers of others), so tiles would not add up to the whole."
            " Set inference.inferer=sliding_window or auto."
        )
    channels = config.dataset.in_channels
    tiled = Tiled(
        patch_size,
        multiple,
        partial(reach_of_cuts, network, channels, multiple),
        partial(_most_voxels, network, channels, multiple, autocast_type, inference.memory),
        inference.halo,
        inference.tile_size,
        inference.window_batch,
    )
    return AutomaticInferer(tiled) if inference.inferer == "auto" else tiled


def build_validation_inferer(config: RunConfig, network: nn.Module, autocast_type: torch.dtype | None) -> Inferer:
    """Return the inferer for a training, whose memory is a setting: equal seeds validate alike whatever else runs."""
    memory = _VALIDATION_GIB if config.inference.memory is None else config.inference.memory
    return build_inferer(replace(config, inference=replace(config.inference, memory=memory)), network, autocast_type)


def _size_multiple(dataset: DatasetFacts, model: ModelConfig, network: nn.Module) -> tuple[int, ...]:
    """Return the multiples that ``network`` takes; raise UserError if the patch size is none of them."""
    patch_size = dataset.patch_size
    stated = model.size_multiple or _USUAL_SIZE_MULTIPLE
    multiple = network.size_multiple if isinstance(network, SizedNetwork) else (stated,) * len(patch_size)
    if dataset.spatial_dims == 2:
        multiple = (*multiple[:2], 1)
    if any(length % unit for length, unit in zip(patch_size, multiple, strict=True)):
        rounded = [-(-length // unit) * unit for length, unit in zip(patch_size, multiple, strict=True)]
        raise UserError(
            f"data.patch_size={list(patch_size)}: model={model.name} takes multiples of {list(multiple)}."
            f" Set data.patch_size={rounded}."
        )
    return multiple


def _check_tile_size(tile_size: list[int] | None) -> None:
    if tile_size is not None and len(tile_size) != 3:
        raise UserError(
            f"inference.tile_size={tile_size}: it must hold 3 numbers, voxels along right, anterior, superior."
        )


def _is_local(network: nn.Module) -> bool:
    """Return whether outputs are known to depend on their surroundings alone."""
    inner = unwrap(network)
    return isinstance(inner, UNet) and inner.is_local


def _most_voxels(
    network: nn.Module,
    in_channels: int,
    size_multiple: tuple[int, ...],
    autocast_type: torch.dtype | None,
    memory: float | None,
) -> int:
    """Return how many voxels a pass may have within ``memory`` GiB, by default half of the free memory."""
    budget = available_bytes(device_of(network)) if memory is None else memory * 2**30
    return int(budget / bytes_per_voxel(network, in_channels, size_multiple, autocast_type))
