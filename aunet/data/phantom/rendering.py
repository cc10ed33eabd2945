"""From a volume of tissues to what a CT scanner would store: HU with partial volume, blur and noise."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from aunet.data.phantom.tissues import Tissue, class_of_tissue

FloatArray = NDArray[np.float32]

LOWEST_HU, HIGHEST_HU = -1024, 3071

_TEXTURE = {
    Tissue.SUBCUTANEOUS_FAT: 7.0,
    Tissue.VISCERAL_FAT: 11.0,
    Tissue.MUSCLE: 9.0,
    Tissue.SPONGY_BONE: 45.0,
    Tissue.LUNG: 40.0,
    Tissue.LIVER: 4.0,
    Tissue.SPLEEN: 4.0,
    Tissue.KIDNEY_CORTEX: 6.0,
    Tissue.KIDNEY_MEDULLA: 6.0,
    Tissue.PANCREAS: 10.0,
    Tissue.STOMACH_CONTENT: 12.0,
    Tissue.BOWEL_WALL: 8.0,
    Tissue.BOWEL_CONTENT: 10.0,
    Tissue.BOWEL_FLUID: 5.0,
    Tissue.STOOL: 90.0,
}
"""Deviation (HU) of a tissue's own grain at the supersampled voxels."""


@dataclass(frozen=True)
class Scanner:
    """Noise of one scan: its deviation (HU) midway between skin and middle of the body, and its grain (mm)."""

    noise: float
    grain: float


def draw_scanner(generator: np.random.Generator) -> Scanner:
    """Draw a dose and a reconstruction kernel, from smooth and quiet to sharp and noisy."""
    return Scanner(noise=float(generator.uniform(7, 15)), grain=float(generator.uniform(1.2, 2.4)))


def render_image(
    tissue: NDArray[np.uint8],
    attenuation: FloatArray,
    scanner: Scanner,
    spacing: tuple[float, float, float],
    factor: int,
    generator: np.random.Generator,
) -> NDArray[np.int16]:
    """Render an image (H, W, D) in HU of a tissue volume (factor·H, factor·W, factor·D).

    Args:
        tissue: values of ``Tissue`` on voxels ``factor`` times finer than the image's along each axis.
        attenuation: mean HU by tissue.
        scanner: its noise.
        spacing: of the image, in mm.
        factor: fine voxels averaged into one along each axis; so borders hold mixed values.
        generator: of grain and noise.
    """
    image = block_mean(_grained(tissue, attenuation, generator), factor)
    image = ndimage.gaussian_filter(image, 0.45)
    noisy = image + _noise((image > -500).astype(np.float32), scanner, spacing, generator)
    return np.rint(noisy).clip(LOWEST_HU, HIGHEST_HU).astype(np.int16)


def render_label(tissue: NDArray[np.uint8], factor: int) -> NDArray[np.uint8]:
    """Class (H, W, D) of most of the fine voxels in each voxel; of two that tie, by turns the lower and the higher."""
    classes = class_of_tissue()[tissue]
    shares = [block_mean((classes == index).astype(np.float32), factor) for index in range(int(classes.max()) + 1)]
    is_turn = np.indices(shares[0].shape).sum(axis=0) % 2 == 0
    shares[0] += np.where(is_turn, 1e-3, -1e-3).astype(np.float32)
    return np.argmax(np.stack(shares), axis=0).astype(np.uint8)


def block_mean(values: FloatArray, factor: int) -> FloatArray:
    """Mean of each ``factor``³ block (factor·H, factor·W, factor·D) -> (H, W, D); a rest at the end is dropped."""
    height, width, depth = (size // factor for size in values.shape)
    whole = values[: height * factor, : width * factor, : depth * factor]
    return whole.reshape(height, factor, width, factor, depth, factor).mean(axis=(1, 3, 5))


def _grained(tissue: NDArray[np.uint8], attenuation: FloatArray, generator: np.random.Generator) -> FloatArray:
    """Mean attenuation with each tissue's own grain of about three fine voxels."""
    texture = np.zeros(len(Tissue), dtype=np.float32)
    texture[list(_TEXTURE)] = list(_TEXTURE.values())
    grain = ndimage.gaussian_filter(generator.standard_normal(tissue.shape, dtype=np.float32), 1.2)
    grain /= grain.std()
    return attenuation[tissue] + texture[tissue] * grain


def _noise(
    is_body: FloatArray, scanner: Scanner, spacing: tuple[float, float, float], generator: np.random.Generator
) -> FloatArray:
    """Correlated noise with little low frequency, as filtered back projection leaves it; strongest deep in the body."""
    white = generator.standard_normal(is_body.shape, dtype=np.float32)
    sigma = [scanner.grain / step for step in spacing]
    band = ndimage.gaussian_filter(white, sigma) - 0.7 * ndimage.gaussian_filter(white, [2.5 * s for s in sigma])
    depth = ndimage.gaussian_filter(is_body, [30 / spacing[0], 30 / spacing[1], 0])
    return (band / band.std() * scanner.noise * (0.35 + 0.9 * depth)).astype(np.float32)
