"""Strides and kernels that fit the voxels: no pooling across thick slices until the plane is as coarse."""

from collections.abc import Sequence

from aunet.errors import UserError
from aunet.networks.layers import PerAxis, per_axis

Sizes = tuple[tuple[int, ...], ...]

# An axis whose voxels are at least this many times the shortest is neither pooled nor convolved along.
_THICK = 2.0


def plan_pooling(spacing: Sequence[float], num_levels: int) -> tuple[Sizes, Sizes]:
    """Return the strides between levels and the kernel sizes of the levels, finest first.

    An axis is halved, and convolved along, once its voxels are shorter than twice the shortest ones; cubic voxels have
    strides of 2 and kernels of 3 throughout. The bottleneck is convolved along every axis. This is
    nnU-Net's rule (Isensee et al. 2021), for a given depth.

    Args:
        spacing: voxel size in mm at full resolution, one number per axis.
        num_levels: levels of the network.

    Examples:
        >>> strides, kernel_sizes = plan_pooling([1.0, 1.0, 3.0], num_levels=3)
        >>> strides, kernel_sizes
        (((2, 2, 1), (2, 2, 2)), ((3, 3, 1), (3, 3, 3), (3, 3, 3)))
    """
    sides = list(spacing)
    strides: list[tuple[int, ...]] = []
    kernels: list[tuple[int, ...]] = []
    for _ in range(num_levels):
        is_fine = [side < _THICK * min(sides) for side in sides]
        kernels.append(tuple(3 if fine else 1 for fine in is_fine))
        strides.append(tuple(2 if fine else 1 for fine in is_fine))
        sides = [side * stride for side, stride in zip(sides, strides[-1], strict=True)]
    return tuple(strides[:-1]), (*kernels[:-1], (3,) * len(sides))


def resolve_pooling(
    spatial_dims: int,
    num_levels: int,
    strides: Sequence[PerAxis] | None,
    kernel_sizes: Sequence[PerAxis] | None,
    spacing: Sequence[float] | None,
) -> tuple[Sizes, Sizes]:
    """Return strides and kernel sizes as given, or to fit ``spacing``; raise UserError for lists of wrong length."""
    if spacing is not None and (len(spacing) < spatial_dims or min(spacing) <= 0):
        raise UserError(f"spacing={list(spacing)}: give {spatial_dims} lengths in mm above 0, one for each axis.")
    planned = plan_pooling((spacing or (1.0,) * spatial_dims)[:spatial_dims], num_levels)
    return (
        _as_given("strides", strides, spatial_dims, num_levels - 1, planned[0]),
        _as_given("kernel_sizes", kernel_sizes, spatial_dims, num_levels, planned[1]),
    )


def _as_given(name: str, values: Sequence[PerAxis] | None, spatial_dims: int, length: int, planned: Sizes) -> Sizes:
    if values is None:
        return planned
    if len(values) != length:
        raise UserError(f"{name}={list(values)}: these channels take {length} of them, finest level first.")
    return tuple(per_axis(value, spatial_dims) for value in values)
