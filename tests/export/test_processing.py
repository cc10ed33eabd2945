"""The NumPy steps of exported files equal those of aunet, and those of MONAI as far as it has them."""

import itertools
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch
from monai.data.utils import compute_importance_map
from numpy.typing import NDArray
from scipy import ndimage

from aunet.classes import Labels
from aunet.data.cohort.case import Modality
from aunet.data.io.volume import Volume
from aunet.data.preprocessing.intensity_scale import IntensityScale
from aunet.data.preprocessing.resampling import Resampling
from aunet.data.preprocessing.steps import Preprocessing
from aunet.export.exported_model import _intensities, describe_step
from aunet.export.standalone import processing
from aunet.export.standalone.postprocessing import postprocess
from aunet.export.standalone.processing import Windows
from aunet.inference.native_space import restore_label_map
from aunet.inference.postprocessing import HoleFilling, LargestComponent, MaskStep, MinimumVolume
from aunet.inference.prediction import Prediction
from aunet.inference.sliding_window import predict_volume
from aunet.inference.window_layout import Window
from aunet.targets import target_of
from tests.inference.tiny_networks import Neighbourhood

SHAPE, SPACING = (23, 30, 9), (0.8, 1.3, 4.0)
WANTED = ((2.0, 2.0, 2.0), (0.8, 0.7, 9.0), (0.8005, 1.3, 4.0), (40.0, 1.3, 1.0))
METHODS: tuple[Resampling, ...] = ("area", "linear")
CHOICES = list(itertools.product(WANTED, METHODS))


def noise(shape: tuple[int, ...], seed: int = 0) -> NDArray[np.float32]:
    return np.random.default_rng(seed).normal(100, 300, shape).astype(np.float32)


@pytest.mark.parametrize(("wanted", "method"), CHOICES)
def test_a_scan_becomes_the_input_that_aunet_makes_of_it(wanted: tuple[float, ...], method: Resampling) -> None:
    scan = Volume(noise(SHAPE), np.diag([*SPACING, 1.0]))
    expected = Preprocessing(wanted, "ct", (-160.0, 240.0), method).image([scan]).array
    axes = processing.plan_axes(SHAPE, SPACING, wanted)
    found = processing.prepare(scan.array[None], axes, method, [_intensities("ct", (-160.0, 240.0), None)])
    np.testing.assert_allclose(found, expected, atol=2e-5)


@pytest.mark.parametrize(("wanted", "method"), CHOICES)
def test_logits_become_the_label_map_that_aunet_makes_of_them(wanted: tuple[float, ...], method: Resampling) -> None:
    affine = np.diag([*SPACING, 1.0])
    prepared = Preprocessing(wanted, "ct", None, method).image([Volume(noise(SHAPE), affine)])
    logits = noise((3, *prepared.array.shape[1:]), seed=1)
    expected = restore_label_map(torch.from_numpy(logits), prepared.affine, SHAPE, affine, method)
    found = processing.label_of(logits, processing.plan_axes(SHAPE, SPACING, wanted), method)
    assert np.count_nonzero(found != expected) <= 1  # values within the rounding of float32


@pytest.mark.parametrize("modality", ["ct", "mr", "pet", "picture"])
@pytest.mark.parametrize("scale", [None, IntensityScale((-50.0, 150.0), 40.0, 25.0)])
def test_intensities_of_each_modality_are_those_of_aunet(modality: Modality, scale: IntensityScale | None) -> None:
    array = noise((6, 7, 8))
    array[:2] = 0
    preprocessing = Preprocessing(None, modality, (-160.0, 240.0), scales=(scale,) if scale else ())
    expected = preprocessing.image([Volume(array, np.eye(4))]).array[0]
    found = processing.standardise(array, _intensities(modality, (-160.0, 240.0), scale))
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_a_constant_or_empty_channel_becomes_zero() -> None:
    settings = _intensities("mr", None, None)
    for value in (0, 7):
        assert not processing.standardise(np.full((2, 3, 4), value, np.float32), settings).any()


@pytest.mark.parametrize("one_pass", [0, 10**6])
@pytest.mark.parametrize("size", [(9, 20, 37), (16, 16, 16), (5, 33, 41)])
def test_windows_are_averaged_as_in_aunet(size: tuple[int, ...], one_pass: int) -> None:
    network = Neighbourhood().eval()
    image = torch.randn(1, *size, generator=torch.Generator().manual_seed(2))
    expected = predict_volume(network, image, Window((16, 16, 16), 0.5, (4, 4, 4), 1, one_pass)).logits

    def forward(window: NDArray[np.float32]) -> NDArray[np.float32]:
        with torch.no_grad():
            return network(torch.from_numpy(window)).numpy()

    settings = Windows(patch_size=[16, 16, 16], overlap=0.5, size_multiple=[4, 4, 4], one_pass_voxels=one_pass)
    found = processing.predict_windows(forward, image.numpy(), settings)
    np.testing.assert_allclose(found, expected.numpy(), atol=1e-5)


def test_the_weights_of_a_window_are_monais() -> None:
    expected = compute_importance_map((24, 16, 10), mode=cast(Any, "gaussian"), sigma_scale=0.125)
    np.testing.assert_allclose(processing.gaussian((24, 16, 10)), expected.numpy(), atol=1e-6)


def test_exported_programs_import_nothing_of_aunet() -> None:
    files = sorted(Path(processing.__file__).parent.glob("*.py"))
    assert len(files) == 5
    for file in files:
        lines = [line for line in file.read_text(encoding="utf-8").splitlines() if "import" in line]
        assert not [line for line in lines if "aunet" in line and not line.startswith('"""')], file.name


@pytest.mark.parametrize(
    "step",
    [LargestComponent("b"), LargestComponent(), MinimumVolume("a", 0.02), HoleFilling()],
    ids=["largest of b", "largest", "minimum", "holes"],
)
@pytest.mark.parametrize("shape", [(14, 15, 16), (30, 31, 1), (1, 30, 31)])
@pytest.mark.parametrize("regions", [(), ((1, 2), (2,))], ids=["classes", "regions"])
def test_steps_on_label_maps_are_those_of_aunet(
    step: MaskStep, shape: tuple[int, int, int], regions: tuple[tuple[int, ...], ...]
) -> None:
    smooth = ndimage.gaussian_filter(np.random.default_rng(4).standard_normal(shape), (2, 2, 0.8))
    label = np.digitize(smooth, np.quantile(smooth, [0.6, 0.85])).astype(np.uint8)
    affine, names = np.diag([-1.0, 1.5, 2.0, 1.0]), ("background", "a", "b")
    expected = step(Prediction(label, affine, Labels(names, regions)))
    settings = describe_step(step)
    assert settings is not None
    found = postprocess(label, [settings], names, 3 / 1000, regions)
    assert np.array_equal(found, expected)
    assert (expected != label).any() or isinstance(step, HoleFilling) or bool(regions)


def test_a_step_of_ones_own_is_not_described() -> None:
    class Own(LargestComponent):
        pass

    assert describe_step(Own()) is None


@pytest.mark.parametrize("method", METHODS)
def test_logits_of_regions_are_painted_as_aunet_paints_them(method: Resampling) -> None:
    affine, wanted = np.diag([*SPACING, 1.0]), (2.0, 2.0, 2.0)
    regions = target_of(Labels(("background", "whole", "core"), ((1, 2), (2,))))
    prepared = Preprocessing(wanted, "ct", None, method).image([Volume(noise(SHAPE), affine)])
    logits = noise((2, *prepared.array.shape[1:]), seed=1) - 100
    expected = restore_label_map(torch.from_numpy(logits), prepared.affine, SHAPE, affine, method, regions)
    axes = processing.plan_axes(SHAPE, SPACING, wanted)
    found = processing.label_of(logits, axes, method, are_regions=True)
    assert (found == expected).mean() > 0.9999
    assert set(np.unique(found)) == {0, 1, 2}
