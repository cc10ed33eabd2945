"""How many patients, or trainings, would show a difference: the power of the test, from the spreads that were seen."""

import math
from collections.abc import Callable
from dataclasses import dataclass

from scipy import special  # scipy.stats takes half a second to import, and its distributions check every argument

DIFFERENCE = 0.01
POWER = 0.8
LEVEL = 0.05
MOST_PATIENTS = 100_000
MOST_TRAININGS = 1_000


@dataclass(frozen=True)
class Spreads:
    """Standard deviations, as in ``effects.Effect``, NaN if unknown; trainings and rest may be unknown."""

    patient: float
    training: float
    rest: float


def power(difference: float, spreads: Spreads, patients: int, trainings: int, level: float = LEVEL) -> float:
    """Return the probability that the two-sided test shows a true ``difference``.

    The noncentral t distribution with Satterthwaite's degrees of freedom, of ``patients`` tested by ``trainings`` per
    model. If the spread of trainings is NaN, the test speaks of two given trainings. NaN if a spread that counts cannot
    be estimated again: that over one patient, or that over one training per model.
    """
    patient_part = (spreads.patient**2 + 2 * _known(spreads.rest) ** 2 / trainings) / patients
    training_part = 2 * _known(spreads.training) ** 2 / trainings
    variance = patient_part + training_part
    if variance == 0:
        return 1.0
    if patients < 2 or (training_part and trainings < 2):
        return math.nan
    precision = patient_part**2 / (patients - 1)
    if training_part:
        precision += training_part**2 / (2 * (trainings - 1))
    degrees = variance**2 / precision
    critical, shift = special.stdtrit(degrees, 1 - level / 2), abs(difference) / math.sqrt(variance)
    wrong_side = float(special.nctdtr(degrees, shift, -critical))
    # It is NaN for shifts above 8 or so, where it lies far below 1e-15.
    return float(1 - special.nctdtr(degrees, shift, critical)) + (0.0 if math.isnan(wrong_side) else wrong_side)


def patients_needed(spreads: Spreads, trainings: int, difference: float = DIFFERENCE) -> int | None:
    """Return the fewest patients with a power of 80 %; None if no number suffices, as trainings differ too much."""
    return _fewest(lambda patients: power(difference, spreads, patients, trainings), MOST_PATIENTS)


def trainings_needed(spreads: Spreads, patients: int, difference: float = DIFFERENCE) -> int | None:
    """Return the fewest trainings per model with a power of 80 %; None if no number suffices for these patients."""
    if math.isnan(spreads.training):
        return None
    return _fewest(lambda trainings: power(difference, spreads, patients, trainings), MOST_TRAININGS)


def _known(sd: float) -> float:
    return 0.0 if math.isnan(sd) else sd


def _fewest(power_of: Callable[[int], float], most: int) -> int | None:
    """Return the smallest number from 2 to ``most`` with enough power, which increases with it; None if none has."""
    if not power_of(most) >= POWER:
        return None
    low, high = 1, 2
    while power_of(high) < POWER:
        low, high = high, min(2 * high, most)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if power_of(middle) >= POWER else (middle, high)
    return high
