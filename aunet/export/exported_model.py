"""A trained network with all that a program without aunet must know to label scans with it."""

import copy
import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path

import torch
from torch import nn

from aunet.config.schema import TargetNode
from aunet.data.cohort.case import Modality
from aunet.data.preprocessing.intensity_scale import IntensityScale
from aunet.export.standalone.postprocessing import Step
from aunet.export.standalone.processing import Intensities, Windows
from aunet.inference.engines import fold_batch_norms
from aunet.inference.inferers import Inferer, WholeVolume
from aunet.inference.postprocessing import HoleFilling, LargestComponent, MaskStep, MinimumVolume
from aunet.inference.prediction import Postprocessing
from aunet.inference.predictor import Predictor
from aunet.inference.window_layout import Window

_log = logging.getLogger(__name__)
_MEASURED_ON: dict[Modality, str] = {"ct": "all", "mr": "nonzero", "pet": "positive", "picture": "all"}
_STEP_NAMES: dict[type[MaskStep], str] = {
    LargestComponent: "largest_component",
    MinimumVolume: "minimum_volume",
    HoleFilling: "hole_filling",
}
# Voxels of a scan that is predicted in one pass whatever its size.
_UNLIMITED = 10**12
_OF_CLASSES = "Resample the logits to the voxels of the scan like the image, and take the class with the highest one."
_OF_REGIONS = (
    "Resample the logits to the voxels of the scan like the image. Their sigmoid is the probability of each region,"
    " which may overlap: paint the regions in their order, 1, 2 and so on, where it exceeds 1/2 (the logit 0)."
)
_STEPS = [
    "Bring the axes to RAS+ order by permuting and flipping them.",
    "Resample every channel to preprocessing.spacing (mm) on a grid with the centre of the scan and"
    " ceil(size * side / spacing) voxels along each axis: a voxel that is larger than the scan's takes the mean over"
    " its extent if preprocessing.resampling is area; all others are interpolated linearly.",
    "Clip every channel to its window, subtract its mean and divide by its sd; null means those of the scan, over all,"
    " nonzero or positive voxels.",
    "Pad with zeros, half on each side, to multiples of windows.size_multiple, at least to windows.patch_size.",
    "If that is at most windows.one_pass_voxels voxels, run the network once. Otherwise run it on windows of"
    " windows.patch_size, spread evenly from one end to the other, that share windows.overlap at least and begin at"
    " multiples of windows.size_multiple, and average their logits with Gaussian weights (sd: an eighth of each side;"
    " at least 0.001). processing.py is exact.",
    _OF_CLASSES,
    "Bring the axes back to the order of the file.",
    "Apply the steps of postprocessing in their order; postprocessing.py is exact.",
]


@dataclass(frozen=True)
class ExportedModel:
    """A trained run as the formats write it.

    Attributes:
        predictor: of the run, in float32 on the CPU, without steps that files of other programs cannot hold.
        name: of the model.
        network: the settings that build the network.
        spatial_dims: of the network; 2 for one that labels slice by slice.
        in_channels: of the scans.
        windows: how they are laid over a scan.
        postprocessing: steps on the label map.
        left_out: settings of the run that the files do not apply.
    """

    predictor: Predictor
    name: str
    network: TargetNode
    spatial_dims: int
    in_channels: int
    windows: Windows
    postprocessing: tuple[Step, ...] = ()
    left_out: tuple[str, ...] = ()

    @property
    def modalities(self) -> tuple[Modality, ...]:
        """Return the modality of each channel."""
        modality = self.predictor.preprocessing.modality
        return (modality,) * self.in_channels if isinstance(modality, str) else modality

    def intensities(self) -> list[Intensities]:
        """Return how each channel is standardised."""
        preprocessing = self.predictor.preprocessing
        scales = preprocessing.scales or (None,) * self.in_channels
        pairs = zip(self.modalities, scales, strict=True)
        return [_intensities(modality, preprocessing.window, scale) for modality, scale in pairs]

    def settings(self) -> dict[str, object]:
        """Return the content of ``processing.json``."""
        preprocessing, regions = self.predictor.preprocessing, self.regions
        return {
            "aunet": version("aunet"),
            "model": self.name,
            "input": "image: float32 (1, channels, right, anterior, superior)",
            "output": f"logits: float32 (1, {'regions' if regions else 'classes'}, right, anterior, superior)",
            "activation": "sigmoid" if regions else "softmax",
            "steps": [_OF_REGIONS if step is _OF_CLASSES and regions else step for step in _STEPS],
            "preprocessing": {
                "orientation": "RAS",
                "spacing": list(preprocessing.spacing or ()),
                "resampling": preprocessing.resampling,
                "intensities": self.intensities(),
            },
            "windows": self.windows,
            "postprocessing": list(self.postprocessing),
            "classes": dict(enumerate(self.predictor.labels.names)),
            "regions": regions,
            "left_out": list(self.left_out),
        }

    @property
    def regions(self) -> list[list[int]]:
        """Return the numbers of the classes that make up each region; empty unless the classes are regions."""
        return [list(values) for values in self.predictor.labels.regions]

    def folded_network(self) -> nn.Module:
        """Return a copy of the network whose batch norms are part of its convolutions, in torch's usual layout."""
        return fold_batch_norms(_plain(self.predictor.network))


def _plain(network: nn.Module) -> nn.Module:
    """Return a copy with contiguous weights, as other programs expect them."""
    copied = copy.deepcopy(network).float().eval()
    for tensor in (*copied.parameters(), *copied.buffers()):
        tensor.data = tensor.data.contiguous()
    return copied


def describe_windows(inferer: Inferer, overlap: float, voxels_in_memory: int) -> Windows:
    """Return the windows of ``inferer``.

    Tiles, whose result is that of one pass, become one pass for a scan of at most ``voxels_in_memory`` and windows that
    share ``overlap`` for a larger one.
    """
    one_pass = voxels_in_memory
    if isinstance(inferer, Window):
        overlap, one_pass = inferer.overlap, inferer.one_pass_voxels
    elif isinstance(inferer, WholeVolume):
        one_pass = _UNLIMITED
    return Windows(
        patch_size=list(inferer.patch_size),
        overlap=overlap,
        size_multiple=list(inferer.size_multiple),
        one_pass_voxels=one_pass,
    )


def describe_step(step: Postprocessing) -> Step | None:
    """Return a step of aunet as the files hold it; None for one of others, which only its own code can apply."""
    if not isinstance(step, MaskStep) or type(step) not in _STEP_NAMES:
        return None
    least_ml = step.least_ml if isinstance(step, MinimumVolume) else None
    return Step(step=_STEP_NAMES[type(step)], class_name=step.class_name, least_ml=least_ml)


def copy_standalone(folder: Path, names: Sequence[str]) -> None:
    """Write the files ``names`` of ``aunet.export.standalone``, which import nothing of aunet, to ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        text = files("aunet.export.standalone").joinpath(name).read_text(encoding="utf-8")
        (folder / name).write_text(text, encoding="utf-8")


def installed_versions(*packages: str) -> dict[str, str]:
    """Return the versions of ``packages`` here, without the build that follows a plus sign."""
    return {package: version(package).partition("+")[0] for package in packages}


def example_window(model: ExportedModel) -> torch.Tensor:
    """Return a window (1, C, h, w, d) of two multiples along each axis, with which the network is traced."""
    return torch.zeros(1, model.in_channels, *(2 * unit for unit in model.windows["size_multiple"]))


def patch_window(model: ExportedModel) -> torch.Tensor:
    """Return a window (1, C, h, w, d) of the patch size, for networks that fix the size of their input."""
    return torch.zeros(1, model.in_channels, *model.windows["patch_size"])


def with_windows_alone(model: ExportedModel, format_name: str) -> ExportedModel:
    """Return the model for files of ``format_name`` whose input has one size; a line says so if it changes anything."""
    if model.windows["one_pass_voxels"]:
        _log.info(
            "%s: model=%s fixes the size of its input, so all scans are predicted in windows, none in one pass.",
            format_name,
            model.name,
        )
    return replace(model, windows={**model.windows, "one_pass_voxels": 0})


def _intensities(modality: Modality, window: tuple[float, float] | None, scale: IntensityScale | None) -> Intensities:
    bounds = window if scale is None else scale.window
    return Intensities(
        modality=modality,
        window=list(bounds) if modality == "ct" and bounds is not None else None,
        mean=None if scale is None else scale.mean,
        sd=None if scale is None else scale.sd,
        measured_on=_MEASURED_ON[modality],
    )
