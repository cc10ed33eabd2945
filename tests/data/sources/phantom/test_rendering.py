"""From tissue to HU and label."""

import numpy as np
import pytest
from scipy import ndimage

from aunet.data.sources.phantom.contrast import draw_attenuation
from aunet.data.sources.phantom.rendering import Scanner, block_mean, block_sum, render_image, render_label
from aunet.data.sources.phantom.tissues import PHANTOM_LABELS, Tissue, class_of_tissue

SPACING = (4.0, 4.0, 4.0)


def flat_attenuation() -> np.ndarray:
    return np.linspace(-900, 900, len(Tissue), dtype=np.float32)


def render(tissue: np.ndarray, noise: float = 0.0, grain: float = 2.0) -> np.ndarray:
    scanner, generator = Scanner(noise, grain), np.random.default_rng(0)
    return render_image(tissue.astype(np.uint8), flat_attenuation(), scanner, SPACING, 2, generator)


def test_a_block_takes_the_mean_of_its_fine_voxels() -> None:
    values = np.random.default_rng(0).standard_normal((4, 6, 2)).astype(np.float32)
    assert block_mean(values, 2)[1, 2, 0] == pytest.approx(values[2:4, 4:6, 0:2].mean())


@pytest.mark.parametrize("shape", [(8, 12, 10), (9, 13, 11)])
def test_block_means_are_rounded_as_numpy_rounds_the_mean_of_a_block(shape: tuple[int, int, int]) -> None:
    values = np.random.default_rng(1).standard_normal(shape).astype(np.float32)
    height, width, depth = (size // 2 for size in shape)
    blocks = values[: 2 * height, : 2 * width, : 2 * depth].reshape(height, 2, width, 2, depth, 2)
    np.testing.assert_array_equal(block_mean(values, 2), blocks.mean(axis=(1, 3, 5)))


def test_a_block_of_integers_is_summed_exactly() -> None:
    values = np.arange(6**3, dtype=np.int16).reshape(6, 6, 6)
    assert block_sum(values, 3)[1, 0, 1] == values[3:, :3, 3:].sum()


@pytest.mark.parametrize("factor", [1, 2, 3])
def test_labels_agree_with_a_count_in_each_voxel_wherever_the_organs_lie(factor: int) -> None:
    """Oracle: a loop over voxels; background and an organ that tie take turns, else the lower class is taken."""
    generator = np.random.default_rng(factor)
    tissue = np.full((13, 11, 12), Tissue.MUSCLE, dtype=np.uint8)
    organs = (Tissue.PANCREAS, Tissue.SPLEEN, Tissue.KIDNEY_MEDULLA, Tissue.MUSCLE)
    tissue[3:9, 2:9, 5:] = generator.choice(organs, (6, 7, 7))
    label = render_label(tissue, factor)
    classes = class_of_tissue()[tissue]
    for index in np.ndindex(label.shape):
        block = classes[tuple(slice(i * factor, (i + 1) * factor) for i in index)]
        counts = np.bincount(block.ravel(), minlength=4).astype(float)
        counts[0] += 0.5 if sum(index) % 2 == 0 else -0.5
        assert label[index] == counts.argmax()


def test_the_label_is_the_class_of_most_fine_voxels() -> None:
    block = np.full((2, 2, 2), Tissue.PANCREAS, dtype=np.uint8)
    block[0, 0] = Tissue.LIVER
    assert render_label(block, 2).item() == PHANTOM_LABELS.names.index("pancreas")
    block[0] = Tissue.LIVER
    block[1, 0, 0] = Tissue.LIVER
    assert render_label(block, 2).item() == 0


def test_cortex_and_medulla_together_are_kidney() -> None:
    block = np.full((2, 2, 2), Tissue.KIDNEY_CORTEX, dtype=np.uint8)
    block[0] = Tissue.KIDNEY_MEDULLA
    assert render_label(block, 2).item() == PHANTOM_LABELS.names.index("kidney")
    assert class_of_tissue()[Tissue.RENAL_PELVIS] == 0


def test_labels_of_a_ball_keep_its_volume() -> None:
    i, j, k = np.ogrid[:48, :48, :48]
    ball = np.square(i - 23.2) + np.square(j - 24.1) + np.square(k - 22.7) < 15**2
    label = render_label(np.where(ball, Tissue.SPLEEN, Tissue.AIR), 2)
    assert (label > 0).sum() * 8 == pytest.approx(ball.sum(), rel=0.01)


def test_without_noise_the_inside_has_the_attenuation_of_its_tissue() -> None:
    image = render(np.full((24, 24, 24), Tissue.ARTERY))
    assert image.dtype == np.int16
    np.testing.assert_allclose(image, flat_attenuation()[Tissue.ARTERY], atol=1)


def test_a_border_holds_values_between_both_sides() -> None:
    tissue = np.full((24, 24, 24), Tissue.ARTERY)
    tissue[13:] = Tissue.AIR
    profile = render(tissue)[:, 6, 6]
    artery, air = flat_attenuation()[[Tissue.ARTERY, Tissue.AIR]]
    assert profile[6] == pytest.approx((artery + air) / 2, rel=0.1)
    assert (np.diff(profile) <= 0).all()


def test_noise_has_the_deviation_asked_for_and_neighbours_agree() -> None:
    image = render(np.full((96, 96, 64), Tissue.ARTERY), noise=20.0, grain=3.0).astype(float)
    middle = image[16:-16, 16:-16, 4:-4]
    middle = middle - middle.mean()
    assert middle.std() == pytest.approx(25, rel=0.15)
    assert (middle[1:] * middle[:-1]).mean() / middle.var() > 0.25


def test_noise_has_little_low_frequency() -> None:
    image = render(np.full((96, 96, 64), Tissue.ARTERY), noise=20.0, grain=3.0).astype(float)
    middle = image[16:-16, 16:-16, 4:-4]
    white = np.random.default_rng(1).standard_normal(image.shape)
    ordinary = ndimage.gaussian_filter(white, 3.0 / 4)[16:-16, 16:-16, 4:-4]
    ours, theirs = (ndimage.uniform_filter(noise, 9).std() / noise.std() for noise in (middle, ordinary))
    assert ours < 0.6 * theirs


def test_contrast_phases_vary_but_pancreas_and_gut_stay_close() -> None:
    drawn = np.array([draw_attenuation(np.random.default_rng(seed)) for seed in range(200)])
    assert drawn[:, Tissue.ARTERY].std() > 30
    for tissue in (Tissue.BOWEL_WALL, Tissue.BOWEL_CONTENT, Tissue.STOMACH_WALL):
        assert np.abs(drawn[:, tissue] - drawn[:, Tissue.PANCREAS]).mean() < 10
    assert (drawn[:, Tissue.KIDNEY_CORTEX] > drawn[:, Tissue.KIDNEY_MEDULLA]).mean() > 0.9
