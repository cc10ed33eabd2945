"""Augmentation is keyed by sample and moves image and label together."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch

from aunet.data.patches.augmentation import Augmentation
from aunet.data.patches.sampling import Sample, joined
from aunet.errors import UserError

STRONG = {
    **{"rotation": 30.0, "scale": 0.3, "shift": 0.1, "affine_probability": 1.0},
    **{"elastic": 0.4, "elastic_probability": 0.5, "flip_axes": (0, 1), "intensity_probability": 0.5},
    **{"noise": 0.1, "blur": 1.0, "gain": 0.2, "contrast": 0.2, "low_resolution": 0.5, "gamma": 0.3},
}


def read(augmentation: Augmentation, keys: Sequence[tuple[int, int]], seed: int = 0) -> Sample:
    """Return a batch as it is read of a volume with stripes 6 voxels wide, labelled 1 and 0, that shows 10 and 0."""
    samples: list[Sample] = []
    for key in keys:
        start, size = augmentation.geometry.draw(seed, *key).box
        stripes = (np.arange(start[0], start[0] + size[0]) // 6 % 2)[:, None, None]
        label = torch.from_numpy(np.broadcast_to(stripes, size).astype(np.uint8))[None]
        samples.append({"image": label * 10.0, "label": label, "key": torch.tensor(key)})
    return joined(samples)


def patches(augmentation: Augmentation, batch: Sample, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    changed = augmentation(batch, seed)
    return changed["image"], changed["label"]


@pytest.mark.parametrize("size", [(16, 16, 16), (24, 16, 1)], ids=["3D", "flat"])
def test_a_sample_is_changed_alike_in_any_batch_and_any_order(size: tuple[int, ...]) -> None:
    augmentation = Augmentation(size, **STRONG)
    keys = [(epoch, sample) for epoch in range(2) for sample in range(6)]
    image, label = patches(augmentation, read(augmentation, keys, seed=1), seed=1)
    others = np.random.default_rng(0).permutation(len(keys))
    image_again, label_again = patches(augmentation, read(augmentation, [keys[k] for k in others], seed=1), seed=1)
    assert torch.equal(image[others], image_again)
    assert torch.equal(label[others], label_again)
    for number, key in enumerate(keys):
        alone = patches(augmentation, read(augmentation, [key], seed=1), seed=1)
        assert torch.equal(alone[0][0], image[number])
        assert torch.equal(alone[1][0], label[number])


@pytest.mark.parametrize(("key", "seed"), [((0, 1), 0), ((1, 0), 0), ((0, 0), 1)])
def test_another_key_or_seed_changes_it_otherwise(key: tuple[int, int], seed: int) -> None:
    augmentation = Augmentation((16, 16, 16), **STRONG)
    first, _ = patches(augmentation, read(augmentation, [(0, 0)]))
    assert not torch.equal(first, patches(augmentation, read(augmentation, [key], seed), seed=seed)[0])


@pytest.mark.parametrize("size", [(24, 24, 24), (24, 24, 1)], ids=["3D", "flat"])
def test_image_and_label_move_together_and_labels_stay_whole(size: tuple[int, ...]) -> None:
    augmentation = Augmentation(size, **STRONG | {"intensity_probability": 0.0, "flip_axes": (0, 1)})
    image, label = patches(augmentation, read(augmentation, [(0, number) for number in range(8)]))
    assert image.shape == label.shape == (8, 1, *size)
    assert label.dtype == torch.uint8
    assert set(label.unique().tolist()) == {0, 1}
    assert ((image > 5) == (label == 1)).float().mean() > 0.995  # a voxel between two may round to either
    assert 0 <= image.min() <= image.max() <= 10 + 1e-4


def test_intensities_change_without_the_label() -> None:
    augmentation = Augmentation((16, 16, 16), intensity_probability=1.0, noise=0.5, gain=0.2)
    batch = read(augmentation, [(0, 0)])
    image, label = patches(augmentation, batch)
    assert torch.equal(label, batch["label"])
    assert not torch.allclose(image, batch["image"], atol=0.1)


def test_without_changes_the_patch_comes_back_as_it_is() -> None:
    augmentation = Augmentation((16, 16, 16))
    batch = read(augmentation, [(0, 0)])
    image, label = patches(augmentation, batch)
    assert torch.equal(label, batch["label"])
    assert torch.equal(image, batch["image"])


def test_flips_mirror_half_of_the_patches_along_each_axis() -> None:
    augmentation = Augmentation((4, 4, 4), flip_axes=(0, 2))
    plain = torch.arange(64.0).reshape(1, 1, 4, 4, 4)
    seen: list[tuple[bool, bool]] = []
    for sample in range(60):
        batch = {"image": plain, "label": plain.to(torch.uint8), "key": torch.tensor([[0, sample]])}
        image, label = patches(augmentation, batch)
        flips = {(x, z): plain.flip([axis for axis, on in ((2, x), (4, z)) if on]) for x in (0, 1) for z in (0, 1)}
        seen.append(next(key for key, expected in flips.items() if torch.equal(image, expected)))
        assert torch.equal(label, image.to(torch.uint8))
    assert len(set(seen)) == 4


def test_a_flat_patch_is_mixed_with_nothing_outside_its_plane() -> None:
    augmentation = Augmentation((32, 32, 1), **STRONG | {"intensity_probability": 0.0})
    for sample in range(5):
        _, size = augmentation.geometry.draw(0, 0, sample).box
        assert size[2] == 1
        constant = torch.ones(1, 1, *size)
        batch = {"image": constant, "label": constant.to(torch.uint8), "key": torch.tensor([[0, sample]])}
        image, label = patches(augmentation, batch)
        torch.testing.assert_close(image, torch.ones_like(image))
        assert (label == 1).all()


@pytest.mark.parametrize("spacing", [1, [1, 1], [1, 1, 0], ["a", 1, 1], "2,2,2"], ids=str)
def test_a_spacing_that_is_not_three_lengths_is_refused(spacing: Any) -> None:
    with pytest.raises(UserError, match=r"data\.augmentation\.spacing=.*three numbers above 0"):
        Augmentation((8, 8, 8), spacing=spacing)
