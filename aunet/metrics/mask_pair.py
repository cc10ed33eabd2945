"""Prediction and reference of one class in one case, with everything that several metrics need computed once."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from aunet.metrics.calibration import Calibration
from aunet.metrics.lesions import LesionDetection
from aunet.metrics.overlap import Mask
from aunet.metrics.surface_distance import SurfaceDistances, border_distances, element_distances

# Two voxels of a usual CT: what readers of the same scan differ by at most organs.
DEFAULT_TOLERANCE_MM = 2.0


@dataclass(frozen=True)
class MaskPair:
    """Two boolean masks of one shape: of the whole scan, or of a crop with a margin of one voxel within the scan.

    ``spacing`` is the voxel size in mm along each axis, ``tolerance_mm`` the distance up to which surfaces agree,
    ``calibration`` that of the class's probabilities in the whole scan, if they are known.
    """

    prediction: Mask
    reference: Mask
    spacing: Sequence[float]
    tolerance_mm: float = DEFAULT_TOLERANCE_MM
    calibration: Calibration | None = None

    @cached_property
    def predicted_ml(self) -> float:
        """Return the volume of the prediction in ml."""
        return np.count_nonzero(self.prediction) * self._voxel_ml

    @cached_property
    def reference_ml(self) -> float:
        """Return the volume of the reference in ml."""
        return np.count_nonzero(self.reference) * self._voxel_ml

    @property
    def volume_difference_ml(self) -> float:
        """Return the predicted minus the reference volume in ml; NaN if both are empty."""
        difference = self.predicted_ml - self.reference_ml
        return difference if self.predicted_ml or self.reference_ml else float("nan")

    @property
    def _voxel_ml(self) -> float:
        return math.prod(self.spacing) / 1000

    @property
    def known_calibration(self) -> Calibration:
        """Return the calibration; NaN if probabilities are unknown, or if neither mask holds the class."""
        is_present = self.predicted_ml > 0 or self.reference_ml > 0
        return self.calibration if self.calibration and is_present else Calibration(math.nan, math.nan)

    @cached_property
    def lesions(self) -> LesionDetection:
        """Return the detection of the class's separate parts."""
        return LesionDetection.of_masks(self.prediction, self.reference)

    @cached_property
    def element_distances(self) -> SurfaceDistances:
        """Return the distances between surface elements weighted by area."""
        return element_distances(self.prediction, self.reference, self.spacing)

    @cached_property
    def border_distances(self) -> SurfaceDistances:
        """Return the distances between border voxels, which count alike."""
        return border_distances(self.prediction, self.reference, self.spacing)
