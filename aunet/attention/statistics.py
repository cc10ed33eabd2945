"""Where a gate looks: statistics of its coefficients against the label, on the grid of the gated skip.

A gate is described by the contrast within one map. The level of its coefficients has no meaning, because a convolution
and a norm follow and undo any common factor.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

FloatArray = NDArray[np.float64]


def label_fractions(
    label: ArrayLike,
    num_classes: int,
    grid: Sequence[int],
    *,
    cell_size: Sequence[float] | None = None,
    offset: Sequence[float] | None = None,
) -> FloatArray:
    """Return the share of each class in each cell of a coarser grid: the one-hot label, averaged over the cell.

    ``label`` (h, w, d) holds integers 0..num_classes-1; the result is (num_classes, *grid). Cell ``i`` of an axis goes
    from ``offset + i * cell_size`` to ``offset + (i + 1) * cell_size`` in voxels of the label, which need not be whole;
    by default the grid spans the label exactly. The shares of a cell sum to 1, or less past the label's edge.
    """
    classes = np.asarray(label)
    assert classes.ndim == len(grid), f"label of {classes.ndim} axes, grid of {len(grid)}"
    spanning = [extent / cells for extent, cells in zip(classes.shape, grid, strict=True)]
    sizes = spanning if cell_size is None else cell_size
    starts = [0.0] * classes.ndim if offset is None else offset
    axes = zip(grid, sizes, starts, classes.shape, strict=True)
    overlaps = [_cell_overlaps(*axis) for axis in axes]
    fractions: FloatArray = np.zeros((num_classes, *grid))
    for value in range(num_classes):  # one at a time: the whole one-hot label takes 8 bytes a voxel for each class
        if not (is_inside := classes == value).any():
            continue
        share = is_inside.astype(np.float64)
        for axis, overlap in enumerate(overlaps):
            share = np.moveaxis(np.tensordot(overlap, share, axes=(1, axis)), 0, axis)
        fractions[value] = share
    return fractions


def attention_statistics(
    coefficients: ArrayLike,
    fractions: ArrayLike,
    class_names: Sequence[str] | None = None,
    regions: Sequence[Sequence[int]] = (),
) -> list[dict[str, float]]:
    """Return one row per map of ``coefficients`` (maps, h, w, d) against ``fractions`` (num_classes, h, w, d).

    Keys, with ``<class>`` for each foreground class by its name (by its number without ``class_names``, which names all
    classes, background first):

    - ``map``: its number.
    - ``mean``, ``mean_inside_<class>``, ``mean_outside`` (the background): their level has no meaning by itself.
    - ``entropy`` of the map scaled to sum 1, over its maximum: 1 for a uniform map, 0 if one cell holds all.
    - ``auc_inside_<class>``, ``auc_inside`` (any foreground): the area under the ROC curve of the coefficient as a
      classifier of inside against outside (the background), that is the probability that a place inside has a larger
      coefficient than one outside, ties counting half. 0.5 means that the map does not distinguish them.
    - ``ratio_inside_<class>``, ``ratio_inside``: mean inside over mean outside.

    A cell counts by the share of the class in it, so nothing is thresholded or resampled, and every cell is used. For
    whole cells the area is U / (n m) of Mann and Whitney. Undefined values are NaN: those of a class that the label
    lacks, a ratio to a mean of 0, the entropy of a map of zeros.

    With ``regions``, the values that make up each foreground class (``Labels.regions``), the inside of a class is all
    of its values; the shares of regions that overlap add up to more than 1.
    """
    shares = np.asarray(fractions, dtype=np.float64)
    names = [str(index) for index in range(len(shares))] if class_names is None else class_names
    assert len(names) == len(shares), f"{len(names)} class names for {len(shares)} classes"
    maps = np.asarray(coefficients, dtype=np.float64)
    return [{"map": number, **_map_statistics(values, shares, names, regions)} for number, values in enumerate(maps)]


def _map_statistics(
    values: FloatArray, shares: FloatArray, names: Sequence[str], regions: Sequence[Sequence[int]]
) -> dict[str, float]:
    coverage = shares.sum(axis=0)
    of_classes = [shares[list(numbers)].sum(axis=0) for numbers in regions] if regions else shares[1:]
    inside = {f"inside_{name}": share for name, share in zip(names[1:], of_classes, strict=True)}
    contrasted = {"inside": shares[1:].sum(axis=0), **inside}
    outside = _weighted_mean(values, shares[0])
    areas = _areas_under_roc_curves(values, shares[0], list(contrasted.values()))
    return {
        "mean": _weighted_mean(values, coverage),
        "entropy": _relative_entropy(values, coverage),
        **{f"mean_{name}": _weighted_mean(values, share) for name, share in inside.items()},
        "mean_outside": outside,
        **{f"auc_{name}": area for name, area in zip(contrasted, areas, strict=True)},
        **{f"ratio_{name}": _ratio(_weighted_mean(values, share), outside) for name, share in contrasted.items()},
    }


def _areas_under_roc_curves(values: FloatArray, outside: FloatArray, insides: Sequence[FloatArray]) -> list[float]:
    """Return the area under the weighted ROC curve for each of ``insides`` against ``outside``, sorting once."""
    if np.isnan(values).any():
        return [float("nan")] * len(insides)
    order = np.argsort(values, axis=None)
    ordered = values.ravel()[order]
    ties = np.flatnonzero(np.append(True, ordered[1:] > ordered[:-1]))  # where each distinct value begins
    of_value = np.add.reduceat(outside.ravel()[order], ties)
    below = np.cumsum(of_value) - of_value / 2  # weight outside of smaller values, and half that of equal ones
    return [
        _ratio(float(np.add.reduceat(inside.ravel()[order], ties) @ below), float(inside.sum() * outside.sum()))
        for inside in insides
    ]


def _ratio(numerator: float, denominator: float) -> float:
    return numerator / denominator if denominator > 0 else float("nan")


def _weighted_mean(values: FloatArray, weights: FloatArray) -> float:
    total = weights.sum()
    return float((values * weights).sum() / total) if total > 0 else float("nan")


def _relative_entropy(values: FloatArray, coverage: FloatArray) -> float:
    """Return -sum p log(p / w) / log(sum w), p = a w / sum(a w): Shannon's for whole cells, whose weights w are 1."""
    mass = values * coverage
    if mass.sum() <= 0 or coverage.sum() <= 1:
        return float("nan")
    is_filled = mass > 0
    probabilities = mass[is_filled] / mass.sum()
    entropy = -(probabilities * np.log(probabilities / coverage[is_filled])).sum()
    return float(entropy / np.log(coverage.sum()))


def _cell_overlaps(cells: int, size: float, start: float, extent: int) -> FloatArray:
    """Return (cells, extent): the share of each cell of one axis that each voxel of the label fills."""
    lower = start + size * np.arange(cells)[:, None]
    voxel = np.arange(extent)[None, :]
    shared = np.minimum(lower + size, voxel + 1) - np.maximum(lower, voxel)
    return np.clip(shared, 0.0, None) / size
