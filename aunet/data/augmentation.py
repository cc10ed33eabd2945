"""Random changes of training patches, on the batch, on its device, each keyed by (seed, epoch, sample)."""

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import torch
from monai.transforms.compose import Compose
from monai.transforms.spatial.dictionary import RandFlipd
from torch import Tensor

from aunet.data.intensity_changes import intensity_changes, plain
from aunet.data.keyed_randomness import transform_seed
from aunet.data.patch_geometry import RandomGeometry

_KEYS = ("image", "label")


class Augmentation:
    """Patches rotated, scaled, shifted, bent and flipped, and changed in their intensities.

    A patch one voxel thick, a 2D image, is changed within its plane. ``geometry`` tells what of a scan to read.

    Args:
        patch_size: size of the patches that come out (voxels).
        rotation: largest rotation about each axis in degrees.
        scale: the size changes by a factor of 1 - scale to 1 + scale along each axis.
        shift: largest shift as a share of the patch.
        affine_probability: share of the samples that are rotated, scaled and shifted.
        elastic: largest bend, as a share of a quarter of the patch, at most 0.4.
        elastic_probability: share of the samples that are bent.
        flip_axes: spatial axes flipped with probability 1/2 each (0 is right-left, 1 back-front, 2 feet-head).
        intensity_probability: share of the samples that each change of the intensities is made to.
        intensities: the largest of each of these changes, as the keywords of ``intensity_changes``.
    """

    def __init__(
        self,
        patch_size: Sequence[int],
        rotation: float = 0.0,
        scale: float = 0.0,
        shift: float = 0.0,
        affine_probability: float = 0.0,
        elastic: float = 0.0,
        elastic_probability: float = 0.0,
        flip_axes: Sequence[int] = (),
        intensity_probability: float = 0.0,
        **intensities: float,
    ) -> None:
        self.geometry = RandomGeometry(
            tuple(patch_size), rotation, scale, shift, affine_probability, elastic, elastic_probability
        )
        flips = [RandFlipd(keys=_KEYS, prob=0.5, spatial_axis=axis) for axis in flip_axes]
        self._transforms = Compose([*flips, *intensity_changes(intensity_probability, **intensities)])

    def __call__(self, batch: Mapping[str, Any], seed: int) -> tuple[Tensor, Tensor]:
        """Change a batch as ``patch_sampling.joined`` gives it: "image" (B, C, *read), "label" (B, 1, *read), "key".

        Returns image (B, C, *patch_size) and label (B, 1, *patch_size) on the batch's device.
        """
        samples = zip(batch["image"], batch["label"], batch["key"].tolist(), strict=True)
        changed = [self._change(image, label, seed, key) for image, label, key in samples]
        return torch.stack([image for image, _ in changed]), torch.stack([label for _, label in changed])

    def _change(self, image: Tensor, label: Tensor, seed: int, key: tuple[int, int]) -> tuple[Tensor, Tensor]:
        geometry = self.geometry.draw(seed, *key)
        _, size = geometry.box
        box = (slice(None), *(slice(length) for length in size))
        sample: Mapping[Hashable, Any] = {
            "image": geometry.resample(image[box], "bilinear"),
            "label": geometry.resample(label[box].float(), "nearest"),
        }
        self._transforms.set_random_state(seed=transform_seed(seed, *key))
        changed: Any = self._transforms(sample)
        return plain(changed["image"]), plain(changed["label"]).to(label.dtype)
