"""Families of hypotheses: which rows of a comparison are corrected together for their number.

Each model is compared with the baseline in many metrics, which are largely the same question asked again. Corrected
together, no difference could be shown with few patients: at n = 8 the smallest p of a sign-flip test is 0.008, and
27 rows ask for 0.002. Therefore the question of the study is declared in advance, the primary family: one metric, a row
per class. All other rows are the secondary family, corrected apart. Either keeps its own family-wise error at 5 %
(tests/evaluation/test_families_simulation.py), so a claim of the secondary family is one more chance of a false claim.
"""

import math
from collections.abc import Collection

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

# The metric of the primary family by default; ``EVERYTHING`` puts all rows into one family.
PRIMARY = ("dice",)
EVERYTHING = "all"
# The form over the cases that all trainings define, of which the verdicts speak.
MAIN_FORM = "common cases"


def correct_by_family(rows: pd.DataFrame, primary: Collection[str] = PRIMARY) -> pd.DataFrame:
    """Return the rows of ``effects.effects`` with the columns of the correction for their number.

    Columns: ``family`` (primary or secondary), ``holm_p_value``, corrected for the rows of the same arm and family,
    and ``holm_all_p_value``, corrected for all rows of the same arm.
    """
    is_primary = rows["metric"].isin(list(primary)) & (rows["form"] == MAIN_FORM) | (EVERYTHING in primary)
    rows = rows.assign(family=np.where(is_primary, "primary", "secondary"))
    return rows.assign(
        holm_p_value=_corrected(rows, ["arm", "family"]),
        holm_all_p_value=_corrected(rows, ["arm"]),
    )


def holm_p_values(p_values: ArrayLike) -> NDArray[np.float64]:
    """Return ``p_values`` (n,) corrected for their number (Holm 1979); NaN stays NaN and does not count."""
    given = np.asarray(p_values, dtype=np.float64)
    corrected = np.full(given.shape, math.nan)
    order = np.argsort(given)[: int((~np.isnan(given)).sum())]
    factors = np.arange(len(order), 0, -1)
    corrected[order] = np.minimum(np.maximum.accumulate(given[order] * factors), 1.0)
    return corrected


def _corrected(rows: pd.DataFrame, of_family: list[str]) -> NDArray[np.float64]:
    corrected = np.full(len(rows), math.nan)
    for places in rows.reset_index(drop=True).groupby(of_family, sort=False).indices.values():
        corrected[places] = holm_p_values(rows["p_value"].to_numpy(dtype=np.float64)[places])
    return corrected
