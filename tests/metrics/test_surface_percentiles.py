"""HD95 and NSD against brute force over all pairs of border voxels, closed forms and MONAI, on anisotropic grids."""

import math

import numpy as np
import pytest
import torch
from monai.metrics import compute_hausdorff_distance, compute_surface_dice
from scipy.spatial.distance import cdist

from aunet.metrics.surface_distance import border_distances, border_points, element_distances

# MONAI calls its own function with an argument that it deprecates.
pytestmark = pytest.mark.filterwarnings("ignore:.*always_return_as_numpy:FutureWarning")

SPACINGS = [(1.0, 1.0, 1.0), (0.7, 1.3, 4.0)]


def blobs(seed: int, spacing: tuple[float, float, float]) -> tuple[np.ndarray, np.ndarray]:
    """Return two overlapping ellipsoids with ragged edges, away from the edge of the volume."""
    random = np.random.default_rng(seed)
    grid = np.indices((26, 24, 14)) * np.array(spacing)[:, None, None, None]
    middle = np.array([13, 12, 7]) * np.array(spacing)
    masks: list[np.ndarray] = []
    for _ in range(2):
        centre = middle + random.uniform(-2, 2, 3)
        radii = random.uniform(0.25, 0.38, 3) * np.array([26, 24, 14]) * np.array(spacing)
        field = np.square((grid - centre[:, None, None, None]) / radii[:, None, None, None]).sum(axis=0)
        mask = field + random.normal(0, 0.15, field.shape) <= 1
        mask[[0, -1]] = mask[:, [0, -1]] = mask[:, :, [0, -1]] = False
        masks.append(mask)
    return masks[0], masks[1]


def batched(mask: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(mask)[None, None].float()


@pytest.mark.parametrize("spacing", SPACINGS)
@pytest.mark.parametrize("seed", range(3))
def test_border_forms_equal_brute_force_and_monai(seed: int, spacing: tuple[float, float, float]) -> None:
    prediction, reference = blobs(seed, spacing)
    distances = border_distances(prediction, reference, spacing)

    pairs = cdist(border_points(prediction, spacing), border_points(reference, spacing))
    to_reference, to_prediction = pairs.min(axis=1), pairs.min(axis=0)
    hd95 = max(np.percentile(to_reference, 95), np.percentile(to_prediction, 95))
    nsd = np.mean(np.concatenate([to_reference, to_prediction]) <= 1.5)
    assert distances.percentile(0.95) == pytest.approx(hd95)
    assert distances.share_within(1.5) == pytest.approx(nsd)

    maps = batched(prediction), batched(reference)
    monai_hd95 = compute_hausdorff_distance(*maps, include_background=True, percentile=95, spacing=spacing)
    monai_nsd = compute_surface_dice(*maps, class_thresholds=[1.5], include_background=True, spacing=spacing)
    assert distances.percentile(0.95) == pytest.approx(float(monai_hd95), rel=1e-5)
    assert distances.share_within(1.5) == pytest.approx(float(monai_nsd), rel=1e-5)


@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (0.7, 0.9, 3.0)])
@pytest.mark.parametrize("shift", [4.0, 7.0])
def test_element_forms_of_shifted_spheres_equal_their_closed_form(
    spacing: tuple[float, float, float], shift: float
) -> None:
    """The area of a sphere is uniform along any axis, and a point's distance depends on its place along the shift."""
    radius, axes = 18.0, [np.arange(-25, 32, side) for side in spacing]
    first, second = (
        np.square(np.meshgrid(axes[0] - place, *axes[1:], indexing="ij")).sum(axis=0) <= radius**2
        for place in (0.2, 0.2 + shift)
    )
    distances = element_distances(first, second, spacing)

    along = np.linspace(-1, 1, 100_001)
    exact = np.abs(np.sqrt(radius**2 + shift**2 - 2 * radius * shift * along) - radius)
    assert distances.percentile(0.95) == pytest.approx(np.percentile(exact, 95), abs=0.25)
    for tolerance in (1.0, 2.0, 3.0):
        assert distances.share_within(tolerance) == pytest.approx(np.mean(exact <= tolerance), abs=0.04)


def test_elements_of_concentric_spheres_lie_at_the_difference_of_their_radii() -> None:
    grid = np.square(np.indices((48, 48, 48)) - 23.6).sum(axis=0)
    distances = element_distances(grid <= 15**2, grid <= 19**2, (1.0, 1.0, 1.0))

    assert distances.percentile(0.95) == pytest.approx(4, abs=0.35)
    assert (distances.share_within(3.3), distances.share_within(4.7)) == (0, 1)


def test_a_percentile_interpolates_as_numpy_does_and_counts_weights_as_repeated_points() -> None:
    line = np.zeros((40, 3, 3), dtype=bool)
    first, second = line.copy(), line.copy()
    first[1:20], second[4:33] = True, True
    distances = border_distances(first, second, (2.0, 1.0, 1.0))
    both = distances.to_reference, distances.to_prediction
    assert distances.percentile(0.9) == max(np.percentile(values, 90) for values in both)


def test_a_mask_without_a_surface_makes_both_undefined() -> None:
    ball = np.square(np.indices((12, 12, 12)) - 6).sum(axis=0) <= 9
    for other in (np.zeros_like(ball), np.ones_like(ball)):
        distances = element_distances(ball, other, (1.0, 1.0, 1.0))
        assert math.isnan(distances.percentile(0.95))
        assert math.isnan(distances.share_within(2.0))
