"""The predictor that `load_run` returns: a trained network with everything needed to label a scan file."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from aunet.classes import Labels
from aunet.data.io.volume import Volume, read_channels, write_label
from aunet.data.preprocessing.region import RegionFinder, find_box
from aunet.data.preprocessing.resampling import Affine
from aunet.data.preprocessing.steps import Preprocessing
from aunet.errors import UserError
from aunet.inference.body_mask import find_body
from aunet.inference.engine_choice import EngineChoice
from aunet.inference.engines import Engine
from aunet.inference.inferers import Inferer
from aunet.inference.label_volume import label_volume
from aunet.inference.native_space import LabelMapRestorer
from aunet.inference.sliding_window import VolumePrediction, evaluating, predict_volume
from aunet.inference.window_layout import Window
from aunet.networks.layers import AUTOCAST_TYPES, Precision, lay_out_channels_last
from aunet.networks.processor_convolutions import ProcessorConvolutions


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
    """The path from scans to label maps: read, preprocess, predict in windows, back to the scan's grid.

    Args:
        network: returns logits (B, K, h, w, d) for an image (B, C, h, w, d).
        preprocessing: as in training.
        labels: names of the K classes.
        window: the inferer, see ``aunet.inference.inferers``.
        precision: "bf16" and "fp16" run the network under autocast.
        channels_last: memory format of the network, faster in bf16 on many CPUs and GPUs.
        device: where the network runs; it is moved there.
        in_channels: channels that the network accepts, checked before it runs; None if unknown.
        region: finds the part of each scan that the network labels; the rest is background. None for whole scans.
        sums: type of the sums of overlapping windows in ``predict``.
        is_air_skipped: whether ``predict`` skips windows without any part of the body, in CT.
        engine: that runs the network in ``predict``; None runs the network itself, as in validation.
        postprocessing: steps that change the label map on the scan's grid, in their order.
    """

    def __init__(
        self,
        network: nn.Module,
        preprocessing: Preprocessing,
        labels: Labels,
        window: Inferer,
        precision: Precision = "float32",
        channels_last: bool = False,
        device: torch.device | str = "cpu",
        in_channels: int | None = None,
        region: RegionFinder | None = None,
        sums: torch.dtype = torch.float32,
        is_air_skipped: bool = False,
        engine: EngineChoice | None = None,
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
        self.region = region
        self._in_channels = in_channels
        self._sums = sums
        self._is_air_skipped = is_air_skipped
        self._engine_choice = engine
        self._engine: Engine | None = None
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
        if self.region is None:
            label = self._label(channels)
        else:
            box = find_box(self.region, channels)
            label = box.put_back(self._label([box.cut(channel) for channel in channels]), channels[0].shape)
        return self._postprocess(Prediction(label, channels[0].affine, self.labels))

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
        with torch.inference_mode(), self._autocast():
            return predict_volume(self.network, image, self.window, with_attention=with_attention)

    def _label(self, channels: Sequence[Volume]) -> NDArray[np.uint8]:
        """Return the label map (H, W, D) of all of ``channels``."""
        prepared = self.preprocessing.image(channels)
        image, native = torch.from_numpy(prepared.array), channels[0]
        grid = native.shape, native.affine, self.preprocessing.resampling
        restorer = LabelMapRestorer(prepared.affine, image.shape[1:], *grid)
        body = find_body(native, tuple(image.shape[1:]), prepared.affine) if self._is_air_skipped else None
        image = image.to(self.device, torch.float32)
        forward = self._engine_for(image) or self._forward
        with torch.inference_mode(), evaluating(self.network):
            label_volume(forward, image, self.window, restorer, sums=self._sums, body=body)
        return restorer.label()

    def _engine_for(self, image: Tensor) -> Engine | None:
        """Return the engine, which is chosen on a patch from the middle of the first image (C, h, w, d)."""
        if self._engine is None and self._engine_choice is not None:
            layout = Window(self.window.patch_size, 0.0, self.window.size_multiple).lay_out(image.shape[1:])
            patch = layout.cut(layout.pad(image), layout.corners[len(layout.corners) // 2])
            self._engine = self._engine_choice.resolve(self.network, patch[None])
        return self._engine

    def _forward(self, windows: Tensor) -> Tensor:
        with self._autocast(), ProcessorConvolutions():
            return self.network(windows)

    def _autocast(self) -> torch.autocast:
        autocast_type = AUTOCAST_TYPES.get(self.precision)
        return torch.autocast(self.device.type, autocast_type, enabled=autocast_type is not None)
