"""Measured receptive fields: the voxels of the image on which a voxel of a network's features depends.

NaN propagates through convolutions, pooling, resizing, activations and products, so every NaN output depends on the
voxel where it was placed. Unlike a formula, this holds for any network.

Instance and group norms, and batch norms without running statistics, pass their input on unchanged: their statistics
span all of space and would make every receptive field the whole image. Softmax over space and global averages count,
because those gates do see all of space. Hard gates count by their scores, because a comparison swallows NaN; so does a
comparison of your own, whose inputs are then not seen.
"""

from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm  # pyright: ignore[reportPrivateUsage]
from torch.nn.modules.instancenorm import _InstanceNorm  # pyright: ignore[reportPrivateUsage]
from torch.overrides import TorchFunctionMode

from aunet.networks.hard_gate import BernoulliDraw, StraightThroughGumbel
from aunet.networks.inspection.features import first_tensor, hooked
from aunet.networks.norms import UnevenGroupNorm

# Half of the first image on which a reach is measured, in size multiples.
_SHORTEST_HALF = 8

Field = tuple[int | None, ...]
"""Voxels along each axis; None if it is at least as long as the patch."""


def receptive_fields(
    network: nn.Module,
    in_channels: int,
    patch_size: Sequence[int],
    size_multiple: Sequence[int],
    watched: Mapping[str, nn.Module],
) -> dict[str, Field]:
    """Return the receptive field of each ``watched`` module's features at the middle of the image, in evaluation.

    Each axis is measured on a slab: twice as long as the patch, so that its ends hide nothing that fits the patch,
    and ``size_multiple`` wide. The result is exact and depends on the architecture only, not on weights; 0 along an
    axis means that nothing put into the image shows.

    Raises:
        RuntimeError or ValueError: from a network that accepts images of one size only.
    """
    fields: dict[str, list[int | None]] = {name: [] for name in watched}
    reach: list[dict[str, int]] = [{}, {}]  # on either side of the middle; often alike along all axes
    was_training = network.training
    try:
        with torch.inference_mode(), _norms_as_identity(network), _OneChannelConvolutions():
            network.eval()
            for axis, length in enumerate(patch_size):
                size = [2 * length if at == axis else multiple for at, multiple in enumerate(size_multiple)]
                slab = _Slab(network, torch.zeros(1, in_channels, *size), axis, watched)
                for side, is_behind in enumerate((False, True)):
                    guesses = {name: length - planes for name, planes in reach[side].items()}
                    unseen = slab.unseen(is_behind, guesses)
                    reach[side] = {name: length - planes for name, planes in unseen.items()}
                for name, widths in fields.items():
                    width = max(0, reach[0][name] + reach[1][name])
                    widths.append(width if width < length else None)
    finally:
        network.train(was_training)
    return {name: tuple(widths) for name, widths in fields.items()}


def reach_of_cuts(network: nn.Module, in_channels: int, size_multiple: Sequence[int]) -> list[int]:
    """Return along each axis how many voxels beside a cut at a multiple of ``size_multiple`` the output changes.

    A tile with as wide a halo on each cut side yields the output of the whole image. Evaluation mode; the norms whose
    statistics span the image count as the identity, so ask only of networks without (``UNet.is_local``).
    """
    was_training = network.training
    try:
        with torch.inference_mode(), _norms_as_identity(network), _OneChannelConvolutions():
            network.eval()
            return [_reach(network, in_channels, size_multiple, axis) for axis in range(len(size_multiple))]
    finally:
        network.train(was_training)


def _reach(network: nn.Module, in_channels: int, size_multiple: Sequence[int], axis: int) -> int:
    """Return the reach along ``axis``, measured on an image that is doubled until its ends are not reached."""
    half, dim = _SHORTEST_HALF * size_multiple[axis], axis + 2
    device = next((parameter.device for parameter in network.parameters()), torch.device("cpu"))
    while True:
        size = [2 * half if at == axis else multiple for at, multiple in enumerate(size_multiple)]
        reaches: list[int] = []
        for first in (0, half):
            image = torch.zeros(1, in_channels, *size, device=device)
            image.narrow(dim, first, half).fill_(torch.nan)
            changed = first_tensor(network(image))
            assert changed is not None
            other = changed.narrow(dim, half - first, half)
            reaches.append(int(other.isnan().movedim(dim, 0).flatten(1).any(dim=1).sum()))
        if max(reaches) < half:
            return max(reaches)
        half *= 2


class _Slab:
    """An image (1, C, *size), long along one axis, that shows how much of it the middle of each feature map sees."""

    def __init__(self, network: nn.Module, image: Tensor, axis: int, watched: Mapping[str, nn.Module]) -> None:
        self.network = network
        self.image = image
        self.dim = axis + 2
        self.length = image.shape[self.dim]
        self.watched = watched

    def unseen(self, is_behind: bool, guesses: Mapping[str, int]) -> dict[str, int]:
        """Count the planes at one end that the middle does not see, by bisection that tries ``guesses`` first."""
        low = dict.fromkeys(self.watched, 0)
        high = dict.fromkeys(self.watched, self.length)
        while unsettled := [name for name in self.watched if high[name] - low[name] > 1]:
            name = unsettled[-1]  # the deepest: the network need not run beyond it
            guess, middle = guesses.get(name, -1), (high[name] + low[name]) // 2
            depth = next(at for at in (guess, guess + 1, middle) if low[name] < at < high[name])
            for other, is_seen in self._look(depth, is_behind, last=name).items():
                if is_seen:
                    high[other] = min(high[other], depth)
                else:
                    low[other] = max(low[other], depth)
        return low

    def _look(self, depth: int, is_behind: bool, last: str) -> dict[str, bool]:
        """Return whether ``depth`` planes of NaN at one end reach the middle, for the modules up to ``last``."""
        image = self.image.clone()
        image.narrow(self.dim, self.length - depth if is_behind else 0, depth).fill_(torch.nan)
        seen: dict[str, bool] = {}

        def note(name: str, output: object) -> None:
            features = first_tensor(output)
            assert features is not None
            seen[name] = bool(features.select(self.dim, features.shape[self.dim] // 2).isnan().any())
            if name == last:
                raise _SeenEnoughError

        hooks = (
            module.register_forward_hook(lambda _, __, output, name=name: note(name, output))
            for name, module in self.watched.items()
        )
        with hooked(hooks):
            try:
                self.network(image)
            except _SeenEnoughError:
                return seen
        raise AssertionError(f"{last} was not run")


class _SeenEnoughError(Exception):
    """Signal to end a forward pass whose rest would show nothing new."""


class _OneChannelConvolutions(TorchFunctionMode):
    """Convolutions over the mean of their input's channels, equal for all output channels.

    All channels of a convolution see the same voxels, so nothing is lost, and it costs as much as one channel.
    Means are used, not sums, so that no value overflows to NaN.
    """

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run ``func``, reduced to one channel if it is a convolution without groups."""
        kwargs = kwargs or {}
        groups = kwargs.get("groups", args[6] if len(args) > 6 else 1)
        if func not in _OUT_CHANNELS_DIM or len(args) < 2 or groups != 1:
            return func(*args, **kwargs)
        features, weight = args[:2]
        size = weight.shape[2:]
        kernel = features.new_full((1, 1, *size), 1 / size.numel())
        geometry = {key: value for key, value in kwargs.items() if key != "bias"}
        reached = func(features.mean(dim=1, keepdim=True), kernel, None, *args[3:], **geometry)
        return reached.repeat(1, weight.shape[_OUT_CHANNELS_DIM[func]], *[1] * len(size))


# Axis of the weight that holds the output channels.
_OUT_CHANNELS_DIM = {
    torch.conv2d: 0,
    torch.conv3d: 0,
    torch.conv_transpose2d: 1,
    torch.conv_transpose3d: 1,
}


@contextmanager
def _norms_as_identity(network: nn.Module) -> Generator[None]:
    """Make modules whose statistics span the image, and the draws of hard gates, return their input."""
    passing = [module for module in network.modules() if _spans_space_or_compares(module)]
    with hooked(module.register_forward_hook(lambda _, inputs, __: inputs[0].clone()) for module in passing):
        yield


def _spans_space_or_compares(module: nn.Module) -> bool:
    if isinstance(module, _BatchNorm):
        return not module.track_running_stats
    return isinstance(module, _InstanceNorm | nn.GroupNorm | UnevenGroupNorm | StraightThroughGumbel | BernoulliDraw)
