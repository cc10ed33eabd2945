"""The region that a coarse network predicts, and a prediction in it."""

from concurrent.futures import ThreadPoolExecutor
from threading import Lock

import numpy as np
import pytest
from numpy.typing import NDArray

from aunet.classes import Labels
from aunet.data.io.volume import Volume
from aunet.data.preprocessing.region import Box
from aunet.data.preprocessing.steps import Preprocessing
from aunet.inference.coarse_region import CoarseRegion
from aunet.inference.predictor import Predictor
from aunet.inference.window_layout import Window
from tests.data.geometries import GEOMETRIES
from tests.inference.tiny_networks import Threshold

MR = Preprocessing(None, "mr", None)
LABELS = Labels(("background", "bright"))
PARALLEL = pytest.mark.parametrize("affine", GEOMETRIES.values(), ids=GEOMETRIES)


def threshold_predictor(region: CoarseRegion | None = None) -> Predictor:
    return Predictor(Threshold(), MR, LABELS, Window((16, 16, 16)), region=region)


def bright_block(affine: NDArray[np.float64]) -> Volume:
    image = np.zeros((24, 20, 18), np.float32)
    image[9:14, 8:12, 6:11] = np.random.default_rng(0).normal(50, 5, (5, 4, 5))
    return Volume(image, affine)


def dark(affine: NDArray[np.float64]) -> Volume:
    return Volume(np.zeros((24, 20, 18), np.float32), affine)


@PARALLEL
def test_a_scan_is_labelled_inside_the_box_alone_as_a_crop_would_be(affine: NDArray[np.float64]) -> None:
    scan = bright_block(affine)
    region = CoarseRegion(threshold_predictor, [1], 2.0, "")
    box = region.find([scan])
    assert box is not None
    expected = np.zeros(scan.shape, np.uint8)
    inside = tuple(slice(*ends) for ends in zip(box.start, box.stop, strict=True))
    expected[inside] = threshold_predictor().predict_volume([box.cut(scan)]).label
    prediction = threshold_predictor(region).predict_volume([scan])
    assert np.array_equal(prediction.label, expected)
    assert np.array_equal(prediction.affine, affine)
    # The intensities are those of the crop: the mean of its brighter voxels is another than that of the whole scan.
    assert prediction.label.any()


def test_a_scan_in_which_nothing_is_found_is_labelled_whole_and_named() -> None:
    region = CoarseRegion(threshold_predictor, [1], 2.0, "")
    assert region.find([dark(np.eye(4))]) is None
    assert region.missed == ["volume in memory"]
    predictor = threshold_predictor(region)
    assert np.array_equal(
        predictor.predict_volume([dark(np.eye(4))]).label, threshold_predictor().predict_volume([dark(np.eye(4))]).label
    )


def test_a_named_class_that_is_not_found_leaves_the_scan_whole() -> None:
    scan = bright_block(np.eye(4))
    assert CoarseRegion(threshold_predictor, [1], 0.0, "").find([scan]) == Box((9, 8, 6), (14, 12, 11))
    assert CoarseRegion(threshold_predictor, [1, 2], 0.0, "").find([scan]) is None


def test_the_network_is_loaded_once_and_predicts_one_scan_at_a_time() -> None:
    loads, busy = list[int](), Lock()

    class Alone(Predictor):
        def predict_volume(self, channels: object) -> object:  # type: ignore[override]
            assert busy.acquire(blocking=False)
            try:
                return super().predict_volume(channels)  # type: ignore[arg-type]
            finally:
                busy.release()

    def load() -> Predictor:
        loads.append(1)
        return Alone(Threshold(), MR, LABELS, Window((16, 16, 16)))

    region = CoarseRegion(load, [1], 1.0, "")
    assert loads == []
    with ThreadPoolExecutor(4) as threads:
        boxes = list(threads.map(lambda _: region.find([bright_block(np.eye(4))]), range(12)))
    assert len(set(boxes)) == 1
    assert loads == [1]


def test_everything_that_decides_the_box_is_among_the_settings() -> None:
    def settings(classes: list[int], margin: float, identity: str) -> dict[str, object]:
        return CoarseRegion(threshold_predictor, classes, margin, identity).settings()

    different = [
        settings([1], 5, "a"),
        settings([1], 6, "a"),
        settings([1, 2], 5, "a"),
        settings([1], 5, "b"),
    ]
    assert all(first != second for number, first in enumerate(different) for second in different[:number])
    assert settings([1], 5, "a") == settings([1], 5.0, "a")
