"""Rendering of a volume of tissues as a CT scanner would store it: HU with partial volume, blur and noise."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from aunet.data.sources.phantom.space import box_of, row_slabs
from aunet.data.sources.phantom.tissues import PHANTOM_LABELS, Tissue, class_of_tissue

FloatArray = NDArray[np.float32]
Numbers = TypeVar("Numbers", NDArray[np.float32], NDArray[np.int16])

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
        scanner: determines the noise.
        spacing: that of the image, in mm.
        factor: fine voxels averaged into one along each axis; so borders hold mixed values.
        generator: source of grain and noise.
    """
    image = ndimage.gaussian_filter(_attenuated(tissue, attenuation, factor, generator), 0.45)
    noisy = image + _noise((image > -500).astype(np.float32), scanner, spacing, generator)
    return np.rint(noisy).clip(LOWEST_HU, HIGHEST_HU).astype(np.int16)


def render_label(tissue: NDArray[np.uint8], factor: int) -> NDArray[np.uint8]:
    """Return the class (H, W, D) of most fine voxels in each voxel; background and an organ that tie take turns."""
    classes = class_of_tissue().take(tissue, mode="clip")
    label = np.zeros([size // factor for size in tissue.shape], dtype=np.uint8)
    box = tuple(slice(part.start // factor, -(-part.stop // factor)) for part in box_of(classes > 0))
    fine = classes[tuple(slice(part.start * factor, part.stop * factor) for part in box)]
    counts = [2 * block_sum((fine == index).astype(np.int16), factor) for index in range(1, len(PHANTOM_LABELS.names))]
    is_turn = (np.indices(label[box].shape).sum(axis=0) + sum(part.start for part in box)) % 2 == 0
    most = 2 * factor**3 - sum(counts) + np.where(is_turn, 1, -1)
    for index, count in enumerate(counts, start=1):
        is_more = count > most
        label[box][is_more] = index
        most[is_more] = count[is_more]
    return label


def block_mean(values: FloatArray, factor: int) -> FloatArray:
    """Return the mean of each ``factor``³ block (factor·H, factor·W, factor·D) -> (H, W, D); a rest is dropped."""
    return block_sum(values, factor) / np.float32(factor**3)


def block_sum(values: Numbers, factor: int) -> Numbers:
    """Return the sum of each ``factor``³ block (factor·H, factor·W, factor·D) -> (H, W, D); a rest is dropped.

    Slices are added ten times faster than numpy reduces three axes, and in the same order, so with the same rounding.
    """
    height, width, depth = (size // factor * factor for size in values.shape)
    whole = values[:height, :width, :depth]
    lines = _total(whole[:, :, k::factor] for k in range(factor))
    return _total(lines[i::factor, j::factor] for i in range(factor) for j in range(factor))


def _total(parts: Iterable[Numbers]) -> Numbers:
    first, *others = parts
    total = first.copy()
    for part in others:
        total += part
    return total


def _attenuated(
    tissue: NDArray[np.uint8], attenuation: FloatArray, factor: int, generator: np.random.Generator
) -> FloatArray:
    """Return block means (H, W, D) of HU, in which each tissue has its own grain of about three fine voxels."""
    texture = np.zeros(len(Tissue), dtype=np.float32)
    texture[list(_TEXTURE)] = list(_TEXTURE.values())
    grain = ndimage.gaussian_filter(generator.standard_normal(tissue.shape, dtype=np.float32), 1.2)
    grain /= grain.std()
    image = np.empty([size // factor for size in tissue.shape], dtype=np.float32)
    for rows in row_slabs(len(image)):
        fine = slice(rows.start * factor, rows.stop * factor)
        values = texture.take(tissue[fine], mode="clip")  # twice as fast as indexing
        values *= grain[fine]
        values += attenuation.take(tissue[fine], mode="clip")
        image[rows] = block_mean(values, factor)
    return image


def _noise(
    is_body: FloatArray, scanner: Scanner, spacing: tuple[float, float, float], generator: np.random.Generator
) -> FloatArray:
    """Return correlated noise with little low frequency, as of filtered back projection; strongest deep in the body."""
    white = generator.standard_normal(is_body.shape, dtype=np.float32)
    sigma = [scanner.grain / step for step in spacing]
    band = ndimage.gaussian_filter(white, sigma) - 0.7 * ndimage.gaussian_filter(white, [2.5 * s for s in sigma])
    depth = ndimage.gaussian_filter(is_body, [30 / spacing[0], 30 / spacing[1], 0])
    return (band / band.std() * scanner.noise * (0.35 + 0.9 * depth)).astype(np.float32)
