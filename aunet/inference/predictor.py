"""The predictor that `load_run` returns: a trained network with everything needed to label a scan file."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from aunet.classes import Labels
from aunet.data.io.grid import Shape
from aunet.data.io.volume import Volume, read_channels
from aunet.data.preprocessing.region import Box, RegionFinder, find_box
from aunet.data.preprocessing.steps import Preprocessing
from aunet.errors import UserError
from aunet.inference.body_mask import find_body
from aunet.inference.engine_choice import EngineChoice
from aunet.inference.engines import Engine
from aunet.inference.gate_volumes import check_attention, gate_volumes
from aunet.inference.inferers import Inferer
from aunet.inference.label_volume import OnProgress, label_volume, volume_rows
from aunet.inference.mirror_images import Mirror, MirroredForward
from aunet.inference.native_space import LabelMapRestorer, RowRestorer
from aunet.inference.prediction import LABEL_MAP, FloatVolume, Origin, Outputs, postprocess
from aunet.inference.prediction import Postprocessing as Postprocessing
from aunet.inference.prediction import Prediction as Prediction
from aunet.inference.prepared_scan import NetworkInput, PreparedScan, check_channels
from aunet.inference.scan_rows import (
    Allocate,
    ScanRow,
    assemble_rows,
    mean_rows,
    new_array,
    restored_rows,
    rows_at_once,
    stored_volumes,
    uncropped_rows,
)
from aunet.inference.sliding_window import Forward, VolumePrediction, evaluating, predict_coefficients, predict_volume
from aunet.inference.training_range import TrainingRange
from aunet.inference.window_layout import Window
from aunet.networks.layers import AUTOCAST_TYPES, Precision, lay_out_channels_last
from aunet.networks.processor_convolutions import ProcessorConvolutions
from aunet.networks.protocols import gates_per_skip
from aunet.targets import target_of


class Predictor:
    """The path from scans to label maps: read, preprocess, predict in windows, back to the scan's grid.

    Args:
        network: returns logits (B, K, h, w, d) for an image (B, C, h, w, d).
        preprocessing: as in training.
        labels: the classes, which give the K channels of the logits their meaning.
        inferer: lays windows over a scan, see ``aunet.inference.inferers``.
        precision: "bf16" and "fp16" run the network under autocast.
        channels_last: memory format of the network, faster in bf16 on many CPUs and GPUs.
        device: where the network runs; it is moved there.
        in_channels: channels that the network accepts, checked before it runs; None if unknown.
        region: finds the part of each scan that the network labels; the rest is background. None for whole scans.
        sums: type of the sums of overlapping windows in ``predict``.
        is_air_skipped: whether ``predict`` skips windows without any part of the body, in CT.
        engine: that runs the network in ``predict``; None runs the network itself, as in validation.
        postprocessing: steps that change the label map on the scan's grid, in their order.
        mirrors: mirror images over which ``predict`` averages, in all combinations.
        training_range: of the scans that the network was trained on; None if unknown.
        origin: run that the network comes from; None if it comes from none.
    """

    def __init__(
        self,
        network: nn.Module,
        preprocessing: Preprocessing,
        labels: Labels,
        inferer: Inferer,
        precision: Precision = "float32",
        channels_last: bool = False,
        device: torch.device | str = "cpu",
        in_channels: int | None = None,
        region: RegionFinder | None = None,
        sums: torch.dtype = torch.float32,
        is_air_skipped: bool = False,
        engine: EngineChoice | None = None,
        postprocessing: Sequence[Postprocessing] = (),
        mirrors: Sequence[Mirror] = (),
        training_range: TrainingRange | None = None,
        origin: Origin | None = None,
    ) -> None:
        self.network = network.to(device).eval()
        if channels_last:
            lay_out_channels_last(self.network)
        self.preprocessing = preprocessing
        self.labels = labels
        self.target = target_of(labels)
        self.inferer = inferer
        self.precision: Precision = precision
        self.channels_last = channels_last
        self.device = torch.device(device)
        self.region = region
        self.in_channels = in_channels
        self._sums = sums
        self.is_air_skipped = is_air_skipped
        self._engine_choice = engine
        self._engine: Engine | None = None
        self.postprocessing = tuple(postprocessing)
        self.mirrors = tuple(mirrors)
        self.training_range = training_range
        self.origin = origin

    @property
    def members(self) -> tuple["Predictor", ...]:
        """Return the predictor itself; an ensemble has several."""
        return (self,)

    def predict(self, scan: str | Path | Sequence[str | Path], outputs: Outputs = LABEL_MAP) -> Prediction:
        """Label one scan: NIfTI, a folder of DICOM or a picture, or one file per channel in the order of training."""
        return self.predict_prepared(self.prepare(self.read(scan)), outputs)

    def read(self, scan: str | Path | Sequence[str | Path]) -> list[Volume]:
        """Read the channels of a scan file, or of one file per channel; safe in another thread during a prediction."""
        paths = [scan] if isinstance(scan, (str, Path)) else scan
        channels = [channel for path in paths for channel in read_channels(Path(path))]
        check_channels(channels, self.in_channels)
        return channels

    def predict_volume(
        self, channels: Sequence[Volume], outputs: Outputs = LABEL_MAP, *, on_progress: OnProgress | None = None
    ) -> Prediction:
        """Label a scan in memory, given as its channels on one grid; errors as ``predict_prepared``."""
        self.check_outputs(outputs)
        return self.predict_prepared(self.prepare(channels), outputs, on_progress=on_progress)

    def prepare(self, channels: Sequence[Volume]) -> PreparedScan:
        """Preprocess the channels of a scan, whose voxels are not needed afterwards; raise UserError if unusable."""
        inputs = (self.prepare_box(channels, find_box(self.region, channels)),)
        return PreparedScan(channels[0].shape, channels[0].affine, inputs)

    def prepare_box(self, channels: Sequence[Volume], box: Box) -> NetworkInput:
        """Preprocess the part of a scan inside ``box``."""
        check_channels(channels, self.in_channels)
        native = [box.cut(channel) for channel in channels]
        prepared = self.preprocessing.image(native)
        body = find_body(native[0], prepared.array.shape[1:], prepared.affine) if self.is_air_skipped else None
        image = torch.from_numpy(prepared.array).to(self.device, torch.float32)
        return NetworkInput(image, prepared.affine, box, (native[0].shape, native[0].affine), body)

    def predict_prepared(
        self,
        scan: PreparedScan,
        outputs: Outputs = LABEL_MAP,
        *,
        allocate: Allocate = new_array,
        on_progress: OnProgress | None = None,
    ) -> Prediction:
        """Label a scan that ``prepare`` returned.

        Args:
            scan: the prepared scan.
            outputs: volumes to return beside the label map.
            allocate: makes room for those of float32, by default in memory.
            on_progress: called with the share of the windows that are done.

        Raises:
            UserError: for a scan that cannot be predicted, or attention that this network does not have.
        """
        self.check_outputs(outputs)
        [seen] = scan.inputs
        if outputs.needs_probabilities:
            prediction = predict_by_rows([self], scan, outputs, allocate, on_progress)
        else:
            label = seen.box.put_back(self._label(seen, on_progress), scan.shape)
            prediction = Prediction(label, scan.affine, self.labels)
        if outputs.attention:
            prediction = replace(prediction, attention=self._attention(seen, scan.shape, allocate))
        return postprocess(prediction, self.postprocessing)

    def predict_preprocessed(self, image: Tensor, with_attention: bool = False) -> VolumePrediction:
        """Return logits, and coefficients if ``with_attention``, of a preprocessed image (C, h, w, d) on its grid."""
        with torch.inference_mode(), self._autocast():
            return predict_volume(self.network, image, self.inferer, with_attention=with_attention)

    def scan_rows(
        self,
        seen: NetworkInput,
        scan_shape: Shape,
        on_progress: OnProgress | None = None,
        *,
        has_information: bool = True,
    ) -> tuple[int, Iterator[ScanRow]]:
        """Return an axis of a scan and its rows across it; the network runs over ``seen`` while they are taken.

        Take them under ``torch.inference_mode``. With ``has_information`` entropies are the means over mirror images.
        """
        image, has_map = seen.image, has_information and bool(self.mirrors)
        at_once = rows_at_once(len(self.labels.outputs) + has_map, seen.grid[0])
        restorer = RowRestorer(seen.affine, image.shape[1:], *seen.grid, self.preprocessing.resampling, at_once)
        forward = self._forward_for(image, has_information=has_map)
        rows_of = partial(volume_rows, sums=self._sums, body=seen.body, on_progress=on_progress)
        parts = rows_of(forward, image, self.inferer, num_others=int(has_map), target=self.target)
        rows = restored_rows(parts, restorer, image.shape[1:], has_map, self.target)
        return restorer.axis, uncropped_rows(rows, seen.box, scan_shape, restorer, self.labels)

    def check_outputs(self, outputs: Outputs) -> None:
        """Raise UserError if the attention is requested and the network has no coefficients over a whole scan."""
        if outputs.attention:
            check_attention(self.network)

    def warn_if_unusual(self, channels: Sequence[Volume]) -> None:
        """Log a warning for what lies beyond the range of the scans that the network was trained on."""
        if self.training_range is not None:
            self.training_range.warn(channels)

    @property
    def engine_name(self) -> str:
        """Return the library and precision that run the network, known once a scan is predicted."""
        if self._engine is None:
            return f"network as in validation, {self.precision}"
        return f"{self._engine.name}, {self._engine.precision}"

    def _label(self, seen: NetworkInput, on_progress: OnProgress | None) -> NDArray[np.uint8]:
        """Return the label map (H, W, D) of the part of a scan that the network sees."""
        image, body = seen.image, seen.body
        restorer = LabelMapRestorer(
            seen.affine, image.shape[1:], *seen.grid, self.preprocessing.resampling, self.target
        )
        forward = self._forward_for(image)
        with torch.inference_mode(), evaluating(self.network):
            label_volume(forward, image, self.inferer, restorer, sums=self._sums, body=body, on_progress=on_progress)
        return restorer.label()

    def _attention(self, seen: NetworkInput, scan_shape: Shape, allocate: Allocate) -> dict[str, FloatVolume]:
        """Return the coefficients (H, W, D) of each gate by its name; 0 beyond the part that the network sees."""
        with torch.inference_mode(), self._autocast():
            levels = predict_coefficients(self.network, seen.image, self.inferer)
        if not levels:
            raise UserError("--attention: this run's network gates no skip. Leave it out, or name a run with gates.")
        gates = gates_per_skip(self.network)
        volumes = gate_volumes(levels.values(), gates, seen.affine, *seen.grid)
        return stored_volumes(volumes, seen.box, scan_shape, allocate)

    def _forward_for(self, image: Tensor, *, has_information: bool = False) -> Forward:
        forward = self._engine_for(image) or self._forward
        if not self.mirrors:
            return forward
        return MirroredForward(forward, self.mirrors, has_information=has_information, target=self.target)

    def _engine_for(self, image: Tensor) -> Engine | None:
        """Return the engine, which is chosen on a patch from the middle of the first image (C, h, w, d)."""
        if self._engine is None and self._engine_choice is not None:
            layout = Window(self.inferer.patch_size, 0.0, self.inferer.size_multiple).lay_out(image.shape[1:])
            patch = layout.cut_from(image, layout.corners[len(layout.corners) // 2])
            self._engine = self._engine_choice.resolve(self.network, patch[None])
        return self._engine

    def _forward(self, windows: Tensor) -> Tensor:
        with self._autocast(), ProcessorConvolutions():
            return self.network(windows)

    def _autocast(self) -> torch.autocast:
        autocast_type = AUTOCAST_TYPES.get(self.precision)
        return torch.autocast(self.device.type, autocast_type, enabled=autocast_type is not None)


def predict_by_rows(
    members: Sequence[Predictor],
    scan: PreparedScan,
    outputs: Outputs,
    allocate: Allocate,
    on_progress: OnProgress | None,
) -> Prediction:
    """Return the mean prediction of ``members``, made row by row; arguments as ``Predictor.predict_prepared``.

    Each member sees its own of ``scan.inputs``.
    """
    shares = [0.0] * len(members)

    def report(number: int, share: float) -> None:
        shares[number] = share
        if on_progress is not None:
            on_progress(sum(shares) / len(shares))

    empty = Prediction(np.zeros(scan.shape, np.uint8), scan.affine, members[0].labels)
    with torch.inference_mode(), ExitStack() as modes:
        for member in members:
            modes.enter_context(evaluating(member.network))
        of_members = [
            member.scan_rows(seen, scan.shape, partial(report, number), has_information=outputs.uncertainty)
            for number, (member, seen) in enumerate(zip(members, scan.inputs, strict=True))
        ]
        axis = of_members[0][0]  # the same for all, as it follows from the scan's orientation
        mean = mean_rows([rows for _, rows in of_members], members[0].target)
        return assemble_rows(mean, axis, empty, outputs, allocate)
