"""Similarity of two maps of the same case: whether a map depends on the trained weights (Adebayo et al. 2018).

A map that stays alike after the weights that make it are drawn anew, or after a training on labels without meaning,
shows the image, not what was learned.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from monai.metrics.regression import compute_ssim_and_cs
from numpy.typing import NDArray
from scipy import stats

# Maps that share at most a quarter of the variance of their ranks (0.5^2) are called different; of the structural
# similarity, 0 for unrelated and 1 for equal maps, 0.5 is the middle.
LARGEST_CORRELATION = 0.5
LARGEST_SSIM = 0.5

_WIDEST_KERNEL = 11  # cells, as usual (Wang et al. 2004); a coarser map has fewer
_SIGMA_OF_WIDTH = 1.5 / 11


@dataclass(frozen=True)
class Similarity:
    """Rank correlation (Spearman) in -1..1 and structural similarity of two maps; NaN if one of them is constant."""

    rank_correlation: float
    ssim: float

    @property
    def is_different(self) -> bool | None:
        """Return whether the maps differ in both respects; None if that is undefined."""
        if math.isnan(self.rank_correlation):
            return None
        return abs(self.rank_correlation) <= LARGEST_CORRELATION and not self.ssim > LARGEST_SSIM


def similarity(first: NDArray[np.floating], second: NDArray[np.floating]) -> Similarity:
    """Compare two maps (h, w, d) of one shape.

    For the structural similarity each map is scaled to 0..1, because the level of coefficients has no meaning. Its
    Gaussian kernel has 11 cells, or as many as fit; maps thinner than 3 cells are compared slice by slice. It is NaN if
    a slice is smaller than that too.
    """
    if np.ptp(first) == 0 or np.ptp(second) == 0:
        return Similarity(math.nan, math.nan)
    found: Any = stats.spearmanr(first.ravel(), second.ravel())
    return Similarity(float(found.statistic), _ssim(_scaled(first), _scaled(second)))


def _ssim(first: NDArray[np.floating], second: NDArray[np.floating]) -> float:
    pair = [torch.from_numpy(np.ascontiguousarray(values))[None, None].float() for values in (first, second)]
    dims = 3 if first.shape[2] >= 3 else 2
    if dims == 2:
        pair = [values[0].movedim(-1, 0) for values in pair]  # (1, 1, h, w, d) -> (d, 1, h, w)
    widest = min(*pair[0].shape[2:], _WIDEST_KERNEL)
    width = widest - 1 + widest % 2
    if width < 3:
        return math.nan
    values, _ = compute_ssim_and_cs(pair[0], pair[1], dims, [width] * dims, [_SIGMA_OF_WIDTH * width] * dims)
    return float(values.mean())


def _scaled(values: NDArray[np.floating]) -> NDArray[np.floating]:
    return (values - values.min()) / np.ptp(values)
