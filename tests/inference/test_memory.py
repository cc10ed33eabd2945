"""Measured memory, judged by networks whose tensors can be counted."""

import pytest
import torch
from torch import nn

from aunet.inference.memory import available_bytes, bytes_per_voxel

KERNELS = 1.1  # the measured share of the kernels' own buffers


@pytest.mark.parametrize(
    ("widths", "largest"),
    [((4,), 4), ((4, 8), 12), ((4, 8, 2), 12)],  # a layer's output while its input is held; others are released
)
def test_the_memory_of_a_chain_of_layers_is_its_widest_pair(widths: tuple[int, ...], largest: int) -> None:
    channels = zip((1, *widths), widths, strict=False)
    network = nn.Sequential(*(nn.Conv3d(before, after, 1) for before, after in channels))
    assert bytes_per_voxel(network, 1, (4, 4, 4)) == pytest.approx(KERNELS * 4 * largest)


def test_half_of_some_memory_is_available() -> None:
    assert 2**20 < available_bytes(torch.device("cpu")) < 2**45
