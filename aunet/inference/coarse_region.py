"""The region that a coarse run predicts, with which a finer run crops its scans: localise, then segment."""

from collections.abc import Callable, Sequence
from functools import cached_property
from threading import Lock

from aunet.data.io.volume import Volume
from aunet.data.preprocessing.region import Box, box_around
from aunet.inference.prediction import Prediction
from aunet.inference.predictor import Predictor


class CoarseRegion:
    """The box around what a coarse network predicts in a scan; see ``box_around``.

    The network is loaded for the first scan. Several threads may ask at once; it predicts one scan at a time.

    Args:
        load: loads the coarse run.
        classes: those of its classes that the box encloses; each must be found.
        margin_mm: by which the box exceeds them.
        identity: digest of the coarse run's configuration and weights.
    """

    def __init__(self, load: Callable[[], Predictor], classes: Sequence[int], margin_mm: float, identity: str) -> None:
        self.missed: list[str] = []
        self._load = load
        self._classes = classes
        self._margin_mm = margin_mm
        self._identity = identity
        self._lock = Lock()

    def find(self, channels: Sequence[Volume]) -> Box | None:
        """Return the box of a scan; None, with its name added to ``missed``, if a class is not found."""
        with self._lock:
            prediction = self._predictor.predict_volume(channels)
        box = self._box(prediction, channels[0].spacing)
        if box is None:
            self.missed.append(channels[0].name)
        return box

    def _box(self, prediction: Prediction, spacing: Sequence[float]) -> Box | None:
        """Return the box around the classes; a region that overlaps others is there if one of its parts is."""
        label, values_of = prediction.label, prediction.labels.values_of
        found = [[value for value in values_of(index) if (label == value).any()] for index in self._classes]
        if not all(found):
            return None
        return box_around(label, sorted({value for of in found for value in of}), spacing, self._margin_mm)

    def settings(self) -> dict[str, object]:
        """Return the coarse run's identity, the classes and the margin."""
        return {"run": self._identity, "classes": list(self._classes), "margin_mm": float(self._margin_mm)}

    @cached_property
    def _predictor(self) -> Predictor:
        return self._load()
