"""Regions that may overlap, predicted in windows, rows, mirror images and ensembles: all paint the same label map."""

from typing import Any

import numpy as np
import pytest
import torch
from nested_regions import LABELS
from scipy.special import entr

from aunet.classes import Labels
from aunet.data.io.volume import Volume
from aunet.data.preprocessing.region import Box
from aunet.data.preprocessing.steps import Preprocessing
from aunet.errors import UserError
from aunet.inference.coarse_region import CoarseRegion
from aunet.inference.engine_choice import EngineChoice
from aunet.inference.engines import TorchEngine
from aunet.inference.ensemble import Ensemble
from aunet.inference.inferers import WholeVolume
from aunet.inference.mirror_images import Mirror
from aunet.inference.postprocessing import HoleFilling, LargestComponent
from aunet.inference.prediction import Outputs, Prediction
from aunet.inference.predictor import Predictor
from aunet.inference.tiles import Tiled
from aunet.inference.window_layout import Window
from tests.data.geometries import GEOMETRIES
from tests.inference.tiny_predictors import WINDOW, logits_at_voxels, noisy_scan, seeded_network, tiny_predictor

ALL = Outputs(probabilities=True, uncertainty=True)
WHOLE = WholeVolume((16, 16, 16), (4, 4, 4))
SPACING = (1.3, 1.1, 1.7)


def predictor(*args: Any, **settings: Any) -> Predictor:
    return tiny_predictor(LABELS, *args, **settings)


def probabilities_of(one: Predictor, volume: Volume) -> np.ndarray:
    """Sigmoid of the logits of the whole image, resampled whole to the scan's grid; 0 outside."""
    resampled, outside = logits_at_voxels(one, volume)
    found = resampled.sigmoid().numpy()
    found[:, outside] = 0
    return found


def painted(probabilities: np.ndarray) -> np.ndarray:
    label = np.zeros(probabilities.shape[1:], np.uint8)
    for number, of_region in enumerate(probabilities, start=1):
        label[of_region > 0.5] = number
    return label


@pytest.mark.parametrize("spacing", [None, SPACING])
@pytest.mark.parametrize("geometry", ["flipped", "oblique"])
def test_label_map_and_probabilities_are_those_of_the_whole_volume(
    geometry: str, spacing: tuple[float, ...] | None
) -> None:
    affine, one = GEOMETRIES[geometry], predictor(spacing=spacing)
    expected = probabilities_of(one, noisy_scan(affine))
    assert np.array_equal(one.predict_volume([noisy_scan(affine)]).label, painted(expected))
    found = one.predict_volume([noisy_scan(affine)], ALL)
    assert found.probabilities is not None
    assert found.probabilities == pytest.approx(expected, abs=1e-5)
    assert np.array_equal(found.label, painted(expected))
    assert len(np.unique(found.label)) >= 3


def test_every_inferer_paints_alike_what_one_pass_paints() -> None:
    whole = predictor(inferer=WHOLE).predict_volume([noisy_scan()]).label
    tiles = Tiled((16, 16, 16), (4, 4, 4), lambda: (12, 12, 12), lambda: 10**9, halo=12, tile_size=(28, 28, 28))
    tiled = predictor(inferer=tiles).predict_volume([noisy_scan()]).label
    assert np.array_equal(tiled, whole)


def test_the_entropy_is_that_of_each_region_on_its_own() -> None:
    found = predictor().predict_volume([noisy_scan()], ALL)
    p = probabilities_of(predictor(), noisy_scan()).astype(np.float64)
    expected = (entr(p) + entr(1 - p)).sum(axis=0)
    assert found.entropy == pytest.approx(expected, abs=1e-4)
    assert found.mutual_information is not None
    assert not found.mutual_information.any()


def test_mirror_images_are_averaged_by_their_sigmoids() -> None:
    volume = noisy_scan()
    mirrored = predictor(inferer=WHOLE, mirrors=[Mirror(0)]).predict_volume([volume], ALL)
    one = predictor(inferer=WHOLE)
    image = torch.from_numpy(one.preprocessing.image([volume]).array)
    pair = [
        one.predict_preprocessed(image).logits.sigmoid(),
        one.predict_preprocessed(image.flip(1)).logits.sigmoid().flip(1),
    ]
    mean = torch.stack(pair).mean(dim=0).numpy()
    assert mirrored.probabilities == pytest.approx(mean, abs=1e-5)
    assert np.array_equal(mirrored.label, painted(mean))
    assert mirrored.mutual_information is not None
    assert float(mirrored.mutual_information.max()) > 0


def test_a_mirror_image_exchanges_the_channels_of_left_and_right() -> None:
    plain = predictor(inferer=WHOLE, mirrors=[Mirror(0)]).predict_volume([noisy_scan()], ALL)
    exchanged = predictor(inferer=WHOLE, mirrors=[Mirror(0, ((0, 1),))]).predict_volume([noisy_scan()], ALL)
    assert plain.probabilities is not None
    assert exchanged.probabilities is not None
    sums = [found[:2].sum(axis=0) for found in (plain.probabilities, exchanged.probabilities)]
    assert sums[0] == pytest.approx(sums[1], abs=1e-5)
    assert not np.allclose(plain.probabilities[0], exchanged.probabilities[0])


def test_an_ensemble_paints_the_mean_of_its_probabilities() -> None:
    members = [predictor(seed) for seed in (3, 4)]
    found = Ensemble(members, ["a", "b"]).predict_volume([noisy_scan()], ALL)
    mean = np.mean([probabilities_of(member, noisy_scan()) for member in members], axis=0)
    assert found.probabilities == pytest.approx(mean, abs=1e-5)
    assert np.array_equal(found.label, painted(mean))


def test_an_ensemble_of_regions_and_classes_is_refused() -> None:
    classes = Predictor(seeded_network(), Preprocessing(None, "mr", None), Labels(LABELS.names), WINDOW)
    with pytest.raises(UserError, match="regions whole = whole \\+ core \\+ enhancing"):
        Ensemble([classes, predictor()], ["a", "b"])


def test_outside_the_box_of_a_coarse_run_every_region_has_probability_0() -> None:
    class Fixed:
        def __init__(self) -> None:
            self.missed: list[str] = []

        def find(self, channels: object) -> Box:
            return Box((4, 4, 0), (20, 24, 16))

        def settings(self) -> dict[str, object]:
            return {}

    found = predictor(region=Fixed()).predict_volume([noisy_scan()], ALL)
    assert found.probabilities is not None
    assert found.entropy is not None
    assert not found.probabilities[:, :4].any()
    assert not found.entropy[:4].any()
    assert not found.label[:, :, 16:].any()
    assert found.label.any()


def test_the_box_of_a_coarse_run_encloses_regions_whose_own_value_is_hidden() -> None:
    class Inner:
        def predict_volume(self, channels: object) -> Prediction:
            label = np.zeros((9, 9, 9), np.uint8)
            label[3:5, 3:5, 3:5] = 3
            return Prediction(label, np.eye(4), LABELS)

    region = CoarseRegion(lambda: Inner(), [1, 2], 0.0, "")  # type: ignore[arg-type,return-value]
    assert region.find([Volume(np.zeros((9, 9, 9)), np.eye(4))]) == Box((3, 3, 3), (5, 5, 5))


def test_skipped_air_is_in_no_region() -> None:
    image = np.full((40, 16, 16), -1000.0, np.float32)
    image[:8] = 40.0
    window = Window((8, 16, 16), 0.0, (4, 4, 4))
    always = seeded_network()
    with torch.no_grad():
        always.head.weight.zero_()
        always.head.bias.fill_(2.0)
    preprocessing = Preprocessing(None, "ct", (-1000.0, 1000.0))
    one = Predictor(always, preprocessing, LABELS, window, is_air_skipped=True)
    for label in (one.predict_volume([Volume(image, np.eye(4))], outputs).label for outputs in (Outputs(), ALL)):
        assert (label[:8] == 3).all()
        assert not label[24:].any()


def test_volumes_count_a_region_with_all_that_lies_in_it() -> None:
    label = np.array([0, 1, 1, 2, 3], np.uint8).reshape(5, 1, 1)
    volumes = Prediction(label, np.diag([10.0, 10.0, 10.0, 1.0]), LABELS).volumes_ml
    assert volumes == pytest.approx({"whole": 4.0, "core": 2.0, "enhancing": 1.0})


def test_an_engine_agrees_by_its_label_maps(monkeypatch: pytest.MonkeyPatch) -> None:
    engines = [TorchEngine(seeded_network(), "float32")]
    monkeypatch.setattr("aunet.inference.engine_choice._candidates", lambda *_: iter(engines))
    choice = EngineChoice("auto", target=predictor().target)
    found = predictor(engine=choice).predict_volume([noisy_scan()]).label
    assert np.array_equal(found, predictor().predict_volume([noisy_scan()]).label)


def test_the_largest_component_of_a_region_is_that_of_all_of_its_values() -> None:
    label = np.zeros((12, 5, 5), np.uint8)
    label[1:5, 1:4, 1:4] = 1
    label[2:4, 2, 2] = 2
    label[8:10, 2, 2] = (2, 3)
    changed = LargestComponent("whole")(Prediction(label, np.eye(4), LABELS))
    assert np.array_equal(changed[:6], label[:6])
    assert not changed[6:].any()


def test_a_part_removed_from_an_inner_region_stays_in_those_around_it() -> None:
    label = np.zeros((12, 5, 5), np.uint8)
    label[1:11, 1:4, 1:4] = 1
    label[2:5, 2, 2] = 2
    label[8, 2, 2], label[9, 2, 2] = 2, 3
    changed = LargestComponent("core")(Prediction(label, np.eye(4), LABELS))
    expected = label.copy()
    expected[8:10, 2, 2] = 1
    assert np.array_equal(changed, expected)


def test_a_hole_of_an_inner_region_is_filled_whatever_surrounds_it() -> None:
    label = np.ones((9, 9, 9), np.uint8)
    label[2:7, 2:7, 2:7] = 2
    label[4, 4, 4], label[4, 4, 5], label[4, 5, 4] = 1, 0, 3
    changed = HoleFilling("core")(Prediction(label, np.eye(4), LABELS))
    assert changed[4, 4, 4:6].tolist() == [2, 2]
    assert changed[4, 5, 4] == 3
    assert changed[0, 0, 0] == 1
