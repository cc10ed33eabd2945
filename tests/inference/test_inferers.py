"""The whole volume in one pass, and the choice between it and tiles."""

import logging

import pytest
import torch
from torch import Tensor

from aunet.inference.inferers import AutomaticInferer, WholeVolume
from aunet.inference.sliding_window import predict_volume
from aunet.inference.tiles import Tiled
from aunet.inference.window_layout import Window
from tests.inference.tiny_networks import Neighbourhood

MULTIPLE = (4, 4, 4)
PATCH = (16, 16, 16)


def image_of(*size: int) -> Tensor:
    return torch.randn((1, *size), generator=torch.Generator().manual_seed(0))


def test_auto_takes_the_whole_volume_if_it_fits_else_tiles_and_says_so_once(caplog: pytest.LogCaptureFixture) -> None:
    inferer = AutomaticInferer(Tiled(PATCH, MULTIPLE, lambda: (8, 8, 8), lambda: 40**3, halo=8))
    with caplog.at_level(logging.INFO, logger="aunet"):
        small = [inferer.lay_out((30, 40, 40)) for _ in range(2)]
        assert all(layout.window == layout.padded_size for layout in small)
        assert len(inferer.lay_out((100, 40, 40)).corners) > 1
    assert [record.getMessage().split(";")[0] for record in caplog.records] == [
        "Inferer: the whole volume in one pass",
        f"Inferer: tiles of {'x'.join(map(str, inferer.lay_out((100, 40, 40)).window))}",
    ]


def test_the_whole_volume_is_the_plain_pass_over_the_padded_one() -> None:
    network, image = Neighbourhood().eval(), image_of(30, 20, 24)
    expected = predict_volume(network, image, Window(PATCH, size_multiple=MULTIPLE, one_pass_voxels=10**6)).logits
    assert torch.equal(predict_volume(network, image, WholeVolume(PATCH, MULTIPLE)).logits, expected)
