"""Probabilities, uncertainty and attention on the grid of a scan, against the formulas on whole volumes."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from aunet.classes import Labels
from aunet.data.io.volume import Volume
from aunet.data.preprocessing.region import Box
from aunet.data.preprocessing.resampling import GridMapping
from aunet.data.preprocessing.steps import Preprocessing
from aunet.errors import UserError
from aunet.inference.ensemble import Ensemble
from aunet.inference.gate_volumes import check_attention
from aunet.inference.inferers import WholeVolume
from aunet.inference.prediction import Outputs
from aunet.inference.predictor import Predictor
from aunet.inference.tiles import Tiled
from aunet.inference.window_layout import Window
from aunet.networks import UNet
from aunet.networks.slice_by_slice import SliceBySlice
from tests.data.geometries import GEOMETRIES
from tests.inference.tiny_networks import Neighbourhood, Pointwise
from tests.inference.tiny_predictors import WINDOW, logits_at_voxels, noisy_scan, tiny_predictor

LABELS = Labels(("background", "one", "two"))
ALL = Outputs(probabilities=True, uncertainty=True)
FLIPPED, OBLIQUE = next(iter(GEOMETRIES)), "oblique"


def predictor(*args: Any, **settings: Any) -> Predictor:
    return tiny_predictor(LABELS, *args, **settings)


def probabilities_of(one: Predictor, volume: Volume) -> np.ndarray:
    """Softmax of the logits of the whole image, resampled whole to the scan's grid."""
    resampled, outside = logits_at_voxels(one, volume)
    found = resampled.softmax(dim=0).numpy()
    found[:, outside] = 0
    found[0, outside] = 1
    return found


def entropy(probabilities: np.ndarray) -> np.ndarray:
    return -np.where(probabilities > 0, probabilities * np.log(np.maximum(probabilities, 1e-38)), 0).sum(axis=0)


@pytest.mark.parametrize("geometry", GEOMETRIES)
@pytest.mark.parametrize("spacing", [None, (1.3, 0.9, 1.7)])
def test_probabilities_are_the_softmax_of_the_resampled_logits_and_the_label_map_is_unchanged(
    geometry: str, spacing: tuple[float, ...] | None
) -> None:
    one, volume = predictor(spacing=spacing), noisy_scan(GEOMETRIES[geometry])
    found = one.predict_volume([volume], ALL)
    assert found.probabilities is not None
    assert found.probabilities.dtype == np.float32
    assert np.allclose(found.probabilities, probabilities_of(one, volume), atol=1e-5)
    assert np.array_equal(found.label, one.predict_volume([volume]).label)
    chosen = np.take_along_axis(found.probabilities, found.label[None].astype(int), axis=0)[0]
    assert np.array_equal(chosen, found.probabilities.max(axis=0))
    assert np.allclose(found.entropy, entropy(found.probabilities), atol=1e-5)
    assert np.allclose(found.mutual_information, 0, atol=1e-5)


def test_tiles_yield_the_same_probabilities_as_one_pass() -> None:
    volume = noisy_scan(GEOMETRIES[OBLIQUE], (40, 20, 20))
    tiles = Tiled((16, 16, 16), (4, 4, 4), lambda: (12, 12, 12), lambda: 10**9, halo=12, tile_size=(28, 28, 28))
    tiled, whole = (
        predictor(inferer=inferer).predict_volume([volume], ALL).probabilities
        for inferer in (tiles, WholeVolume((16, 16, 16), (4, 4, 4)))
    )
    assert tiled is not None
    assert whole is not None
    assert np.abs(tiled - whole).max() < 1e-4


def test_an_ensemble_is_the_mean_of_probabilities_and_its_mutual_information_that_of_the_formula() -> None:
    volume = noisy_scan(GEOMETRIES[OBLIQUE])
    members = [predictor(1, (1.3, 0.9, 1.7)), predictor(2), predictor(5, (2.0, 2.0, 2.0))]
    found = Ensemble(members, ["a", "b", "c"]).predict_volume([volume], ALL)
    single = np.stack([probabilities_of(member, volume) for member in members])
    mean = single.mean(axis=0)
    assert np.allclose(found.probabilities, mean, atol=1e-5)
    assert (found.label != mean.argmax(axis=0)).mean() < 1e-3
    assert np.allclose(found.entropy, entropy(mean), atol=1e-5)
    information = entropy(mean) - np.mean([entropy(one) for one in single], axis=0)
    assert np.allclose(found.mutual_information, information.clip(min=0), atol=1e-5)
    assert information.max() > 0.05


def test_an_ensemble_of_equal_runs_is_one_run() -> None:
    volume = noisy_scan(GEOMETRIES[OBLIQUE])
    one, three = predictor(), Ensemble([predictor() for _ in range(3)], ["a", "b", "c"])
    assert np.array_equal(three.predict_volume([volume]).label, one.predict_volume([volume]).label)
    assert np.allclose(three.predict_volume([volume], ALL).mutual_information, 0, atol=1e-5)


def test_an_ensemble_of_other_classes_or_channels_is_refused() -> None:
    other = Predictor(Neighbourhood(), Preprocessing(None, "mr", None), Labels(("background", "one", "three")), WINDOW)
    with pytest.raises(UserError, match="b: has the classes background, one, three, a has background, one, two"):
        Ensemble([predictor(), other], ["a", "b"])
    with pytest.raises(UserError, match="b: has channels: 2, a has 1"):
        Ensemble([predictor(in_channels=1), predictor(in_channels=2)], ["a", "b"])


class Middle:
    """A region: the middle of each scan."""

    def __init__(self) -> None:
        self.missed: list[str] = []

    def find(self, channels: object) -> Box:
        return Box((4, 6, 3), (16, 20, 15))

    def settings(self) -> dict[str, object]:
        return {}


@pytest.mark.parametrize("geometry", [FLIPPED, OBLIQUE])
def test_outside_the_region_the_background_is_certain(geometry: str) -> None:
    volume = noisy_scan(GEOMETRIES[geometry])
    cropped = predictor(region=Middle())
    found = Ensemble([cropped, cropped], ["a", "b"]).predict_volume([volume], ALL)
    inside = (slice(4, 16), slice(6, 20), slice(3, 15))
    assert found.probabilities is not None
    expected = probabilities_of(predictor(), Middle().find([volume]).cut(volume))
    assert np.allclose(found.probabilities[(slice(None), *inside)], expected, atol=1e-5)
    background = np.ones(volume.shape, np.float32)
    background[inside] = expected[0]
    assert np.allclose(found.probabilities[0], background, atol=1e-5)


@pytest.mark.parametrize("geometry", GEOMETRIES)
def test_attention_at_the_voxels_is_that_of_the_cells_interpolated(geometry: str) -> None:
    """Coefficients of the tiny network are means of 2 and 4 voxels, up to its padding."""
    affine = GEOMETRIES[geometry]
    volume = noisy_scan(affine, (16, 32, 16))
    one = Predictor(Pointwise(), Preprocessing(None, "mr", None), Labels(("background", "one")), Window((16, 16, 16)))
    found = one.predict_volume([volume], Outputs(attention=True)).attention
    assert list(found) == [f"level_{level}_gate_{gate}" for level in (2, 3) for gate in (1, 2)]
    image = torch.from_numpy(one.preprocessing.image([volume]).array)
    cells = torch.nn.functional.avg_pool3d(image, 4)[0]
    values = torch.nn.functional.interpolate(cells[None, None], scale_factor=4, mode="trilinear")[0, 0].numpy()
    prepared = one.preprocessing.image([volume])
    expected = GridMapping(prepared.affine, volume.shape, affine).resample(torch.from_numpy(values)).numpy()
    assert np.allclose(found["level_3_gate_1"], expected, atol=1e-5)
    assert np.allclose(found["level_3_gate_2"], -expected, atol=1e-5)


def test_coefficients_are_stored_where_room_is_made_for_them() -> None:
    rooms: list[np.ndarray] = []

    def allocate(shape: tuple[int, ...]) -> np.ndarray:
        rooms.append(np.full(shape, np.nan, np.float32))
        return rooms[-1]

    one = Predictor(Pointwise(), Preprocessing(None, "mr", None), Labels(("background", "one")), Window((16, 16, 16)))
    prepared = one.prepare([noisy_scan(np.eye(4))])
    found = one.predict_prepared(prepared, Outputs(attention=True), allocate=allocate).attention
    assert len(rooms) == 4
    assert all(values is room for values, room in zip(found.values(), rooms, strict=True))
    assert np.isfinite(rooms).all()


def test_attention_of_a_network_without_gates_and_of_an_ensemble_is_refused() -> None:
    volume = noisy_scan(np.eye(4))
    with pytest.raises(UserError, match=r"--attention: this run's network has no gates"):
        predictor().predict_volume([volume], Outputs(attention=True))
    plain = UNet(spatial_dims=2, in_channels=1, num_classes=2, channels=(2, 4))
    for ungated in (plain, SliceBySlice(plain), SliceBySlice(nn.Conv2d(1, 2, 1))):
        with pytest.raises(UserError, match="has no gates"):  # before a scan is read
            check_attention(ungated)
    with pytest.raises(UserError, match=r"--attention: each run of an ensemble has its own gates"):
        Ensemble([predictor(), predictor()], ["a", "b"]).predict_volume([volume], Outputs(attention=True))


def test_members_that_prepare_a_scan_alike_share_its_image() -> None:
    members = [predictor(1), predictor(2), predictor(3, spacing=(1.3, 0.9, 1.7))]
    first, second, third = Ensemble(members, ["a", "b", "c"]).prepare([noisy_scan(np.eye(4))]).inputs
    assert first.image is second.image
    assert third.image.shape != first.image.shape


def test_progress_reaches_one_and_never_falls() -> None:
    shares: list[float] = []
    ensemble = Ensemble([predictor(1), predictor(2)], ["a", "b"])
    ensemble.predict_prepared(ensemble.prepare([noisy_scan(np.eye(4))]), on_progress=shares.append)
    assert shares == sorted(shares)
    assert shares[-1] == 1.0
