"""The predictor that `load_run` returns: a trained network with everything needed to label a scan file."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from aunet.classes import Labels
from aunet.data.io.volume import Volume, read_channels, write_label
from aunet.data.preprocessing.resampling import Affine
from aunet.data.preprocessing.steps import Preprocessing
from aunet.errors import UserError
from aunet.inference.native_space import restore_label_map
from aunet.inference.sliding_window import VolumePrediction, predict_volume
from aunet.inference.window_layout import Window
from aunet.networks.layers import lay_out_channels_last

Precision = Literal["float32", "bf16", "fp16"]


@dataclass(frozen=True)
class Prediction:
    """A label map (H, W, D) uint8 on the scan's own grid: its shape, axis order and affine (voxel -> RAS+ mm)."""

    label: NDArray[np.uint8]
    affine: Affine
    labels: Labels

    @property
    def spacing(self) -> tuple[float, float, float]:
        """Return the voxel size in mm along each stored axis."""
        return Volume(self.label, self.affine).spacing

    def write(self, path: str | Path) -> None:
        """Write the label map as NIfTI (.nii.gz or .nii), or that of a picture as PNG."""
        write_label(Path(path), self.label, self.affine)


# A step after the network: it returns the label map (H, W, D) that replaces that of a prediction.
Postprocessing = Callable[[Prediction], NDArray[np.uint8]]


class Predictor:
    """The path from scans to label maps: read, preprocess, sliding window, back to the scan's grid.

    Args:
        network: returns logits (B, K, h, w, d) for an image (B, C, h, w, d).
        preprocessing: as in training.
        labels: names of the K classes.
        window: the sliding window.
        precision: "bf16" and "fp16" run the network under autocast.
        channels_last: memory format of the network, faster in bf16 on many CPUs and GPUs.
        device: where the network runs; it is moved there.
        in_channels: channels that the network accepts, checked before it runs; None if unknown.
        postprocessing: steps that change the label map on the scan's grid, in their order.
    """

    def __init__(
        self,
        network: nn.Module,
        preprocessing: Preprocessing,
        labels: Labels,
        window: Window,
        precision: Precision = "float32",
        channels_last: bool = False,
        device: torch.device | str = "cpu",
        in_channels: int | None = None,
        postprocessing: Sequence[Postprocessing] = (),
    ) -> None:
        self.network = network.to(device).eval()
        if channels_last:
            lay_out_channels_last(self.network)
        self.preprocessing = preprocessing
        self.labels = labels
        self.window = window
        self.precision: Precision = precision
        self.channels_last = channels_last
        self.device = torch.device(device)
        self._in_channels = in_channels
        self._postprocessing = tuple(postprocessing)

    def predict(self, scan: str | Path | Sequence[str | Path]) -> Prediction:
        """Label one scan: NIfTI, a folder of DICOM or a picture, or one file per channel in the order of training."""
        return self.predict_volume(self.read(scan))

    def read(self, scan: str | Path | Sequence[str | Path]) -> list[Volume]:
        """Read the channels of a scan file, or of one file per channel; safe in another thread during a prediction."""
        paths = [scan] if isinstance(scan, (str, Path)) else scan
        channels = [channel for path in paths for channel in read_channels(Path(path))]
        if self._in_channels not in (None, len(channels)):
            raise UserError(
                f"{', '.join(str(path) for path in paths)}: {len(channels)} channels; the network was trained on "
                f"{self._in_channels}. Give one scan of that many channels."
            )
        return channels

    def predict_volume(self, channels: Sequence[Volume]) -> Prediction:
        """Label a scan in memory, given as its channels on one grid."""
        prepared = self.preprocessing.image(channels)
        logits = self.predict_preprocessed(torch.from_numpy(prepared.array)).logits
        native = channels[0]
        label = restore_label_map(logits, prepared.affine, native.shape, native.affine, self.preprocessing.resampling)
        return self._postprocess(Prediction(label, native.affine, self.labels))

    def _postprocess(self, prediction: Prediction) -> Prediction:
        for number, step in enumerate(self._postprocessing):
            label = step(prediction)
            if label.shape != prediction.label.shape:
                raise UserError(
                    f"inference.postprocessing[{number}]: returned a label map of shape {label.shape} for a scan of"
                    f" shape {prediction.label.shape}. Return one value per voxel of prediction.label."
                )
            prediction = replace(prediction, label=label.astype(np.uint8, copy=False))
        return prediction

    def predict_preprocessed(self, image: Tensor, with_attention: bool = False) -> VolumePrediction:
        """Return logits, and coefficients if ``with_attention``, of a preprocessed image (C, h, w, d) on its grid."""
        autocast_type = {"bf16": torch.bfloat16, "fp16": torch.float16}.get(self.precision)
        is_autocast = autocast_type is not None
        with torch.inference_mode(), torch.autocast(self.device.type, autocast_type, enabled=is_autocast):
            return predict_volume(self.network, image, self.window, with_attention=with_attention)
