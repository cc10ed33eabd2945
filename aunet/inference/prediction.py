"""The prediction of one scan: its label map, and the volumes that may be requested beside it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from aunet.classes import Labels
from aunet.data.io.volume import Volume, write_label
from aunet.data.preprocessing.resampling import Affine
from aunet.errors import UserError

FloatVolume = NDArray[np.float32]
_COUNTED_AT_ONCE = 2**20


@dataclass(frozen=True)
class Outputs:
    """The volumes that a prediction returns beside the label map."""

    probabilities: bool = False
    uncertainty: bool = False
    attention: bool = False

    @property
    def needs_probabilities(self) -> bool:
        """Return whether probabilities at the scan's voxels are needed."""
        return self.probabilities or self.uncertainty


LABEL_MAP = Outputs()
"""The label map alone."""


@dataclass(frozen=True)
class Origin:
    """The run whose checkpoint holds a network's weights, and the settings of ``inference`` in effect."""

    folder: Path
    checkpoint: Path
    settings: Mapping[str, object]


@dataclass(frozen=True)
class Prediction:
    """A label map (H, W, D) uint8 on the scan's own grid: its shape, axis order and affine (voxel -> RAS+ mm).

    Attributes:
        label: the label map.
        affine: of the scan.
        labels: the classes.
        probabilities: (K, H, W, D) of the K ``labels.outputs``, if requested. Steps of post-processing do not change
            them.
        entropy: of the probabilities, in nats, (H, W, D), if the uncertainty is requested; of regions, which may
            overlap, the sum of their binary entropies.
        mutual_information: entropy of the mean probabilities less the mean of the entropies of all members, which are
            networks and mirror images (Houlsby et al. 2011), in nats; 0 if there is one member. If the uncertainty is
            requested.
        attention: coefficients (H, W, D) by gate, such as ``level_2`` or ``level_2_gate_1``, if requested.
    """

    label: NDArray[np.uint8]
    affine: Affine
    labels: Labels
    probabilities: FloatVolume | None = None
    entropy: FloatVolume | None = None
    mutual_information: FloatVolume | None = None
    attention: Mapping[str, FloatVolume] = field(default_factory=dict[str, FloatVolume])

    @property
    def spacing(self) -> tuple[float, float, float]:
        """Return the voxel size in mm along each stored axis."""
        return Volume(self.label, self.affine).spacing

    @property
    def volumes_ml(self) -> dict[str, float]:
        """Return the volume of each foreground class in ml, by name; a region includes those that lie in it."""
        counts = count_values(self.label, self.labels.num_classes)
        voxel_ml = abs(float(np.linalg.det(self.affine[:3, :3]))) / 1000
        return {
            name: float(counts[list(self.labels.values_of(index))].sum()) * voxel_ml
            for index, name in self.labels.foreground
        }

    def write(self, path: str | Path) -> None:
        """Write the label map as NIfTI (.nii.gz or .nii), or that of a picture as PNG."""
        write_label(Path(path), self.label, self.affine)


def count_values(array: NDArray[np.integer], num_values: int) -> NDArray[np.intp]:
    """Return how often each of 0 to ``num_values - 1``, which are all, occurs in an array.

    The array is counted in parts, as ``np.bincount`` copies what it counts to eight bytes each.
    """
    values = array.ravel(order="K")
    counts = np.zeros(num_values, np.intp)
    for first in range(0, len(values), _COUNTED_AT_ONCE):
        counts += np.bincount(values[first : first + _COUNTED_AT_ONCE], minlength=num_values)
    return counts


# A step after the network: it returns the label map (H, W, D) that replaces that of a prediction.
Postprocessing = Callable[[Prediction], NDArray[np.uint8]]


def postprocess(prediction: Prediction, steps: Sequence[Postprocessing]) -> Prediction:
    """Apply ``steps`` to the label map, in their order; raise UserError if one returns another shape."""
    for number, step in enumerate(steps):
        label = step(prediction)
        if label.shape != prediction.label.shape:
            raise UserError(
                f"inference.postprocessing[{number}]: returned a label map of shape {label.shape} for a scan of"
                f" shape {prediction.label.shape}. Return one value per voxel of prediction.label."
            )
        prediction = replace(prediction, label=label.astype(np.uint8, copy=False))
    return prediction
