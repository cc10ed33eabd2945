"""Label maps made part by part are those made from all logits at once."""

import weakref
from functools import partial

import numpy as np
import pytest
import torch
from torch import nn

from aunet.classes import Labels
from aunet.data.io.volume import Volume
from aunet.data.preprocessing.steps import Preprocessing
from aunet.inference.inferers import Inferer, WholeVolume
from aunet.inference.native_space import restore_label_map
from aunet.inference.predictor import Predictor
from aunet.inference.tiles import Tiled
from aunet.inference.window_layout import Window
from aunet.networks.inspection.receptive_field import reach_of_cuts
from tests.data.geometries import GEOMETRIES
from tests.inference.tiny_networks import Neighbourhood

LABELS = Labels(("background", "one", "two"))
PATCH, MULTIPLE = (16, 16, 16), (4, 4, 4)
INFERERS: dict[str, Inferer] = {
    "windows": Window(PATCH, 0.5, MULTIPLE, 2),
    "windows side by side": Window(PATCH, 0.0, MULTIPLE),
    "whole volume": WholeVolume(PATCH, MULTIPLE),
    "tiles": Tiled(PATCH, MULTIPLE, partial(reach_of_cuts, Neighbourhood(), 1, MULTIPLE), lambda: 20**3, 4),
}


def scan(affine: np.ndarray) -> Volume:
    return Volume(np.random.default_rng(0).normal(50, 10, (23, 34, 19)).astype(np.float32), affine)


@pytest.mark.parametrize("inferer", INFERERS.values(), ids=INFERERS)
@pytest.mark.parametrize("geometry", ["flipped", "sagittal", "sheared"])
@pytest.mark.parametrize(
    ("spacing", "resampling"),
    [(None, "area"), ((0.7, 1.1, 0.6), "area"), ((2.3, 1.7, 3.1), "area"), ((1.7, 0.7, 2.1), "linear")],
)
def test_a_label_map_made_part_by_part_is_that_of_all_logits(
    inferer: Inferer, geometry: str, spacing: tuple | None, resampling: str
) -> None:
    preprocessing = Preprocessing(spacing, "mr", None, resampling)
    predictor, volume = Predictor(Neighbourhood(), preprocessing, LABELS, inferer), scan(GEOMETRIES[geometry])
    prepared = preprocessing.image([volume])
    logits = predictor.predict_preprocessed(torch.from_numpy(prepared.array)).logits
    expected = restore_label_map(logits, prepared.affine, volume.shape, volume.affine, resampling)
    assert np.array_equal(predictor.predict_volume([volume]).label, expected)
    assert len(np.unique(expected)) > 1


@pytest.mark.parametrize("inferer", INFERERS.values(), ids=INFERERS)
def test_the_logits_of_a_window_are_released_before_the_network_runs_on_the_next(inferer: Inferer) -> None:
    outputs: list[weakref.ref[np.ndarray]] = []

    class Watching(nn.Module):
        def forward(self, image: torch.Tensor) -> torch.Tensor:
            assert all(output() is None for output in outputs)
            output = np.zeros((len(image), 3, *image.shape[2:]), np.float32)
            outputs.append(weakref.ref(output))
            return torch.from_numpy(output)  # holds the array as long as its own values are needed

    Predictor(Watching(), Preprocessing(None, "mr", None), LABELS, inferer).predict_volume([scan(np.eye(4))])
    assert len(outputs) > 1 or isinstance(inferer, WholeVolume)


def test_sums_in_float16_change_few_labels() -> None:
    volume, window = scan(np.eye(4)), INFERERS["windows"]
    preprocessing = Preprocessing(None, "mr", None)
    exact, rough = (
        Predictor(Neighbourhood(), preprocessing, LABELS, window, sums=sums).predict_volume([volume]).label
        for sums in (torch.float32, torch.float16)
    )
    assert (exact == rough).mean() > 0.99


@pytest.mark.parametrize("inferer", INFERERS.values(), ids=INFERERS)
@pytest.mark.parametrize("spacing", [None, (2.1, 1.9, 2.5)], ids=["own", "coarser"])
def test_skipping_air_changes_nothing_inside_the_body_and_needs_fewer_windows(
    inferer: Inferer, spacing: tuple | None
) -> None:
    axes = np.meshgrid(*(np.arange(length) for length in (120, 60, 48)), indexing="ij")
    is_body = sum(((axis - at) / 14) ** 2 for axis, at in zip(axes, (24, 24, 20), strict=True)) < 1
    noise = np.random.default_rng(1).normal(0, 20, is_body.shape)
    volume = Volume((np.where(is_body, 40, -1000) + noise).astype(np.float32), np.diag([-1.0, 1.0, 1.0, 1.0]))
    preprocessing = Preprocessing(spacing, "ct", (-1000.0, 300.0))
    seen: dict[bool, int] = {}
    labels: dict[bool, np.ndarray] = {}
    for is_skipped in (False, True):
        network = Neighbourhood()
        counts: list[int] = []
        network.register_forward_pre_hook(lambda _, inputs, counts=counts: counts.append(len(inputs[0])))
        predictor = Predictor(network, preprocessing, LABELS, inferer, is_air_skipped=is_skipped)
        labels[is_skipped] = predictor.predict_volume([volume]).label
        seen[is_skipped] = sum(counts)
    assert np.array_equal(labels[True][is_body], labels[False][is_body])
    assert seen[True] < seen[False] or isinstance(inferer, WholeVolume)


def test_a_scan_of_air_alone_is_background_or_predicted_but_never_an_error() -> None:
    volume = Volume(np.full((40, 20, 20), -1000, np.float32), np.eye(4))
    preprocessing = Preprocessing(None, "ct", (-1000.0, 300.0))
    predictor = Predictor(Neighbourhood(), preprocessing, LABELS, INFERERS["tiles"], is_air_skipped=True)
    assert predictor.predict_volume([volume]).label.shape == (40, 20, 20)


class Broken(torch.nn.Module):
    """A network whose weights are damaged."""

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Return two logits that are not numbers."""
        return image.new_full((len(image), 2, *image.shape[2:]), torch.nan)


def test_logits_that_are_nan_are_reported_once(caplog: pytest.LogCaptureFixture) -> None:
    predictor = Predictor(
        Broken(), Preprocessing(None, "ct", None), Labels(("background", "organ")), Window((16, 16, 16))
    )
    label = predictor.predict_volume([scan(np.eye(4))]).label
    assert not label.any()
    assert caplog.text.count("returns NaN for parts of this scan") == 1
