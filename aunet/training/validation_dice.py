"""The Dice of an epoch's validation: the scores of each case, and their means."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from aunet.classes import IGNORED, Labels
from aunet.metrics.overlap import dice


@dataclass(frozen=True)
class CaseDice:
    """Scores of one case, an entry for each foreground class.

    ``values`` is NaN if neither reference nor prediction has the class, or the reference does not annotate it, and 0
    if only the prediction has it. ``present`` states whether the reference has it.
    """

    values: tuple[float, ...]
    present: tuple[bool, ...]


def score_dice(
    prediction: NDArray[np.integer], reference: NDArray[np.integer], annotated: Sequence[bool], labels: Labels
) -> CaseDice:
    """Score label maps of the same shape; ``annotated`` (K,) marks the classes that the reference annotates.

    Voxels that the reference ignores are background in both.
    """
    prediction = np.where(reference == IGNORED, 0, prediction)
    values, present = list[float](), list[bool]()
    for index, _ in labels.foreground:
        truth = labels.mask(reference, index)
        values.append(dice(labels.mask(prediction, index), truth) if annotated[index] else float("nan"))
        present.append(bool(annotated[index] and truth.any()))
    return CaseDice(tuple(values), tuple(present))


def means_by_class(cases: Mapping[str, CaseDice]) -> list[float]:
    """Return the mean Dice of each foreground class over the cases for which it is defined.

    It is NaN for a class that no reference has. Only false positives are defined there, and they are 0 in epochs that
    predict the class somewhere and undefined in the others, so the mean cannot distinguish epochs.
    """
    ordered = [cases[case_id] for case_id in sorted(cases)]
    values = zip(*(case.values for case in ordered), strict=True)
    present = zip(*(case.present for case in ordered), strict=True)
    return [defined_mean(of) if any(has) else float("nan") for of, has in zip(values, present, strict=True)]


def defined_mean(values: Sequence[float]) -> float:
    """Return the mean of the values that are not NaN; NaN if there are none."""
    defined = [value for value in values if not np.isnan(value)]
    return float(np.mean(defined)) if defined else float("nan")
