"""The weights of a window's voxels, against MONAI's."""

import pytest
import torch
from monai.data.utils import compute_importance_map

from aunet.inference.window_layout import Window


@pytest.mark.parametrize("window", [(48, 48, 48), (160, 160, 96), (16, 32, 5), (64, 64, 1), (7, 1, 1)])
def test_weights_are_those_of_monai_bit_for_bit(window: tuple[int, int, int]) -> None:
    weights = Window(window, size_multiple=(1, 1, 1)).lay_out(window).importance()
    assert torch.equal(weights, compute_importance_map(window, mode="gaussian", sigma_scale=0.125))
