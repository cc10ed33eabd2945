"""The weights of a window's voxels, against MONAI's, and windows cut from an image that is not padded."""

import pytest
import torch
from monai.data.utils import compute_importance_map

from aunet.inference.inferers import WholeVolume
from aunet.inference.window_layout import Window, WindowLayout


@pytest.mark.parametrize("window", [(48, 48, 48), (160, 160, 96), (16, 32, 5), (64, 64, 1), (7, 1, 1)])
def test_weights_are_those_of_monai_bit_for_bit(window: tuple[int, int, int]) -> None:
    weights = Window(window, size_multiple=(1, 1, 1)).lay_out(window).importance()
    assert torch.equal(weights, compute_importance_map(window, mode="gaussian", sigma_scale=0.125))


@pytest.mark.parametrize("size", [(7, 20, 33), (40, 9, 16), (3, 3, 3)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bool])
def test_a_window_cut_from_the_image_is_that_of_the_padded_image(
    size: tuple[int, int, int], dtype: torch.dtype
) -> None:
    image = torch.rand(2, *size, generator=torch.Generator().manual_seed(0)).gt(0.5).to(dtype)
    for inferer in (Window((16, 8, 16), 0.5, (8, 4, 8)), WholeVolume((16, 8, 16), (8, 4, 8))):
        layout = inferer.lay_out(size)
        padded = layout.pad(image)
        for corner in layout.corners:
            assert torch.equal(layout.cut_from(image, corner), layout.cut(padded, corner))
    beyond = WindowLayout((4, 4, 4), (24, 8, 8), (10, 2, 2), (8, 8, 8), ((0, 0, 0), (8, 0, 0), (16, 0, 0)))
    small = image.new_ones((1, 4, 4, 4))
    for corner in beyond.corners:
        assert torch.equal(beyond.cut_from(small, corner), beyond.cut(beyond.pad(small), corner))
