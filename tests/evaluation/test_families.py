import math

import numpy as np
import pandas as pd
import pytest
from statsmodels.stats.multitest import multipletests

from aunet.evaluation.families import correct_by_family, holm_p_values

DICE, PENALISED = [0.01, 0.04, 0.03], [0.02, 0.5]


def rows() -> pd.DataFrame:
    """Return rows of two arms: Dice of three classes, two penalised distances, one of which has no test in arm b."""
    kinds = [("dice", "common cases", p) for p in DICE] + [("assd_mm", "penalised", p) for p in PENALISED]
    table = pd.DataFrame([(arm, *kind) for kind in kinds for arm in "ab"], columns=["arm", "metric", "form", "p_value"])
    table.loc[(table["arm"] == "b") & (table["p_value"] == 0.5), "p_value"] = math.nan
    return table


@pytest.mark.parametrize("p_values", [[0.01], [0.04, 0.01, 0.03, 0.005], [0.5, 0.5, 0.02], [1.0, 0.9, 0.001, 0.001]])
def test_holm_is_that_of_statsmodels(p_values: list[float]) -> None:
    assert holm_p_values(p_values) == pytest.approx(multipletests(p_values, method="holm")[1])


def test_holm_does_not_count_rows_without_a_test() -> None:
    corrected = holm_p_values([0.02, math.nan, 0.01])
    assert corrected[[0, 2]] == pytest.approx([0.02, 0.02])
    assert np.isnan(corrected[1])


def test_primary_and_secondary_rows_of_an_arm_are_corrected_apart() -> None:
    found = correct_by_family(rows())

    of_arm = found[found["arm"] == "a"]
    primary, secondary = (of_arm[of_arm["family"] == family] for family in ("primary", "secondary"))
    assert list(primary["holm_p_value"]) == pytest.approx(multipletests(DICE, method="holm")[1])
    assert list(secondary["holm_p_value"]) == pytest.approx(multipletests(PENALISED, method="holm")[1])


def test_the_correction_for_all_rows_stays_reachable() -> None:
    of_all = multipletests([*DICE, *PENALISED], method="holm")[1]
    for found, column in (
        (correct_by_family(rows()), "holm_all_p_value"),
        (correct_by_family(rows(), ["all"]), "holm_p_value"),
    ):
        assert list(found.loc[found["arm"] == "a", column]) == pytest.approx(of_all)
    assert set(correct_by_family(rows(), ["all"])["family"]) == {"primary"}


def test_an_arm_without_scores_and_a_table_without_rows_have_no_corrected_p() -> None:
    assert correct_by_family(rows().assign(p_value=math.nan))["holm_p_value"].isna().all()
    assert list(correct_by_family(rows().iloc[:0])["holm_p_value"]) == []
