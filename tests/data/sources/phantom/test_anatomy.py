"""Size and place of the phantom's organs against those of adults."""

import numpy as np
import pytest
from scipy import ndimage

from aunet.data.sources.phantom.anatomy import Anatomy, draw_anatomy
from aunet.data.sources.phantom.cohort import Phantom, draw_phantom
from aunet.data.sources.phantom.tissues import Tissue

SPACING = (4.0, 4.0, 4.0)
KIDNEY = (Tissue.KIDNEY_CORTEX, Tissue.KIDNEY_MEDULLA)
STOMACH = (Tissue.STOMACH_WALL, Tissue.STOMACH_CONTENT)


@pytest.fixture(scope="module", params=[8, pytest.param(20, marks=pytest.mark.slow)])
def anatomies(request: pytest.FixtureRequest) -> list[Anatomy]:
    return [draw_anatomy(np.random.default_rng((7, index)), SPACING) for index in range(request.param)]


@pytest.fixture(scope="module", params=[4, pytest.param(6, marks=pytest.mark.slow)])
def phantoms(request: pytest.FixtureRequest) -> list[Phantom]:
    return [draw_phantom(3, index, SPACING) for index in range(request.param)]


def points(anatomy: Anatomy, *tissues: Tissue) -> np.ndarray:
    """World coordinates (N, 3) in mm of the voxels of some tissues."""
    voxels = np.argwhere(np.isin(anatomy.tissue, tissues))
    return voxels @ anatomy.affine[:3, :3].T + anatomy.affine[:3, 3]


def center(anatomy: Anatomy, *tissues: Tissue) -> np.ndarray:
    return points(anatomy, *tissues).mean(axis=0)


def millilitres(anatomy: Anatomy, *tissues: Tissue) -> float:
    return float(np.isin(anatomy.tissue, tissues).sum() * np.prod(SPACING) / 1000)


def kidneys(anatomy: Anatomy) -> tuple[np.ndarray, np.ndarray]:
    """Points of the left kidney (x below the spine's) and of the right one."""
    both = points(anatomy, *KIDNEY)
    is_right = both[:, 0] > center(anatomy, Tissue.SPINAL_CANAL)[0]
    return both[~is_right], both[is_right]


@pytest.mark.parametrize(
    ("tissues", "low", "high"),
    [
        ((Tissue.PANCREAS,), 40, 110),
        ((Tissue.SPLEEN,), 100, 300),
        ((Tissue.LIVER,), 900, 2300),
        ((Tissue.LUNG,), 100, 3000),
        (STOMACH, 60, 900),
    ],
)
def test_organs_have_the_volume_of_adults(
    anatomies: list[Anatomy], tissues: tuple[Tissue, ...], low: float, high: float
) -> None:
    volumes = [millilitres(anatomy, *tissues) for anatomy in anatomies]
    assert low <= min(volumes)
    assert max(volumes) <= high


def test_each_kidney_has_the_volume_of_an_adults(anatomies: list[Anatomy]) -> None:
    volumes = [len(side) * np.prod(SPACING) / 1000 for anatomy in anatomies for side in kidneys(anatomy)]
    assert min(volumes) >= 120
    assert max(volumes) <= 200


def test_sizes_and_places_differ_between_patients(anatomies: list[Anatomy]) -> None:
    for tissue, least_ml in ((Tissue.PANCREAS, 10), (Tissue.SPLEEN, 25)):
        assert np.std([millilitres(anatomy, tissue) for anatomy in anatomies]) > least_ml
        assert np.std([center(anatomy, tissue) for anatomy in anatomies], axis=0).min() > 3


def test_the_pancreas_is_long_and_bent(anatomies: list[Anatomy]) -> None:
    for anatomy in anatomies:
        organ = points(anatomy, Tissue.PANCREAS)
        offset = organ - organ.mean(axis=0)
        deviations = np.sqrt(np.linalg.eigvalsh(np.cov(offset.T)))
        assert deviations[2] > 1.5 * deviations[1]
        along = offset @ np.linalg.svd(offset, full_matrices=False)[2][0]
        ends = offset[np.abs(along) > np.quantile(np.abs(along), 0.8)].mean(axis=0)
        middle = offset[np.abs(along) < np.quantile(np.abs(along), 0.3)].mean(axis=0)
        assert np.linalg.norm(ends - middle) > 5


def test_the_pancreas_lies_behind_the_stomach(anatomies: list[Anatomy]) -> None:
    """On the lines from front to back that meet both."""
    rows = np.arange(anatomies[0].tissue.shape[1])[:, None]
    for anatomy in anatomies:
        stomach, pancreas = (np.isin(anatomy.tissue, which) for which in (STOMACH, (Tissue.PANCREAS,)))
        i, k = np.nonzero(stomach.any(axis=1) & pancreas.any(axis=1))
        first, second = (np.average(rows.repeat(len(i), 1), axis=0, weights=m[i, :, k].T) for m in (stomach, pancreas))
        assert len(i) > 10
        assert (first > second).mean() > 0.95


def test_the_pancreas_lies_before_the_spine(anatomies: list[Anatomy]) -> None:
    for anatomy in anatomies:
        assert center(anatomy, Tissue.PANCREAS)[1] > center(anatomy, Tissue.SPINAL_CANAL)[1] + 30


def test_the_spleen_is_left_and_the_liver_right(anatomies: list[Anatomy]) -> None:
    for anatomy in anatomies:
        middle = center(anatomy, Tissue.SPINAL_CANAL)[0]
        assert center(anatomy, Tissue.SPLEEN)[0] < middle - 60
        assert center(anatomy, Tissue.LIVER)[0] > middle + 30


def test_a_kidney_lies_on_each_side_of_the_spine_the_left_one_higher_as_a_rule(anatomies: list[Anatomy]) -> None:
    pairs = [[side.mean(axis=0) for side in kidneys(anatomy)] for anatomy in anatomies]
    for left, right in pairs:
        assert 90 < right[0] - left[0] < 190
    assert np.mean([left[2] > right[2] for left, right in pairs]) > 0.6


def test_organs_lie_to_each_other_as_experts_outline_them(anatomies: list[Anatomy]) -> None:
    """Mean offsets from the left kidney's centre in 18 expert outlines: spleen (-29, 5, 57), pancreas (54, 60, 22)."""
    for tissue, expected in ((Tissue.SPLEEN, (-29, 5, 57)), (Tissue.PANCREAS, (54, 60, 22))):
        offsets = [center(anatomy, tissue) - kidneys(anatomy)[0].mean(axis=0) for anatomy in anatomies]
        np.testing.assert_allclose(np.mean(offsets, axis=0), expected, atol=16)


def test_pancreas_and_spleen_are_in_one_piece_and_the_kidneys_in_two(phantoms: list[Phantom]) -> None:
    for phantom in phantoms:
        for index, pieces in ((1, 1), (2, 1), (3, 2)):
            labelled, _ = ndimage.label(phantom.label == index, structure=np.ones((3, 3, 3)))
            sizes = np.bincount(labelled.ravel())[1:]
            assert (sizes > 5).sum() == pieces


def test_no_label_touches_the_air_outside_the_body(phantoms: list[Phantom]) -> None:
    for phantom in phantoms:
        outside, _ = ndimage.label(phantom.image < -500)
        is_air = ndimage.binary_dilation(outside == outside[0, -1, 0], iterations=2)
        assert not (phantom.label[is_air] > 0).any()


def test_organs_have_the_attenuation_of_soft_tissue(phantoms: list[Phantom]) -> None:
    for phantom in phantoms:
        assert phantom.image.min() < -950
        assert phantom.image.max() > 250
        for index in (1, 2, 3):
            assert 15 < np.median(phantom.image[phantom.label == index]) < 260


def test_nearest_mean_intensity_does_not_find_the_pancreas(phantoms: list[Phantom]) -> None:
    """Class means over three phantoms, each voxel of the others given to the nearest."""
    images, labels = (np.stack([getattr(phantom, name) for phantom in phantoms]) for name in ("image", "label"))
    means = np.array([images[:3][labels[:3] == index].mean() for index in range(4)])
    prediction = np.abs(images[3:, ..., None] - means).argmin(axis=-1)
    assert dice(prediction == 1, labels[3:] == 1) < 0.3


def test_no_window_of_intensity_finds_the_pancreas_even_one_chosen_for_the_case(phantoms: list[Phantom]) -> None:
    for phantom in phantoms:
        smooth = ndimage.gaussian_filter(phantom.image.astype(np.float32), 1.0)
        is_pancreas = phantom.label == 1
        middle, width = np.median(smooth[is_pancreas]), smooth[is_pancreas].std()
        scores = [dice(np.abs(smooth - middle) < factor * width, is_pancreas) for factor in (0.25, 0.5, 1, 2)]
        assert max(scores) < 0.3


def test_phases_of_contrast_differ_between_cases(phantoms: list[Phantom]) -> None:
    medians = np.array([[np.median(p.image[p.label == index]) for index in (1, 2, 3)] for p in phantoms])
    assert medians[:, 2].std() > 10
    assert (medians[:, 1] - medians[:, 0]).std() > 3


def dice(prediction: np.ndarray, reference: np.ndarray) -> float:
    return float(2 * (prediction & reference).sum() / (prediction.sum() + reference.sum()))
