"""The pictures of a probe: of each case the maps and changed predictions of the interventions on whole levels."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from aunet.attention.case_map import CaseMap
from aunet.attention.intervention_picture import ReplacedLevel, intervention_picture
from aunet.classes import IGNORED
from aunet.evaluation.probe_cases import NOTHING, ProbeCase, ProbedPrediction
from aunet.inference.coefficients import LevelCoefficients
from aunet.networks.protocols import has_softmax_gates
from aunet.pipeline.probed_run import ProbedRun
from aunet.reporting.pictures.planes import LabelledScan
from aunet.reporting.probe_section import PICTURES


@dataclass(frozen=True)
class PictureBook:
    """The folder of the pictures, and what all of them show."""

    folder: Path
    levels: Sequence[int]
    interventions: Sequence[str]
    run: ProbedRun

    def page(self, case: ProbeCase) -> "CasePicture":
        """Return the picture of ``case``, to which predictions are added."""
        return CasePicture(self, case)


@dataclass
class CasePicture:
    """The predictions of one case that its picture shows."""

    book: PictureBook
    case: ProbeCase
    _own: dict[int, LevelCoefficients] = field(default_factory=dict[int, LevelCoefficients])
    _unchanged: NDArray[np.uint8] = field(default_factory=lambda: np.zeros((0, 0, 0), np.uint8))
    _replaced: dict[int, dict[str, ReplacedLevel]] = field(default_factory=dict[int, dict[str, ReplacedLevel]])

    def add(self, prediction: ProbedPrediction) -> None:
        """Keep what is shown of ``prediction``: all gates of one level, or nothing replaced."""
        label = self.book.run.predictor.target.label_map(prediction.logits).numpy()
        levels = {key.level for key in prediction.replaced}
        maps = {
            level: _mean_map(level, [found for key, found in prediction.replaced.items() if key.level == level])
            for level in levels
        }
        if prediction.intervention == NOTHING:
            self._own, self._unchanged = dict(sorted(maps.items())), label
        elif prediction.intervention in self.book.interventions and prediction.target in map(_target, levels):
            [(level, coefficients)] = maps.items()
            self._replaced.setdefault(level, {})[prediction.intervention] = ReplacedLevel(coefficients, label)

    def write(self) -> bool:
        """Write pictures/<case_id>.png unless no whole level was changed; return whether it was written."""
        if not self._replaced:
            return False
        case, run = self.case, self.book.run
        mark = " (phantom)" if run.cohort.is_phantom else ""
        intervention_picture(
            LabelledScan(case.image[0].numpy(), np.where(case.label == IGNORED, 0, case.label), case.spacing),
            self._unchanged,
            self._own,
            self._replaced,
            run.predictor.labels,
            self.book.folder / PICTURES / f"{case.case.case_id}.png",
            title=f"{case.case.case_id}{mark}: interventions on all gates of one level",
            is_relative=has_softmax_gates(run.predictor.network),
        )
        return True


def _target(level: int) -> str:
    return f"level {level}"


def _mean_map(level: int, maps: Sequence[CaseMap]) -> LevelCoefficients:
    """Return the mean of all maps of a level's gates, (1, h, w, d)."""
    values = torch.cat([found.over_image for found in maps]).mean(dim=0, keepdim=True)
    first, second, third = maps[0].cell_size
    left, lower, front = maps[0].offset
    return LevelCoefficients(level, values.numpy(), (first, second, third), (left, lower, front))
