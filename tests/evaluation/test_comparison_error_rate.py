"""How often a comparison claims a difference that is not there, with slices of patients; the numbers are printed."""

import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from compared_runs import case_scores, with_settings, write_run
from scipy import stats

from aunet.evaluation.comparability import share_what_is_known_of_cases
from aunet.evaluation.compared_run import ComparedRun, read_compared_run, read_record
from aunet.evaluation.comparison_scores import differences_to_first
from aunet.metrics.case_scores import write_case_scores

PATIENTS, SIMULATIONS = 15, 800


def slices(random: np.random.Generator, shift: float) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Scores of two models on 10 to 20 slices of each patient; they differ by ``shift`` and by patient and slice."""
    names = [f"patient {k}" for k in range(PATIENTS) for _ in range(random.integers(10, 21))]
    of_patient = dict(zip(dict.fromkeys(names), random.normal(shift, 0.03, PATIENTS), strict=True))
    baseline = random.uniform(0.6, 0.8, len(names))
    other = baseline + [of_patient[name] for name in names] + random.normal(0, 0.03, len(names))
    return case_scores(list(baseline), names), case_scores(list(other), names)


def read(folder: Path) -> ComparedRun:
    return read_compared_run(folder, read_record(folder), with_settings({}))


def p_values(folder: Path, seed: int, shift: float = 0.0) -> tuple[float, float]:
    """Return p of the comparison of two run folders, and of the signed-rank test over slices as f8e6fcc did."""
    tables = slices(np.random.default_rng(seed), shift)
    for name, scores in zip(("0", "1"), tables, strict=True):
        write_case_scores(folder / name / "test" / "case_scores.csv", scores)
    runs = share_what_is_known_of_cases([read(folder / "0"), read(folder / "1")])
    found = differences_to_first(runs).iloc[0]
    assert (found["metric"], found["class"], found["patients"]) == ("dice", "pancreas", PATIENTS)
    first, second = (scores.loc[scores["class"] == "pancreas", "dice"].to_numpy() for scores in tables)
    return float(found["p_value"]), float(stats.wilcoxon(second - first).pvalue)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("0", "1"):
        write_run(tmp_path / name, case_scores([0.5]))
    return tmp_path


@pytest.mark.slow
def test_a_comparison_of_slices_claims_a_difference_that_is_not_there_in_5_percent(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = np.array([p_values(folder, seed) for seed in range(SIMULATIONS)])

    ours, over_slices = 100 * (found < 0.05).mean(axis=0)
    with capsys.disabled():
        sys.stdout.write(
            f"\nType I error, {PATIENTS} patients, 10 to 20 slices, seeds 0 to {SIMULATIONS - 1}: {ours:.1f} %; over"
            f" slices {over_slices:.1f} % "
        )
    assert 3 <= ours <= 7
    assert over_slices > 30


@pytest.mark.slow
def test_a_comparison_finds_a_difference_of_one_sd(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shift, sd = 0.03, np.hypot(0.03, 0.03 / np.sqrt(15))
    found = np.array([p_values(folder, seed, shift)[0] for seed in range(200)])

    power = 100 * (found < 0.05).mean()
    noncentral, critical = shift / sd * np.sqrt(PATIENTS), stats.t.ppf(0.975, PATIENTS - 1)
    of_t_test = 100 * stats.nct.sf(critical, PATIENTS - 1, noncentral)
    with capsys.disabled():
        sys.stdout.write(f"\nPower, a shift of one sd, seeds 0 to 199: {power:.1f} %, of the t test {of_t_test:.1f} % ")
    assert power == pytest.approx(of_t_test, abs=6)
