"""Random changes of training patches, on the batch, on its device, each keyed by (seed, epoch, sample)."""

import math
from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import torch
from monai.transforms.compose import Compose
from monai.transforms.intensity.dictionary import RandAdjustContrastd, RandGaussianNoised, RandScaleIntensityd
from monai.transforms.spatial.dictionary import RandAffined, RandFlipd
from torch import Tensor

from aunet.data.keyed_randomness import transform_seed

_MODES = {"image": "bilinear", "label": "nearest"}


class Augmentation:
    """The paper's affine changes, flips and crops, and for MR small changes of intensity.

    A patch one voxel thick, a 2D image, is changed within its plane.

    Args:
        patch_size: size of the patches that come out (voxels).
        rotation: largest rotation about each axis in degrees.
        scale: the size changes by a factor of 1 - scale to 1 + scale.
        shift: largest shift as a share of the patch.
        flip_axes: spatial axes flipped with probability 1/2 each (0 is right-left, 1 back-front, 2 feet-head).
        affine_probability: share of the samples that are rotated, scaled and shifted.
        intensity_probability: share of the samples whose noise, gain and contrast change; 0 for CT, as its
            HU have a meaning.
    """

    def __init__(
        self,
        patch_size: Sequence[int],
        rotation: float = 15.0,
        scale: float = 0.3,
        shift: float = 0.1,
        flip_axes: Sequence[int] = (0, 1, 2),
        affine_probability: float = 1.0,
        intensity_probability: float = 0.0,
    ) -> None:
        self._patch_size = tuple(patch_size)
        self._margin = 1.0 + scale if affine_probability else 1.0
        has_extent = [length > 1 for length in self._patch_size]
        affine = RandAffined(
            keys=list(_MODES),
            mode=list(_MODES.values()),
            spatial_size=self._patch_size,
            prob=affine_probability,
            rotate_range=[math.radians(rotation) * _turns(axis, has_extent) for axis in range(len(has_extent))],
            scale_range=[scale * extended for extended in has_extent],
            translate_range=[
                shift * length * extended for length, extended in zip(self._patch_size, has_extent, strict=True)
            ],
            padding_mode="zeros",
        )
        flips = [RandFlipd(keys=list(_MODES), prob=0.5, spatial_axis=axis) for axis in flip_axes]
        self._transforms = Compose([affine, *flips, *_intensity_changes(intensity_probability)])

    @property
    def read_size(self) -> tuple[int, ...]:
        """What to read so that a rotated or shrunk patch seldom looks beyond it (voxels)."""
        return tuple(math.ceil(length * self._margin) if length > 1 else 1 for length in self._patch_size)

    def __call__(self, batch: Mapping[str, Any], seed: int) -> tuple[Tensor, Tensor]:
        """Change a batch whose "image" is (B, C, *read_size), "label" (B, 1, *read_size) and "key" (B, 2).

        Returns image (B, C, *patch_size) and label (B, 1, *patch_size) on the batch's device.
        """
        samples = zip(batch["image"], batch["label"], batch["key"].tolist(), strict=True)
        changed = [self._change(image, label, transform_seed(seed, *key)) for image, label, key in samples]
        return torch.stack([image for image, _ in changed]), torch.stack([label for _, label in changed])

    def _change(self, image: Tensor, label: Tensor, seed: int) -> tuple[Tensor, Tensor]:
        self._transforms.set_random_state(seed=seed)
        sample: Mapping[Hashable, Any] = {"image": image, "label": label.float()}
        changed: Any = self._transforms(sample)
        return changed["image"].as_tensor(), changed["label"].as_tensor().to(label.dtype)


def _turns(axis: int, has_extent: Sequence[bool]) -> bool:
    """Whether a patch can be rotated about ``axis``: not out of the plane of one that is a voxel thick."""
    return all(extended for other, extended in enumerate(has_extent) if other != axis)


def _intensity_changes(probability: float) -> list[Any]:
    if not probability:
        return []
    return [
        RandGaussianNoised(keys="image", prob=probability, std=0.1),
        RandScaleIntensityd(keys="image", prob=probability, factors=0.2),
        RandAdjustContrastd(keys="image", prob=probability, gamma=(0.8, 1.25), retain_stats=True),
    ]
