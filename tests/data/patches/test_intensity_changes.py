"""Each change of the intensities does what it says, keyed by its seed, on flat patches too."""

from typing import Any

import numpy as np
import pytest
import torch
from monai.transforms.compose import Compose
from scipy import ndimage

from aunet.data.patches.intensity_changes import intensity_changes, plain

STRENGTHS = {"noise": 0.3, "blur": 1.0, "gain": 0.3, "contrast": 0.3, "low_resolution": 0.5, "gamma": 0.5}
SHAPES = [(1, 16, 14, 12), (3, 16, 14, 1)]


def patch(shape: tuple[int, ...]) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(0))


def changed(name: str, image: torch.Tensor, seed: int = 0, probability: float = 1.0) -> torch.Tensor:
    transforms = Compose(intensity_changes(probability, **{name: STRENGTHS[name]}))
    transforms.set_random_state(seed=seed)
    sample: Any = transforms({"image": image.clone(), "label": torch.zeros(1)})
    assert torch.equal(sample["label"], torch.zeros(1))
    return plain(sample["image"])


@pytest.mark.parametrize("shape", SHAPES, ids=["3D", "flat"])
@pytest.mark.parametrize("name", STRENGTHS)
def test_a_change_is_a_function_of_its_seed_and_keeps_the_shape(name: str, shape: tuple[int, ...]) -> None:
    image = patch(shape)
    first = changed(name, image)
    assert first.shape == image.shape
    assert first.isfinite().all()
    assert not torch.allclose(first, image, atol=1e-3)
    assert torch.equal(first, changed(name, image))
    assert not torch.equal(first, changed(name, image, seed=1))


@pytest.mark.parametrize("name", STRENGTHS)
def test_only_a_share_of_the_patches_is_changed(name: str) -> None:
    image = patch((1, 6, 6, 6))
    share = np.mean([not torch.equal(changed(name, image, seed, 0.3), image) for seed in range(150)])
    assert share == pytest.approx(0.3, abs=0.12)


def test_no_strength_or_no_probability_changes_nothing() -> None:
    assert intensity_changes(0.0, **STRENGTHS) == []
    assert intensity_changes(1.0, noise=0.0, blur=0.0) == []


@pytest.mark.parametrize("name", ["blur", "low_resolution"])
@pytest.mark.parametrize("shape", SHAPES, ids=["3D", "flat"])
def test_smoothing_leaves_a_constant_patch_as_it_is_to_its_borders(name: str, shape: tuple[int, ...]) -> None:
    constant = torch.full(shape, 2.5)
    torch.testing.assert_close(changed(name, constant), constant, atol=1e-5, rtol=0)


def test_a_blur_is_a_gaussian_of_a_width_within_its_range() -> None:
    image = patch((1, 16, 14, 12))
    for seed in range(5):
        blurred = changed("blur", image, seed)[0].numpy()
        errors = [
            np.abs(ndimage.gaussian_filter(image[0].numpy(), sigma, mode="nearest") - blurred).max()
            for sigma in np.linspace(0.5, 1.0, 201)
        ]
        assert min(errors) < 0.02  # MONAI integrates the Gaussian over each voxel, SciPy samples it


def test_gain_and_contrast_are_linear_and_contrast_keeps_mean_and_range() -> None:
    image = patch((1, 16, 14, 12))
    factor = (changed("gain", image) / image).double()
    assert factor.std() < 1e-5
    assert 0.7 <= float(factor.mean()) <= 1.3
    for seed in range(4):
        contrast = changed("contrast", image, seed)
        assert float(contrast.min()) >= float(image.min()) - 1e-5
        assert float(contrast.max()) <= float(image.max()) + 1e-5
        middle = (image - image.mean()).abs() < 1
        slopes = (contrast - image.mean())[middle] / (image - image.mean())[middle]
        assert float(slopes.median()) == pytest.approx(float(slopes.mean()), abs=1e-3)
        assert 0.7 <= float(slopes.median()) <= 1.3


def test_noise_has_the_strength_asked_for() -> None:
    image = torch.zeros(1, 30, 30, 30)
    deviations = [float(changed("noise", image, seed).std()) for seed in range(20)]
    assert 0.2 < max(deviations) < 0.31


def test_a_gamma_keeps_order_mean_and_deviation() -> None:
    image = patch((1, 16, 14, 12))
    result = changed("gamma", image)
    order = image.flatten().argsort()
    assert (result.flatten()[order].diff() >= -1e-6).all()
    assert float(result.mean()) == pytest.approx(float(image.mean()), abs=1e-4)
    assert float(result.std()) == pytest.approx(float(image.std()), abs=1e-3)
