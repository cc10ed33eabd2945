"""Tiles add up to the whole volume, in logits and in label maps, judged by the plain forward pass."""

import logging
import math
from functools import partial

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from aunet.inference.inferers import AutomaticInferer, Tiled, WholeVolume
from aunet.inference.sliding_window import predict_volume
from aunet.inference.window_layout import Window
from aunet.networks import AttentionUNet, UNet
from aunet.networks.inspection.receptive_field import reach_of_cuts
from tests.inference.tiny_networks import Neighbourhood, Pointwise

MULTIPLE = (4, 4, 4)
PATCH = (16, 16, 16)


def image_of(*size: int) -> Tensor:
    return torch.randn((1, *size), generator=torch.Generator().manual_seed(0))


def network_of(kind: type[UNet]) -> UNet:
    torch.manual_seed(1)
    return kind(channels=(2, 4, 8)).eval()


def tiles_of(network: nn.Module, most_voxels: int = 10**9, **others: object) -> Tiled:
    return Tiled(PATCH, MULTIPLE, partial(reach_of_cuts, network, 1, MULTIPLE), lambda: most_voxels, **others)


def probabilities(network: nn.Module, image: Tensor, inferer: object) -> Tensor:
    return predict_volume(network, image, inferer).logits.softmax(dim=0)


@pytest.mark.parametrize("kind", [UNet, AttentionUNet])
@pytest.mark.parametrize("size", [(90, 21, 19), (83, 77, 9), (70, 30, 69), (5, 7, 3)])
def test_tiles_with_the_halo_that_the_network_sees_equal_the_whole_volume(kind: type[UNet], size: tuple) -> None:
    network, image = network_of(kind), image_of(*size)
    tiles = tiles_of(network, tile_size=(64, 64, 64), halo=1000)
    assert (len(tiles.lay_out(size).corners) > 1) == (max(size) > 64)
    whole = probabilities(network, image, WholeVolume(PATCH, MULTIPLE))
    assert (probabilities(network, image, tiles) - whole).abs().max() < 1e-5


@pytest.mark.parametrize(("halo", "bound"), [(12, 0.1), (20, 0.01), (24, 1e-3), (28, 1e-6)])
def test_a_halo_cut_short_changes_probabilities_by_less_the_wider_it_is(halo: int, bound: float) -> None:
    network, image = network_of(AttentionUNet), image_of(120, 24, 24)
    whole = probabilities(network, image, WholeVolume(PATCH, MULTIPLE))
    tiles = probabilities(network, image, tiles_of(network, tile_size=(64, 24, 24), halo=halo))
    assert (tiles - whole).abs().max() < bound


def test_the_reach_is_how_far_a_changed_voxel_beside_a_cut_shows() -> None:
    network, image = network_of(UNet), image_of(128, 4, 4)
    [reach, *_] = reach_of_cuts(network, 1, MULTIPLE)
    changed = image.clone()
    changed[:, :64] += 100 * image_of(64, 4, 4)
    with torch.no_grad():
        shows = (network(changed[None]) != network(image[None])).any(dim=(0, 1, 3, 4)).nonzero()
    assert int(shows.max()) - 64 < reach <= int(shows.max()) - 64 + 5  # a max or a relu may hide the last planes


@pytest.mark.parametrize("size", [(200, 64, 33), (64, 64, 64), (150, 149, 151)])
@pytest.mark.parametrize("most_voxels", [40**3, 60**3])
def test_cores_fill_the_volume_once_and_keep_their_halo(size: tuple, most_voxels: int) -> None:
    tiles = Tiled(PATCH, MULTIPLE, lambda: (9, 6, 9), lambda: most_voxels, halo=8)
    layout = tiles.lay_out(size)
    times = torch.zeros(1, *layout.padded_size)
    for corner in layout.corners:
        layout.cut(times, corner).add_(layout.weights(corner))
        core = layout.kept(corner)
        for start, part, tile, length in zip(corner, core, layout.window, layout.padded_size, strict=True):
            assert start % 4 == 0
            assert start == 0 or part.start >= 8
            assert start + tile == length or part.stop <= tile - 8
    assert bool((times == 1).all())
    assert math.prod(layout.window) <= most_voxels
    assert layout == tiles.lay_out(layout.padded_size) or layout.before != (0, 0, 0)


def test_no_other_tiles_that_fit_compute_fewer_voxels() -> None:
    size, most_voxels = (96, 80, 32), 48**3
    chosen = Tiled(PATCH, MULTIPLE, lambda: (8, 8, 8), lambda: most_voxels, halo=8).lay_out(size)
    sides = [range(20, length + 1, 4) for length in size]
    fewest = min(
        Tiled(PATCH, MULTIPLE, lambda: (8, 8, 8), lambda: 0, halo=8, tile_size=(first, second, third))
        .lay_out(size)
        .num_voxels
        for first in sides[0]
        for second in sides[1]
        for third in (32,)
        if first * second * third <= most_voxels
    )
    assert chosen.num_voxels <= fewest


def test_the_default_halo_is_the_reach_and_at_most_a_quarter_of_the_patch() -> None:
    halo = Tiled((64, 64, 32), (8, 8, 4), lambda: (100, 6, 30), lambda: 1).halo
    assert halo == (16, 8, 8)


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


@pytest.mark.parametrize("size", [(40, 50, 20), (70, 33, 18)])
def test_coefficients_of_tiles_are_those_of_the_whole_volume(size: tuple) -> None:
    network, image = network_of(AttentionUNet), image_of(*size)
    tiles = tiles_of(network, tile_size=(64, 64, 64), halo=1000)
    whole = predict_volume(network, image, WholeVolume(PATCH, MULTIPLE), with_attention=True).coefficients
    for level, found in predict_volume(network, image, tiles, with_attention=True).coefficients.items():
        assert (found.cell_size, found.offset) == (whole[level].cell_size, whole[level].offset)
        assert np.allclose(found.values, whole[level].values, atol=1e-5)


def test_tiles_predicted_together_give_the_same() -> None:
    image, network = image_of(60, 40, 20), Pointwise()
    tiled = [
        Tiled(PATCH, MULTIPLE, lambda: (4, 4, 4), lambda: 1, tile_size=(24, 24, 24), window_batch=batch)
        for batch in (1, 3)
    ]
    one, three = (predict_volume(network, image, inferer).logits for inferer in tiled)
    assert torch.allclose(one, three)
    assert max(network.batch_sizes) == 3


def test_the_whole_volume_is_the_plain_pass_over_the_padded_one() -> None:
    network, image = Neighbourhood().eval(), image_of(30, 20, 24)
    expected = predict_volume(network, image, Window(PATCH, size_multiple=MULTIPLE, one_pass_voxels=10**6)).logits
    assert torch.equal(predict_volume(network, image, WholeVolume(PATCH, MULTIPLE)).logits, expected)
