"""Simulations of the difference of two models over trainings, folds and patients. The numbers are printed."""

import sys
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from aunet.evaluation.crossed_effects import FoldScores, mean_difference
from aunet.evaluation.sample_size import Spreads, power

Array = NDArray[np.float64]
SIMULATIONS = 3000


@dataclass(frozen=True)
class Study:
    """Two arms; sds of a training's mean, of a patient's own difference, and of a patient in a training."""

    patients: int = 30
    trainings: tuple[int, int] = (3, 3)
    seed_sd: float = 0.005
    patient_sd: float = 0.03
    rest_sd: float = 0.02
    folds: int = 1
    cases: int = 1
    kind: Literal["normal", "skewed", "dice"] = "normal"

    def __str__(self) -> str:
        return (
            f"{self.patients} patients of {self.cases}, {self.trainings} trainings of {self.folds} folds, "
            f"sds {self.seed_sd}/{self.patient_sd}/{self.rest_sd}, {self.kind}"
        )

    def draw(self, random: np.random.Generator, shift: float = 0.0) -> list[FoldScores]:
        return [self._fold(random, self.patients // self.folds, shift) for _ in range(self.folds)]

    def _fold(self, random: np.random.Generator, patients: int, shift: float) -> FoldScores:
        difficulty = random.beta(20, 4, patients)  # Dice of 0.83 with an sd of 0.075
        own = {
            "normal": lambda: random.normal(0, self.patient_sd, patients),
            # A Dice that one model loses on a few patients: skewness 1.6.
            "skewed": lambda: -(random.beta(1, 8, patients) - 1 / 9) / 0.0994 * self.patient_sd,
            "dice": lambda: random.normal(0, self.patient_sd, patients),
        }[self.kind]()
        arms = [self._arm(random, trainings, difficulty) for trainings in self.trainings]
        return FoldScores(arms[0], self._bounded(arms[1] + own, difficulty) + shift)

    def _arm(self, random: np.random.Generator, trainings: int, difficulty: Array) -> Array:
        of_training = random.normal(0, self.seed_sd, (trainings, 1, 1))
        of_case = random.normal(0, self.rest_sd, (trainings, difficulty.size, self.cases))
        return self._bounded(difficulty + (of_training + of_case).mean(axis=2), difficulty)

    def _bounded(self, scores: Array, difficulty: Array) -> Array:
        """Shrink deviations near 1 and 0 as a Dice does, which leaves the mean difference at 0."""
        if self.kind != "dice":
            return scores
        return difficulty + (scores - difficulty) * 2 * np.sqrt(difficulty * (1 - difficulty))


def rates(study: Study, shift: float = 0.0, simulations: int = SIMULATIONS) -> tuple[float, float]:
    """Share (%) of simulations that reject no difference, and whose interval holds the true one."""
    random, rejected, covered = np.random.default_rng(0), 0, 0
    for _ in range(simulations):
        found = mean_difference(study.draw(random, shift))
        rejected += found.p_value() < 0.05
        covered += found.p_value(shift) >= 0.05
    return 100 * rejected / simulations, 100 * covered / simulations


def tell(capsys: pytest.CaptureFixture[str], text: str) -> None:
    with capsys.disabled():
        sys.stdout.write(f"\n{text} ")


STUDIES = [
    *(Study(trainings=(seeds, seeds), seed_sd=sd) for seeds in (2, 3, 4, 5) for sd in (0.005, 0.01)),
    *(Study(patients, (seeds, seeds), 0.01) for patients in (10, 20, 60) for seeds in (2, 5)),
    *(Study(30, (seeds, seeds), 0.01, 0.03, 0.001) for seeds in (2, 5)),
    *(Study(30, (seeds, seeds), 0.005, 0.02, 0.02) for seeds in (2, 5)),
    *(Study(patients, (3, 3), 0.005, kind=kind) for patients in (10, 20, 60) for kind in ("skewed", "dice")),
    *(Study(30, (2, 2), 0.01, kind=kind) for kind in ("skewed", "dice")),
    *(Study(30, trainings, 0.01) for trainings in ((2, 5), (5, 2), (3, 4))),
    *(Study(30, (seeds, seeds), 0.01, cases=4) for seeds in (2, 5)),
    *(Study(60, (seeds, seeds), sd, folds=5) for seeds in (1, 2, 3) for sd in (0.005, 0.01)),
    Study(60, (1, 1), 0.01, folds=5, kind="skewed"),
]


@pytest.mark.slow
@pytest.mark.parametrize("study", STUDIES, ids=str)
def test_without_a_difference_five_percent_are_claimed(study: Study, capsys: pytest.CaptureFixture[str]) -> None:
    rejected, covered = rates(study)

    tell(capsys, f"Type I error {rejected:.1f} %, coverage {covered:.1f} %")
    assert 3 <= rejected <= 7
    assert 93 <= covered <= 97


@pytest.mark.slow
@pytest.mark.parametrize("study", [Study(trainings=(2, 2)), Study(60, (3, 3), 0.01), Study(kind="skewed")], ids=str)
def test_a_difference_is_covered(study: Study, capsys: pytest.CaptureFixture[str]) -> None:
    rejected, covered = rates(study, shift=0.02)

    tell(capsys, f"Power {rejected:.1f} %, coverage {covered:.1f} %")
    assert 93 <= covered <= 97


@pytest.mark.slow
@pytest.mark.parametrize("study", [Study(40, (5, 5)), Study(40, (5, 5), 0.01), Study(60, (3, 3))], ids=str)
def test_the_power_is_the_planned_one(study: Study, capsys: pytest.CaptureFixture[str]) -> None:
    rejected, _ = rates(study, shift=0.02, simulations=1000)

    spreads = Spreads(study.patient_sd, study.seed_sd, study.rest_sd)
    planned = 100 * power(0.02, spreads, study.patients, study.trainings[0])
    tell(capsys, f"Power {rejected:.1f} %, planned {planned:.1f} %")
    assert rejected == pytest.approx(planned, abs=6)


@pytest.mark.slow
def test_a_t_test_over_patients_claims_the_seeds(capsys: pytest.CaptureFixture[str]) -> None:
    random, rejected = np.random.default_rng(0), 0
    for _ in range(SIMULATIONS):
        (fold,) = Study(40, (2, 2), 0.01).draw(random)
        rejected += stats.ttest_1samp(fold.differences, 0).pvalue < 0.05

    tell(capsys, f"Type I error of the t test over patients {100 * rejected / SIMULATIONS:.1f} %")
    assert 100 * rejected / SIMULATIONS > 20


@pytest.mark.slow
@pytest.mark.parametrize("shift", [0.02, 0.0])
def test_equivalence_is_claimed_at_the_margin_in_five_percent_and_mostly_without_a_difference(
    shift: float, capsys: pytest.CaptureFixture[str]
) -> None:
    random, claimed = np.random.default_rng(1), 0
    for _ in range(1500):
        claimed += mean_difference(Study(60, (5, 5)).draw(random, shift)).equivalence_p_value(0.02) < 0.05

    tell(capsys, f"Equivalence within 0.02 claimed in {100 * claimed / 1500:.1f} % at a difference of {shift}")
    assert 3 <= 100 * claimed / 1500 <= 7 if shift else 100 * claimed / 1500 > 80
