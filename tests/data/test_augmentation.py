"""Augmentation is keyed by sample and moves image and label together."""

import pytest
import torch

from aunet.data.augmentation import Augmentation


def batch(size: tuple[int, ...], keys: list[list[int]]) -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    label = torch.zeros(len(keys), 1, *size, dtype=torch.uint8)
    label[:, :, size[0] // 3 : size[0] // 2, 4:9, 5:10] = 1
    return {"image": label.float() * 10, "label": label, "key": torch.tensor(keys)}


def test_a_sample_is_changed_alike_in_any_batch() -> None:
    augmentation = Augmentation((16, 16, 16), flip_axes=(0, 1), intensity_probability=0.5)
    size = augmentation.read_size
    together = augmentation(batch(size, [[0, 0], [0, 1], [3, 7]]), seed=1)
    alone = augmentation(batch(size, [[3, 7]]), seed=1)
    assert torch.equal(together[0][2], alone[0][0])
    assert torch.equal(together[1][2], alone[1][0])


@pytest.mark.parametrize(("keys", "seed"), [([[0, 1]], 0), ([[1, 0]], 0), ([[0, 0]], 1)])
def test_another_key_or_seed_changes_it_otherwise(keys: list[list[int]], seed: int) -> None:
    augmentation = Augmentation((16, 16, 16))
    first = augmentation(batch(augmentation.read_size, [[0, 0]]), seed=0)[0]
    assert not torch.equal(first, augmentation(batch(augmentation.read_size, keys), seed=seed)[0])


def test_image_and_label_move_together() -> None:
    augmentation = Augmentation((24, 24, 24), flip_axes=(0, 1, 2))
    image, label = augmentation(batch(augmentation.read_size, [[0, i] for i in range(6)]), seed=0)
    inside, outside = image[label == 1], image[label == 0]
    assert inside.mean() > 7
    assert outside.mean() < 1


def test_without_changes_the_patch_comes_back_as_it_is() -> None:
    augmentation = Augmentation((16, 16, 16), scale=0.0, flip_axes=(), affine_probability=0.0)
    plain = batch((16, 16, 16), [[0, 0]])
    image, label = augmentation(plain, seed=0)
    assert augmentation.read_size == (16, 16, 16)
    assert torch.equal(label, plain["label"])
    torch.testing.assert_close(image, plain["image"])


def test_a_flat_patch_is_changed_within_its_plane() -> None:
    augmentation = Augmentation((32, 32, 1), rotation=30, scale=0.2, shift=0.1, flip_axes=(0, 1))
    assert augmentation.read_size == (39, 39, 1)
    stripes = torch.zeros(1, 1, 39, 39, 1)
    stripes[:, :, 10:29] = 1.0
    batch = {"image": stripes, "label": stripes.to(torch.uint8), "key": torch.tensor([[0, 0]])}

    image, label = augmentation(batch, seed=3)

    assert image.shape == label.shape == (1, 1, 32, 32, 1)
    assert image.max() == pytest.approx(1.0, abs=1e-5)  # nothing is mixed with what lies outside the plane
    assert not torch.equal(image, stripes[:, :, 3:35, 3:35])
    assert set(label.unique().tolist()) == {0, 1}
