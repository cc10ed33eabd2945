"""Norm layers that torch lacks: groups for any width, and a norm for each application of a repeated unit."""

import copy
from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.modules.batchnorm import _NormBase  # pyright: ignore[reportPrivateUsage]

_CHANNELS_PER_GROUP = 8


class UnevenGroupNorm(nn.Module):
    """Group norm (Wu and He 2018) whose groups differ by one channel, for a width that ``num_groups`` does not divide.

    The wider groups come first. State dict and parameters are those of ``nn.GroupNorm``.
    """

    def __init__(self, num_groups: int, num_channels: int) -> None:
        super().__init__()
        narrow, num_wide = divmod(num_channels, num_groups)
        assert narrow > 0, f"{num_groups} groups of {num_channels} channels"
        assert num_wide > 0, f"{num_groups} groups divide {num_channels} channels: use nn.GroupNorm"
        self.groups = (num_wide, num_groups - num_wide)
        self.channels = [num_wide * (narrow + 1), (num_groups - num_wide) * narrow]
        self.weight = nn.Parameter(torch.ones(num_channels))
        self.bias = nn.Parameter(torch.zeros(num_channels))

    def forward(self, features: Tensor) -> Tensor:
        """Normalize (B, C, *spatial) over the channels and voxels of each group."""
        parts = zip(
            features.split(self.channels, dim=1),
            self.groups,
            self.weight.split(self.channels),
            self.bias.split(self.channels),
            strict=True,
        )
        return torch.cat([functional.group_norm(*part) for part in parts], dim=1)


def group_norm(num_channels: int) -> nn.Module:
    """Return a group norm whose groups hold about 8 channels: 6 to 11 from width 6 on.

    Networks of different widths then have the same kind of norm. Groups that must divide a width would be instance norm
    (groups of one channel) or layer norm (one group) at a prime width such as 67.

    Examples:
        >>> group_norm(32).num_groups
        4
        >>> group_norm(67).channels  # 3 groups of 9 channels, 5 of 8
        [27, 40]
    """
    num_groups = max(1, (num_channels + _CHANNELS_PER_GROUP // 2) // _CHANNELS_PER_GROUP)
    kind = UnevenGroupNorm if num_channels % num_groups else nn.GroupNorm
    return kind(num_groups, num_channels)


class NormPerApplication(nn.Module):
    """A norm layer for each application of a unit that is applied repeatedly; ``application`` selects the one in use.

    The inputs of the applications differ in distribution, so running statistics shared by all would fit none of them.
    Source: "time-specific batch normalization", Liao and Poggio 2016 (arXiv 1604.03640).
    """

    def __init__(self, norm: nn.Module, num_applications: int) -> None:
        super().__init__()
        self.norms = nn.ModuleList(copy.deepcopy(norm) for _ in range(num_applications))
        self.application = 0

    def forward(self, features: Tensor) -> Tensor:
        """Normalize (B, C, *spatial) by the norm of the current application."""
        return self.norms[self.application](features)


def separate_norms(unit: nn.Module, num_applications: int) -> Iterator[NormPerApplication]:
    """Replace each norm layer inside ``unit`` by one for each application, and yield the replacements."""
    for parent in list(unit.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, _NormBase | nn.GroupNorm | nn.LayerNorm | UnevenGroupNorm):
                norm = NormPerApplication(child, num_applications)
                setattr(parent, name, norm)
                yield norm
