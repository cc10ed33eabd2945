"""Tiles add up to the whole volume, in logits and in label maps, judged by the plain forward pass."""

import logging
import math
from collections.abc import Callable
from functools import partial

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from aunet.inference.inferers import WholeVolume
from aunet.inference.sliding_window import predict_volume
from aunet.inference.tiles import Tiled, _tile_choices, cut_difference
from aunet.networks import AttentionUNet, UNet
from aunet.networks.inspection.receptive_field import reach_of_cuts
from aunet.networks.slice_by_slice import SliceBySlice
from tests.inference.tiny_networks import Pointwise

MULTIPLE = (4, 4, 4)
PATCH = (16, 16, 16)
NETWORKS = {
    "U-Net": lambda: UNet(channels=(2, 4, 8)),
    "gated by the decoder": lambda: AttentionUNet(channels=(2, 4, 8)),
    "gated by the bottleneck": lambda: AttentionUNet(channels=(2, 4, 8), gating_source="bottleneck"),
    "thick slices": lambda: AttentionUNet(channels=(2, 4, 8), spacing=[1.0, 1.0, 3.0]),
    "slice by slice": lambda: SliceBySlice(AttentionUNet(spatial_dims=2, channels=(2, 4, 8))),
}


def image_of(*size: int) -> Tensor:
    return torch.randn((1, *size), generator=torch.Generator().manual_seed(0))


def network_of(name: str, seed: int = 1) -> nn.Module:
    torch.manual_seed(seed)
    return NETWORKS[name]().eval()


def tiles_of(network: nn.Module, most_voxels: int = 10**9, **others: object) -> Tiled:
    multiple = network.size_multiple
    return Tiled(PATCH, multiple, partial(reach_of_cuts, network, 1, multiple), lambda: most_voxels, **others)


def probabilities(network: nn.Module, image: Tensor, inferer: object) -> Tensor:
    return predict_volume(network, image, inferer).logits.softmax(dim=0)


def difference(network: nn.Module, image: Tensor, tiles: Tiled) -> float:
    """Return the largest difference in probability between tiles and one pass over the whole volume."""
    whole = WholeVolume(PATCH, network.size_multiple)
    return float((probabilities(network, image, tiles) - probabilities(network, image, whole)).abs().max())


@pytest.mark.parametrize("name", NETWORKS)
def test_tiles_as_they_are_chosen_equal_the_whole_volume_of_an_odd_size(name: str) -> None:
    network, size = network_of(name), (131, 21, 19)
    tiles = tiles_of(network, most_voxels=120 * 24 * 20)
    assert len(tiles.lay_out(size).corners) > 1
    assert difference(network, image_of(*size), tiles) < 1e-3


@pytest.mark.parametrize("name", ["U-Net", "gated by the decoder"])
@pytest.mark.parametrize("size", [(90, 21, 19), (70, 9, 67), (63, 33, 3), (5, 7, 3)])
def test_tiles_of_a_given_size_equal_the_whole_volume_also_if_it_is_smaller_than_one(name: str, size: tuple) -> None:
    network = network_of(name)
    tiles = tiles_of(network, tile_size=(64, 64, 64), halo=1000)
    assert (len(tiles.lay_out(size).corners) > 1) == (max(size) > 64)
    assert difference(network, image_of(*size), tiles) < 1e-5


def noise(generator: torch.Generator) -> Tensor:
    return torch.randn((1, 120, 24, 24), generator=generator)


def blocks(generator: torch.Generator) -> Tensor:
    coarse = torch.randn((1, 1, 10, 2, 2), generator=generator)
    return 1.5 * F.interpolate(coarse, scale_factor=12)[0] + 0.1 * noise(generator)


def assert_bounds_hold(name: str, seed: int, image: Tensor, halos: tuple[int, ...]) -> None:
    network = network_of(name, seed)
    reach = reach_of_cuts(network, 1, network.size_multiple)
    whole = probabilities(network, image, WholeVolume(PATCH, network.size_multiple))
    for halo in halos:
        tiles = Tiled(PATCH, network.size_multiple, lambda: reach, lambda: 1, halo, tile_size=(60 + halo, 24, 24))
        changed = (probabilities(network, image, tiles) - whole).abs().max()
        assert changed <= cut_difference(halo / reach[0]), halo


@pytest.mark.parametrize("draw", [noise, blocks])
def test_a_halo_cut_short_changes_probabilities_by_no_more_than_is_stated(draw: Callable[..., Tensor]) -> None:
    assert_bounds_hold("gated by the decoder", 1, draw(torch.Generator().manual_seed(0)), (12, 20, 24))


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("draw", [noise, blocks])
@pytest.mark.parametrize("name", ["U-Net", "gated by the decoder"])
def test_the_stated_bound_holds_for_other_networks_and_weights(
    name: str, draw: Callable[..., Tensor], seed: int
) -> None:
    assert_bounds_hold(name, seed, draw(torch.Generator().manual_seed(seed)), (12, 16, 20, 24, 28))


def test_a_wider_halo_has_a_smaller_bound_and_a_full_one_is_exact_in_float32() -> None:
    bounds = [cut_difference(share) for share in np.linspace(0, 1, 50)]
    assert bounds == sorted(bounds, reverse=True)
    assert (cut_difference(0.1), cut_difference(0.9), cut_difference(1.2)) == (1.0, 1e-3, 1e-5)


def test_a_halo_cut_short_is_logged_once_with_its_bound(caplog: pytest.LogCaptureFixture) -> None:
    tiles = Tiled(PATCH, MULTIPLE, lambda: (25, 25, 25), lambda: 40**3, halo=12)
    with caplog.at_level(logging.INFO, logger="aunet"):
        tiles.lay_out((30, 20, 20))
        assert not caplog.records
        for length in (120, 140, 120):
            tiles.lay_out((length, 40, 40))
    (record,) = caplog.records
    assert "a halo of 12x12x12 voxels around tiles, of 25x25x25 that the network sees" in record.getMessage()
    assert "by up to 0.4" in record.getMessage()


def test_a_full_halo_is_not_worth_a_line(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger="aunet"):
        layout = Tiled(PATCH, MULTIPLE, lambda: (25, 25, 0), lambda: 100 * 40 * 40).lay_out((200, 40, 40))
    assert len(layout.corners) > 1
    assert not caplog.records


@pytest.mark.parametrize("size", [(200, 40, 40), (120, 90, 60), (96, 96, 96)])
@pytest.mark.parametrize("most_voxels", [30**3, 48**3, 60**3, 70**3])
def test_the_halo_is_the_widest_whose_tiles_fit_and_compute_at_most_four_times_the_voxels(
    size: tuple, most_voxels: int
) -> None:
    layouts = {
        halo: Tiled(PATCH, MULTIPLE, lambda: (25, 25, 25), lambda: most_voxels, halo=halo).lay_out(size)
        for halo in range(4, 29, 4)
    }
    affordable = [
        halo
        for halo, layout in layouts.items()
        if math.prod(layout.window) <= most_voxels and layout.num_voxels <= 4 * math.prod(layout.padded_size)
    ]
    chosen = Tiled(PATCH, MULTIPLE, lambda: (25, 25, 25), lambda: most_voxels).lay_out(size)
    assert chosen == layouts[max(affordable, default=4)]


def test_a_tile_of_a_given_size_is_not_enlarged_by_a_halo_that_nobody_gave() -> None:
    layout = Tiled(PATCH, MULTIPLE, lambda: (100, 100, 100), lambda: 1, tile_size=(64, 32, 24)).lay_out((200, 90, 80))
    assert layout.window == (64, 32, 24)


def test_the_reach_is_how_far_a_changed_voxel_beside_a_cut_shows() -> None:
    network, image = network_of("U-Net"), image_of(128, 4, 4)
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


@pytest.mark.parametrize("size", [(40, 50, 20), (70, 33, 18)])
def test_coefficients_of_tiles_are_those_of_the_whole_volume(size: tuple) -> None:
    network, image = network_of("gated by the decoder"), image_of(*size)
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


@pytest.mark.slow
def test_tiles_of_the_papers_network_equal_the_whole_volume_within_a_thousandth() -> None:
    torch.manual_seed(0)
    network, size = AttentionUNet().eval(), (251, 37, 29)
    tiles = tiles_of(network, most_voxels=240 * 48 * 32)
    assert tiles.reach == (109, 109, 109)
    assert tiles.lay_out(size).window == (240, 48, 32)
    assert difference(network, image_of(*size), tiles) < 1e-3


@pytest.mark.parametrize(("length", "halo", "multiple"), [(200, 8, 4), (96, 16, 8), (90, 0, 2)])
def test_the_tiles_of_an_axis_are_the_smallest_of_which_so_many_cover_it(length: int, halo: int, multiple: int) -> None:
    def covers(tile: int, number: int) -> bool:
        return number * (tile - 2 * halo) + 2 * halo >= length

    tiles = range(2 * halo + multiple, length, multiple)
    smallest = {next((tile for tile in tiles if covers(tile, number)), length) for number in range(2, 33)}
    choices = _tile_choices(length, halo, multiple)
    assert set(choices) == smallest | {length}
    assert all(covers(tile, number) for tile, number in choices.items())
