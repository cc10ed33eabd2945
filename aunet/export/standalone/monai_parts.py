"""The parts of the bundle that MONAI lacks: resampling by the mean over a voxel, aligned windows, and a short loop."""

import logging
from collections.abc import Callable, Hashable, Mapping, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.data import MetaTensor, NibabelWriter
from monai.data.utils import affine_to_spacing
from monai.inferers import Inferer
from monai.transforms import InvertibleTransform, MapTransform
from nibabel.loadsave import load

from .postprocessing import Step, postprocess
from .processing import (
    Array,
    Axis,
    Intensities,
    Windows,
    check_scan,
    paint,
    plan_axes,
    predict_windows,
    resample,
    standardise,
)

_log = logging.getLogger(__name__)


class Respaced(MapTransform, InvertibleTransform):
    """Resampling of RAS images (C, H, W, D) to ``spacing`` (mm) around their centre, undone by ``Invertd``.

    MONAI's ``Spacingd`` interpolates, which aliases when a scan becomes coarser, and starts at a corner. Here a coarser
    voxel is the mean over its extent (``resampling`` "area"), as in the training of the network.
    """

    def __init__(self, keys: Any, spacing: Sequence[float], resampling: str, allow_missing_keys: bool = False) -> None:
        MapTransform.__init__(self, keys, allow_missing_keys)
        self.spacing = spacing
        self.resampling = resampling

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Resample the images."""
        resampled = dict(data)
        for key in self.key_iterator(resampled):
            image = resampled[key]
            check_scan(image.numpy(), int(image.meta.get("xyzt_units", 0)))
            axes = self._axes(image.shape[1:], image.affine)
            resampled[key] = _replaced(image, [axis.to_grid(self.resampling) for axis in axes], _affine_of(image, axes))
            info = {"shape": tuple(image.shape[1:]), "affine": image.affine}
            self.push_transform(resampled[key], orig_size=tuple(image.shape[1:]), extra_info=info)
        return resampled

    def inverse(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Bring logits back to the voxels of the scan."""
        restored = dict(data)
        for key in self.key_iterator(restored):
            info = self.pop_transform(restored[key])["extra_info"]
            axes = self._axes(info["shape"], info["affine"])
            restored[key] = _replaced(restored[key], [axis.to_scan(self.resampling) for axis in axes], info["affine"])
        return restored

    def _axes(self, shape: Sequence[int], affine: Any) -> list[Axis]:
        return plan_axes(shape, affine_to_spacing(affine, suppress_zeros=False).tolist(), self.spacing)


def _affine_of(image: MetaTensor, axes: Sequence[Axis]) -> torch.Tensor:
    affine = image.affine.clone()
    affine[:3, 3] += affine[:3, :3] @ torch.tensor([axis.first for axis in axes], dtype=affine.dtype)
    affine[:3, :3] *= torch.tensor([axis.step for axis in axes], dtype=affine.dtype)
    return affine


def _replaced(image: MetaTensor, weights: Sequence[Array], affine: Any) -> MetaTensor:
    """Return ``image`` (C, ...) after a product with the weights of each axis, in its place ``affine``."""
    channels = [resample(channel, weights) for channel in image.detach().cpu().numpy()]
    meta = {key: value for key, value in image.meta.items() if key != "affine"}
    return MetaTensor(torch.from_numpy(np.stack(channels)), affine, meta, deepcopy(image.applied_operations))


class Standardised(MapTransform):
    """Clipping and standardisation of each channel by its modality; see ``processing.standardise``."""

    def __init__(self, keys: Any, intensities: Sequence[Intensities], allow_missing_keys: bool = False) -> None:
        super().__init__(keys, allow_missing_keys)
        self.intensities = intensities

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Standardise the images (C, H, W, D)."""
        standardised = dict(data)
        for key in self.key_iterator(standardised):
            image = standardised[key]
            pairs = zip(image.numpy(), self.intensities, strict=True)
            arrays = [standardise(channel, settings) for channel, settings in pairs]
            standardised[key] = MetaTensor(
                torch.from_numpy(np.stack(arrays)), meta=image.meta, applied_operations=image.applied_operations
            )
        return standardised


class Postprocessed(MapTransform):
    """Steps on label maps (1, H, W, D); see ``postprocessing.postprocess``."""

    def __init__(
        self,
        keys: Any,
        steps: Sequence[Step],
        class_names: Sequence[str],
        regions: Sequence[Sequence[int]] = (),
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        self.steps = steps
        self.class_names = class_names
        self.regions = regions

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Change the label maps."""
        changed = dict(data)
        for key in self.key_iterator(changed):
            label = changed[key]
            voxel_ml = abs(float(torch.linalg.det(label.affine[:3, :3]))) / 1000
            before = label.numpy()[0].astype(np.uint8)
            array = postprocess(before, self.steps, self.class_names, voxel_ml, self.regions)
            changed[key] = MetaTensor(torch.from_numpy(array[None]), meta=label.meta)
        return changed


class Painted(MapTransform):
    """The label map (1, H, W, D) of the logits (R, H, W, D) of regions that may overlap; see ``processing.paint``."""

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Replace the logits by the label map."""
        painted = dict(data)
        for key in self.key_iterator(painted):
            label = paint(painted[key].detach().cpu().numpy())
            painted[key] = MetaTensor(torch.from_numpy(label[None]), meta=painted[key].meta)
        return painted


class VolumeWriter(NibabelWriter):
    """A writer that keeps the third axis of a single slice; MONAI's drops it."""

    def set_data_array(self, data_array: Any, channel_dim: Any = 0, *args: Any, **kwargs: Any) -> None:
        """Take a label map (1, H, W, D)."""
        super().set_data_array(data_array, channel_dim, squeeze_end_dims=False)
        self.data_obj = self.data_obj[..., 0]


class WindowInferer(Inferer):
    """Windows on the network's own grid, averaged with Gaussian weights; a small scan is a single window.

    MONAI's ``SlidingWindowInferer`` averages likewise, but its windows begin at any voxel.
    """

    def __init__(self, patch_size: list[int], overlap: float, size_multiple: list[int], one_pass_voxels: int) -> None:
        super().__init__()
        self.windows = Windows(
            patch_size=patch_size, overlap=overlap, size_multiple=size_multiple, one_pass_voxels=one_pass_voxels
        )

    def __call__(self, inputs: torch.Tensor, network: Callable[..., torch.Tensor], *args: Any, **kwargs: Any) -> Any:
        """Return logits (B, K, h, w, d) of images (B, C, h, w, d)."""

        def forward(window: Array) -> Array:
            return network(torch.from_numpy(window).to(inputs.device), *args, **kwargs).float().cpu().numpy()

        images = torch.as_tensor(inputs).cpu().numpy()
        return torch.from_numpy(np.stack([predict_windows(forward, image, self.windows) for image in images]))


class Evaluator:
    """A loop over a dataset; a plain replacement of MONAI's ``SupervisedEvaluator``, which needs pytorch-ignite."""

    def __init__(self, dataset: Any, network: Any, inferer: Inferer, postprocessing: Any, device: torch.device) -> None:
        self.dataset = dataset
        self.network = network
        self.inferer = inferer
        self.postprocessing = postprocessing
        self.device = device

    def run(self) -> None:
        """Predict and save every scan of the dataset; one that fails is named and does not stop the others.

        Raises:
            SystemExit: with the number of the scans that failed, so that the exit status is 1.
        """
        if not len(self.dataset):
            raise FileNotFoundError("No NIfTI file in dataset_dir. Name the folder of the scans: --dataset_dir FOLDER")
        self.network.eval()
        failed = 0
        for number, scan in enumerate(self.dataset.data):
            try:
                self._label(self.dataset[number])
            except Exception as error:  # noqa: BLE001, reported with the scan
                failed += 1
                _log.error("%s: not labelled: %s", _file_names(scan["image"]), _cause(error))
        if failed:
            raise SystemExit(f"{failed} of {len(self.dataset)} scans were not labelled, for the reasons above.")

    def _label(self, case: Mapping[Hashable, Any]) -> None:
        image = case["image"]
        with torch.inference_mode():
            logits = self.inferer(image.as_tensor()[None].to(self.device), self.network)[0]
        # Of the label map: MONAI 1.6 would write that of an image with a channel axis as if it were 2D.
        image.meta["original_channel_dim"] = "no_channel"
        self.postprocessing({**case, "pred": MetaTensor(logits, meta=image.meta)})


def _file_names(files: str | Sequence[str]) -> str:
    return ", ".join(Path(file).name for file in ([files] if isinstance(files, str) else files))


def _cause(error: BaseException) -> str:
    """Return the error that MONAI's transforms wrap, in one line; a reader's own message is the last of theirs."""
    while error.__cause__ is not None:
        error = error.__cause__
    lines = [f"{type(error).__name__}: {error}", *str(error).splitlines()[1:]]
    return next(line for line in reversed(lines) if line.strip())


def scans_in(folder: str, num_channels: int) -> list[dict[str, Any]]:
    """Return the NIfTI files in ``folder``; those of several channels are 4D, or NAME_0000, NAME_0001, ..."""
    paths = sorted(path for path in Path(folder).glob("*.nii*") if not path.name.startswith("."))
    for path in paths:
        if path.with_suffix("") in paths:  # NAME.nii.gz beside NAME.nii
            raise ValueError(f"{path}: its label map would bear the name of that of {path.stem}. Move one of the two.")
    if num_channels == 1:
        return [{"image": str(path)} for path in paths]
    single = [path for path in paths if _may_be_one_channel(path)]  # files of all channels may be numbered too
    firsts = [path for path in single if "_0000.nii" in path.name]
    endings = [f"_{n:04d}.nii" for n in range(num_channels)]
    others = [path for path in paths if path not in single or not any(ending in path.name for ending in endings)]
    split = [
        [str(path.with_name(path.name.replace("_0000.nii", f"_{n:04d}.nii"))) for n in range(num_channels)]
        for path in firsts
    ]
    return [{"image": files} for files in split] + [{"image": str(path)} for path in others]


def _may_be_one_channel(path: Path) -> bool:
    """Return whether a file has one channel or, as ``Evaluator`` will report, cannot be read."""
    try:
        return bool(np.prod(load(path).shape[3:]) == 1)  # type: ignore[attr-defined]
    except Exception:  # noqa: BLE001, whatever is wrong with it
        return True
