"""How well a map finds an organ: the same three measures for coefficients of a gate and for Grad-CAM.

- ``auc``: area under the ROC curve, inside against outside all organs (``aunet.attention.statistics``); 0.5 by chance.
- ``pointing``: 1 if the largest value lies on a cell that the organ touches, else 0 (the pointing game of Zhang et al.
  2018, without its tolerance); if several cells share the largest value, the share of those that hit. By chance it is
  ``pointing_chance``, the share of the cells that the organ touches.
- ``energy``: share of the map's sum that lies inside the organ (Wang et al. 2020). A uniform map reaches
  ``energy_chance``, the organ's share of the image.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from aunet.attention.case_map import CaseMap
from aunet.attention.statistics import attention_statistics, label_fractions

MEASURES = ("auc", "pointing", "energy")
CHANCES = {"pointing": "pointing_chance", "energy": "energy_chance"}


def fractions_on(grid: CaseMap, label: NDArray[np.integer], num_classes: int) -> NDArray[np.float64]:
    """Return the share (num_classes, h, w, d) of each class of ``label`` (H, W, D) in the cells over the image."""
    shape = grid.over_image.shape[1:]
    return label_fractions(label, num_classes, shape, cell_size=grid.cell_size, offset=grid.offset)


def localise(
    values: NDArray[np.floating], fractions: NDArray[np.float64], class_values: Sequence[int]
) -> dict[str, float]:
    """Return the measures of a map (h, w, d) for the class of ``class_values`` in ``fractions`` (num_classes, h, w, d).

    All are NaN if the label lacks the class. A map of zeros says nothing, so its measures are NaN too.
    """
    share, coverage = fractions[list(class_values)].sum(axis=0), fractions.sum(axis=0)
    names = (*MEASURES, *CHANCES.values())
    if not share.any() or not np.any(values):
        return dict.fromkeys(names, float("nan"))
    weighted = values * coverage
    is_within = coverage > 0
    is_largest = is_within & (values == values[is_within].max())
    return {
        "auc": _area(values, fractions[0], share),
        "pointing": float((share[is_largest] > 0).mean()),
        "energy": float((values * share).sum() / weighted.sum()) if weighted.sum() > 0 else float("nan"),
        "pointing_chance": float((share[is_within] > 0).mean()),
        "energy_chance": float(share.sum() / coverage.sum()),
    }


def _area(values: NDArray[np.floating], outside: NDArray[np.float64], inside: NDArray[np.float64]) -> float:
    [statistics] = attention_statistics(values[None], np.stack([outside, inside]))
    return statistics["auc_inside_1"]
