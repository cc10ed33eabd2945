"""How far a network sees: the voxels of the image that a voxel of its features depends on, measured.

A value that is no number stays none through convolutions, pooling, resizing, activations and products, so whatever
it reaches depends on where it was put. Unlike a formula this holds for any network.

Left out is what looks at all of space by design of its statistics: instance and group norms, and batch norms without
running statistics, pass their input on as it is, for they would make every receptive field the whole image. Softmax
over space and global averages count: they are what those gates see. Hard gates count by their scores, as a comparison
swallows what is no number; a comparison of your own does so too, and its inputs are then not seen.
"""

from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm  # pyright: ignore[reportPrivateUsage]
from torch.nn.modules.instancenorm import _InstanceNorm  # pyright: ignore[reportPrivateUsage]
from torch.overrides import TorchFunctionMode

from aunet.networks.cost import first_tensor
from aunet.networks.hard_gate import BernoulliDraw, StraightThroughGumbel
from aunet.networks.norms import UnevenGroupNorm

Field = tuple[int | None, ...]
"""Voxels along each axis; None where it is no less than the patch."""


def receptive_fields(
    network: nn.Module,
    in_channels: int,
    patch_size: Sequence[int],
    size_multiple: Sequence[int],
    watched: Mapping[str, nn.Module],
) -> dict[str, Field]:
    """The receptive field of the features of each ``watched`` module, at the middle of the image, in evaluation.

    Each axis is measured on a slab: twice as long as the patch, so that its ends hide nothing that fits the patch,
    and ``size_multiple`` wide. The result is exact and depends on the architecture only, not on weights; 0 along an
    axis would say that nothing put into the image shows.

    Raises:
        RuntimeError or ValueError: whatever a network says that takes images of one size only.
    """
    fields: dict[str, list[int | None]] = {name: [] for name in watched}
    reach: list[dict[str, int]] = [{}, {}]  # to either side of the middle; often alike along all axes
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


class _Slab:
    """An image (1, C, *size), long along one axis, and how much of it the middle of each feature map sees there."""

    def __init__(self, network: nn.Module, image: Tensor, axis: int, watched: Mapping[str, nn.Module]) -> None:
        self.network = network
        self.image = image
        self.dim = axis + 2
        self.length = image.shape[self.dim]
        self.watched = watched

    def unseen(self, is_behind: bool, guesses: Mapping[str, int]) -> dict[str, int]:
        """Planes at one end of the slab that the middle does not see, by bisection; ``guesses`` are tried first."""
        low = dict.fromkeys(self.watched, 0)
        high = dict.fromkeys(self.watched, self.length)
        while unsettled := [name for name in self.watched if high[name] - low[name] > 1]:
            name = unsettled[-1]  # the deepest first: what is settled need not be run again
            guess, middle = guesses.get(name, -1), (high[name] + low[name]) // 2
            depth = next(at for at in (guess, guess + 1, middle) if low[name] < at < high[name])
            for other, is_seen in self._look(depth, is_behind, last=name).items():
                if is_seen:
                    high[other] = min(high[other], depth)
                else:
                    low[other] = max(low[other], depth)
        return low

    def _look(self, depth: int, is_behind: bool, last: str) -> dict[str, bool]:
        """Whether ``depth`` planes without numbers at one end reach the middle, up to the module ``last``."""
        image = self.image.clone()
        image.narrow(self.dim, self.length - depth if is_behind else 0, depth).fill_(torch.nan)
        seen: dict[str, bool] = {}

        def note(name: str, output: Any) -> None:
            features = first_tensor(output)
            assert features is not None
            seen[name] = bool(features.select(self.dim, features.shape[self.dim] // 2).isnan().any())
            if name == last:
                raise _SeenEnoughError

        handles = [
            module.register_forward_hook(lambda _, __, output, name=name: note(name, output))
            for name, module in self.watched.items()
        ]
        try:
            self.network(image)
        except _SeenEnoughError:
            return seen
        finally:
            for handle in handles:
                handle.remove()
        raise AssertionError(f"{last} was not run")


class _SeenEnoughError(Exception):
    """Ends a forward pass whose rest would tell nothing new."""


class _OneChannelConvolutions(TorchFunctionMode):
    """Convolutions over the mean of their input's channels, alike for all output channels.

    All channels of a convolution see the same voxels, so nothing is lost, and it costs as much as one channel.
    Means, not sums, so that no value overflows into something that is no number.
    """

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Called in place of every function of torch."""
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


# The axis of a kernel that holds the output channels.
_OUT_CHANNELS_DIM = {
    torch.conv2d: 0,
    torch.conv3d: 0,
    torch.conv_transpose2d: 1,
    torch.conv_transpose3d: 1,
}


@contextmanager
def _norms_as_identity(network: nn.Module) -> Generator[None]:
    """Modules whose statistics span the image, and hard gates' draws, give what they are given."""
    passing = [module for module in network.modules() if _spans_space_or_compares(module)]
    handles = [module.register_forward_hook(lambda _, inputs, __: inputs[0].clone()) for module in passing]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _spans_space_or_compares(module: nn.Module) -> bool:
    if isinstance(module, _BatchNorm):
        return not module.track_running_stats
    return isinstance(module, _InstanceNorm | nn.GroupNorm | UnevenGroupNorm | StraightThroughGumbel | BernoulliDraw)
