"""The choice of post-processing on validation cases: for each class the steps that raise its mean Dice, if any."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from aunet.classes import IGNORED, Labels
from aunet.inference.chosen_postprocessing import ChosenStep
from aunet.inference.postprocessing import Mask, free_for, mask_boxes

# Smallest volumes (ml) that are tried for the parts of a class.
_VOLUMES_ML = (0.05, 0.2, 1.0, 5.0, 20.0)
# Dice by which a mean must rise: less is rounding.
_LEAST_GAIN = 1e-6
Steps = tuple[ChosenStep, ...]


@dataclass
class PostprocessingChoice:
    """The mean Dice of each class over validation cases, by the steps that were tried on it.

    A case whose prediction and reference both lack a class counts as 1: removing what is not there is right.
    """

    labels: Labels
    scores: dict[str, dict[Steps, list[float]]] = field(default_factory=lambda: defaultdict(lambda: defaultdict(list)))

    def add(
        self,
        label: NDArray[np.uint8],
        reference: NDArray[np.integer],
        voxel_ml: float,
        annotated: frozenset[int] | None = None,
    ) -> None:
        """Try all steps on the label map (H, W, D) of a case; classes that its reference leaves out are not tried.

        Steps see the whole prediction, as later; ignored voxels are left out of the scores of what they return.
        """
        is_counted = reference != IGNORED
        reference = np.where(is_counted, reference, 0)
        boxes = mask_boxes(label, self.labels)
        for index, name in self.labels.foreground:
            if annotated is not None and index not in annotated:
                continue
            truth = self.labels.mask(reference, index)
            truth_voxels = int(np.count_nonzero(truth))
            box = boxes.get(index)
            for steps in candidates(name):
                if box is None:
                    score = 0.0 if truth_voxels else 1.0
                else:
                    mask, is_free = self.labels.mask(label[box], index), free_for(label[box], self.labels, index)
                    changed = _apply(steps, mask, is_free, voxel_ml) & is_counted[box]
                    score = _dice(changed, truth[box], truth_voxels)
                self.scores[name][steps].append(score)

    def choose(self) -> dict[str, Steps]:
        """Return the steps of each class: those with the highest mean Dice, none unless it rises; ties take fewer."""
        return {name: self._best(means) for name, means in self.mean_dice().items()}

    def mean_dice(self) -> dict[str, dict[Steps, float]]:
        """Return the mean Dice of each class by the steps tried on it."""
        return {
            name: {steps: float(np.mean(values)) for steps, values in of_class.items()}
            for name, of_class in self.scores.items()
        }

    def scores_as_lists(self) -> dict[str, list[tuple[Steps, list[float]]]]:
        """Return the scores in plain containers, which ranks can exchange."""
        return {name: list(of_class.items()) for name, of_class in self.scores.items()}

    @staticmethod
    def _best(means: Mapping[Steps, float]) -> Steps:
        best: Steps = ()
        for steps, mean in means.items():
            if mean > means[best] + _LEAST_GAIN:
                best = steps
        return best


def candidates(class_name: str) -> Iterator[Steps]:
    """Yield the combinations that are tried on a class, those of fewer steps first."""
    removals = [
        ChosenStep("largest_component", class_name),
        *(ChosenStep("minimum_volume", class_name, volume) for volume in _VOLUMES_ML),
    ]
    filling = ChosenStep("hole_filling", class_name)
    yield ()
    yield from ((step,) for step in (*removals, filling))
    yield from ((removal, filling) for removal in removals)


def _apply(steps: Sequence[ChosenStep], mask: Mask, is_free: Mask, voxel_ml: float) -> Mask:
    for step in steps:
        changed = step.build().change(mask, is_free, voxel_ml)
        is_free = is_free | (mask & ~changed)
        mask = changed
    return mask


def _dice(mask: Mask, truth: Mask, truth_voxels: int) -> float:
    """Return Dice within a box that holds the mask, of a truth of ``truth_voxels`` in all; 1 if both are empty."""
    total = int(np.count_nonzero(mask)) + truth_voxels
    return 2 * int(np.count_nonzero(mask & truth)) / total if total else 1.0
