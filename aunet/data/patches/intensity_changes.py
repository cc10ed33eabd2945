"""Random changes of a training patch's intensities; its label stays unchanged."""

from collections.abc import Callable, Hashable, Mapping
from typing import Any

from monai.data.meta_tensor import MetaTensor
from monai.networks.layers.convutils import gaussian_1d
from monai.networks.layers.simplelayers import separable_filtering
from monai.transforms.intensity.dictionary import (
    RandAdjustContrastd,
    RandGaussianNoised,
    RandScaleIntensityd,
    RandScaleIntensityFixedMeand,
)
from monai.transforms.transform import RandomizableTransform
from torch import Tensor, ones
from torch.nn import functional

Patch = Mapping[Hashable, Any]

_LEAST_BLUR = 0.5


def intensity_changes(
    probability: float,
    noise: float = 0.0,
    blur: float = 0.0,
    gain: float = 0.0,
    contrast: float = 0.0,
    low_resolution: float = 0.0,
    gamma: float = 0.0,
) -> list[RandomizableTransform]:
    """Return the transforms of a sample's "image" (C, H, W, D), each with ``probability``; strength 0 leaves one out.

    Args:
        probability: share of the samples to which each change is applied.
        noise: largest standard deviation of the noise added; the image's own is about 1.
        blur: largest standard deviation of the Gaussian in voxels, from 0.5 on.
        gain: intensities times 1 - gain to 1 + gain.
        contrast: distances from the mean times 1 - contrast to 1 + contrast, clipped to the original range.
        low_resolution: as if taken with 1 - low_resolution to 1 of the voxels along each axis.
        gamma: a power of 1 / (1 + gamma) to 1 + gamma of the intensities brought to 0 to 1; mean and deviation stay.
    """
    changes: list[tuple[float, Callable[[], RandomizableTransform]]] = [
        (noise, lambda: RandGaussianNoised(keys="image", prob=probability, std=noise)),
        (blur, lambda: RandomBlur(probability, blur)),
        (gain, lambda: RandScaleIntensityd(keys="image", prob=probability, factors=gain)),
        (
            contrast,
            lambda: RandScaleIntensityFixedMeand(
                keys="image", prob=probability, factors=contrast, fixed_mean=True, preserve_range=True
            ),
        ),
        (low_resolution, lambda: RandomLowResolution(probability, low_resolution)),
        (gamma, lambda: RandAdjustContrastd("image", probability, (1 / (1 + gamma), 1 + gamma), retain_stats=True)),
    ]
    return [change() for strength, change in changes if probability and strength]


class RandomBlur(RandomizableTransform):
    """A Gaussian blur of up to ``largest`` voxels; MONAI's pads the patch with 0, this one repeats its border."""

    def __init__(self, probability: float, largest: float) -> None:
        super().__init__(probability)
        self._range = min(_LEAST_BLUR, largest), largest

    def __call__(self, sample: Patch) -> Patch:
        """Blur the sample's image (C, H, W, D) along its axes longer than 1."""
        self.randomize(None)
        sigma = self.R.uniform(*self._range)
        if not self._do_transform:
            return sample
        image = plain(sample["image"])
        kernel = gaussian_1d(ones(1, device=image.device) * sigma, truncated=4.0)
        kernel /= kernel.sum()
        kernels = [kernel if length > 1 else ones(1, device=image.device) for length in image.shape[1:]]
        return {**sample, "image": separable_filtering(image[None], kernels, mode="replicate")[0]}


class RandomLowResolution(RandomizableTransform):
    """A resampling to fewer voxels and back; MONAI's leaves none along an axis of one."""

    def __init__(self, probability: float, most: float) -> None:
        super().__init__(probability)
        self._most = most

    def __call__(self, sample: Patch) -> Patch:
        """Coarsen the sample's image (C, H, W, D): the nearest voxel on the way down, linear on the way back."""
        self.randomize(None)
        share = 1 - self.R.uniform(0, self._most)
        if not self._do_transform:
            return sample
        image = plain(sample["image"])[None]
        fewer = [max(1, round(share * length)) for length in image.shape[2:]]
        coarse = functional.interpolate(image, fewer, mode="nearest-exact")
        fine = functional.interpolate(coarse, image.shape[2:], mode="trilinear", align_corners=False)
        return {**sample, "image": fine[0]}


def plain(image: Tensor) -> Tensor:
    """Return the image without the metadata that MONAI's transforms attach."""
    return image.as_tensor() if isinstance(image, MetaTensor) else image
