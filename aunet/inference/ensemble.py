"""Several trained networks that predict as one: the mean of their probabilities at the voxels of the scan."""

from collections.abc import Hashable, Sequence
from pathlib import Path

import torch

from aunet.classes import describe_classes
from aunet.data.io.volume import Volume
from aunet.data.preprocessing.region import find_box
from aunet.errors import UserError
from aunet.inference.label_volume import OnProgress
from aunet.inference.prediction import LABEL_MAP, Outputs, Postprocessing, Prediction, postprocess
from aunet.inference.predictor import Predictor, predict_by_rows
from aunet.inference.prepared_scan import NetworkInput, PreparedScan
from aunet.inference.scan_rows import Allocate, new_array


class Ensemble:
    """Networks of several runs with the same classes and channels, each with its own preprocessing and inferer.

    Args:
        members: the predictors of the runs, whose own post-processing is not applied.
        names: of the runs, for messages.
        postprocessing: steps that change the label map of the mean.

    Raises:
        UserError: if the runs differ in their classes or in the number of channels.
    """

    def __init__(
        self, members: Sequence[Predictor], names: Sequence[str], postprocessing: Sequence[Postprocessing] = ()
    ) -> None:
        self.members = tuple(members)
        self.labels = members[0].labels
        self.postprocessing = tuple(postprocessing)
        for member, name in zip(members[1:], names[1:], strict=True):
            for meaning, first, other in (
                ("the classes", describe_classes(self.labels), describe_classes(member.labels)),
                ("channels:", members[0].in_channels, member.in_channels),
            ):
                if first != other:
                    raise UserError(
                        f"{name}: has {meaning} {other}, {names[0]} has {first}. An ensemble needs runs that agree on"
                        " both: leave one out."
                    )

    @property
    def device(self) -> torch.device:
        """Return the device of the first network."""
        return self.members[0].device

    def predict(self, scan: str | Path | Sequence[str | Path], outputs: Outputs = LABEL_MAP) -> Prediction:
        """Label one scan, as ``Predictor.predict``."""
        return self.predict_prepared(self.prepare(self.read(scan)), outputs)

    def read(self, scan: str | Path | Sequence[str | Path]) -> list[Volume]:
        """Read the channels of a scan, as ``Predictor.read``."""
        return self.members[0].read(scan)

    def predict_volume(
        self, channels: Sequence[Volume], outputs: Outputs = LABEL_MAP, *, on_progress: OnProgress | None = None
    ) -> Prediction:
        """Label a scan in memory, as ``Predictor.predict_volume``."""
        self.check_outputs(outputs)
        return self.predict_prepared(self.prepare(channels), outputs, on_progress=on_progress)

    def prepare(self, channels: Sequence[Volume]) -> PreparedScan:
        """Preprocess a scan, as ``Predictor.prepare``; members that do so alike share one image."""
        inputs: dict[Hashable, NetworkInput] = {}
        keys: list[Hashable] = []
        for member in self.members:
            box = find_box(member.region, channels)
            keys.append(key := (member.preprocessing, box, member.device, member.is_air_skipped))
            if key not in inputs:
                inputs[key] = member.prepare_box(channels, box)
        return PreparedScan(channels[0].shape, channels[0].affine, tuple(inputs[key] for key in keys))

    def predict_prepared(
        self,
        scan: PreparedScan,
        outputs: Outputs = LABEL_MAP,
        *,
        allocate: Allocate = new_array,
        on_progress: OnProgress | None = None,
    ) -> Prediction:
        """Label a prepared scan, as ``Predictor.predict_prepared``; attention is that of one network alone."""
        self.check_outputs(outputs)
        prediction = predict_by_rows(self.members, scan, outputs, allocate, on_progress)
        return postprocess(prediction, self.postprocessing)

    def check_outputs(self, outputs: Outputs) -> None:
        """Raise UserError if the attention is requested."""
        if outputs.attention:
            raise UserError("--attention: each run of an ensemble has its own gates. Name one run.")

    def warn_if_unusual(self, channels: Sequence[Volume]) -> None:
        """Log a warning for what lies beyond the range of the scans that the networks were trained on."""
        for training_range in dict.fromkeys(member.training_range for member in self.members):
            if training_range is not None:
                training_range.warn(channels)


ScanPredictor = Predictor | Ensemble
"""A run, or several as one."""
