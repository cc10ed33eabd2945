"""Small made-up pictures with masks: bright discs on a dark ground, wider than high."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image


def disc(shape: tuple[int, int], seed: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Return a grey picture (rows, columns) of noise with a bright disc, and the mask of the disc: 0 and 1."""
    draw = np.random.default_rng(seed)
    rows, columns = np.indices(shape)
    middle = np.array(shape) * draw.uniform(0.35, 0.65, 2)
    mask = (rows - middle[0]) ** 2 + (columns - middle[1]) ** 2 < (min(shape) / 4) ** 2
    return (100 * mask + draw.integers(20, 60, shape)).astype(np.uint8), mask.astype(np.uint8)


def save_picture(path: Path, array: NDArray[np.generic]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path)
    return path
