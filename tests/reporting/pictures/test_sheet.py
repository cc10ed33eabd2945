"""Columns cut out of a picture, side by side as they were."""

import numpy as np
from PIL import Image

from aunet.reporting.pictures.sheet import joined_columns


def test_the_columns_are_side_by_side() -> None:
    pixels = np.arange(10 * 20 * 3, dtype=np.uint8).reshape(10, 20, 3)
    part = joined_columns(Image.fromarray(pixels), [(0.0, 0.1, 0.25, 0.8), (0.5, 0.1, 0.6, 0.8)])
    np.testing.assert_array_equal(np.asarray(part), np.hstack([pixels[1:8, 0:5], pixels[1:8, 10:12]]))
