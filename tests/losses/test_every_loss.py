"""Every option of conf/loss/, against its formula written out in numpy and on the patches that break losses."""

from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from hydra.utils import instantiate
from monai.losses import DeepSupervisionLoss
from numpy.typing import NDArray
from torch import Tensor, nn

from aunet.config.composition import compose_config, resolve_config
from aunet.errors import UserError
from aunet.losses import FocalTverskyLoss

Array = NDArray[np.float64]
FACTS = {
    "in_channels": 1,
    "num_classes": 3,
    "class_names": ["background", "ball", "box"],
    "modality": "mr",
    "spatial_dims": 3,
    "spacing": [1.0, 1.0, 1.0],
    "patch_size": [16, 16, 16],
    "batch_size": 2,
}


def softmax(logits: Array) -> Array:
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def overlaps(logits: Array, target: Array) -> tuple[Array, Array, Array]:
    """Soft true positives, false positives and false negatives, each (B, K)."""
    p, t = softmax(logits).reshape(*logits.shape[:2], -1), target.reshape(*target.shape[:2], -1)
    return (p * t).sum(2), (p * (1 - t)).sum(2), ((1 - p) * t).sum(2)


def dice_terms(logits: Array, target: Array, smooth: float = 1e-5) -> Array:
    tp, fp, fn = overlaps(logits, target)
    return 1 - (2 * tp + smooth) / (2 * tp + fp + fn + smooth)


def tversky_terms(logits: Array, target: Array) -> Array:
    tp, fp, fn = (part[:, 1:] for part in overlaps(logits, target))
    return 1 - (tp + 1e-5) / (tp + 0.3 * fp + 0.7 * fn + 1e-5)


def dice_ce(logits: Array, target: Array) -> float:
    cross_entropy = -(target * np.log(softmax(logits))).sum(axis=1).mean()
    return float(dice_terms(logits, target)[:, 1:].mean() + cross_entropy)


def dice_focal(logits: Array, target: Array) -> float:
    sigmoid = 1 / (1 + np.exp(-logits))
    right = np.where(target == 1, sigmoid, 1 - sigmoid)
    return float(dice_terms(logits, target).mean() - ((1 - right) ** 2 * np.log(right)).mean())


def dice_released(logits: Array, target: Array) -> float:
    tp, fp, fn = overlaps(logits, target)
    return float(1 - (2 * (tp + 0.01) / (2 * tp + fp + fn + 0.01)).mean())


def generalized_dice(logits: Array, target: Array) -> float:
    terms: list[float] = []
    for tp, fp, fn in zip(*overlaps(logits, target), strict=True):
        volumes = [a + c for a, c in zip(tp, fn, strict=True)]
        smallest = min(volume for volume in volumes if volume > 0.5)
        weights = np.array([1 / (volume if volume > 0.5 else smallest) ** 2 for volume in volumes])
        terms.append(1 - 2 * (weights * tp).sum() / (weights * (2 * tp + fp + fn)).sum())
    return float(np.mean(terms))


FORMULAS: dict[str, Callable[[Array, Array], float]] = {
    "dice": lambda logits, target: float(dice_terms(logits, target).mean()),
    "dice_ce": dice_ce,
    "dice_focal": dice_focal,
    "dice_released": dice_released,
    "generalized_dice": generalized_dice,
    "tversky": lambda logits, target: float(tversky_terms(logits, target).mean()),
    "focal_tversky": lambda logits, target: float((tversky_terms(logits, target) ** 0.75).mean()),
}
every_loss = pytest.mark.parametrize("name", FORMULAS)
in_2d_and_3d = pytest.mark.parametrize("size", [(6, 5), (4, 5, 6)], ids=["2D", "3D"])


@cache
def loss_named(name: str) -> nn.Module:
    values = resolve_config(compose_config([f"loss={name}"]), FACTS)
    return instantiate(values.loss.function, _convert_="all")


def one_hot(label: Tensor) -> Tensor:
    return torch.cat([label == index for index in range(3)], dim=1).float()


def labels_that_break_losses(size: tuple[int, ...]) -> dict[str, Tensor]:
    """Two samples each: classes all there, one absent from both, from one, all but the background, no background."""
    mixed = (torch.arange(2 * np.prod(size)) % 3).view(2, 1, *size).byte()
    empty = torch.zeros_like(mixed)
    return {
        "all there": mixed,
        "one absent": (mixed == 1).byte(),
        "absent from one sample": torch.cat([mixed[:1], empty[:1]]),
        "background only": empty,
        "no background": empty + 2,
    }


def test_every_option_has_its_formula_here(repository: Path) -> None:
    assert set(FORMULAS) == {file.stem for file in (repository / "conf" / "loss").glob("*.yaml")}


@every_loss
@in_2d_and_3d
def test_its_value_is_that_of_the_formula(name: str, size: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    logits = torch.randn(2, 3, *size, dtype=torch.float64)
    for case, label in labels_that_break_losses(size).items():
        expected = FORMULAS[name](logits.numpy(), one_hot(label).double().numpy())
        assert loss_named(name)(logits, label).item() == pytest.approx(expected, rel=1e-6), case


@every_loss
@in_2d_and_3d
@pytest.mark.parametrize("confidence", [0.0, 1.0, 30.0, 1e4])
def test_gradients_are_finite_and_losses_too(name: str, size: tuple[int, ...], confidence: float) -> None:
    torch.manual_seed(0)
    for case, label in labels_that_break_losses(size).items():
        for direction in (one_hot(label), 1 - one_hot(label), torch.randn(2, 3, *size)):
            logits = (confidence * direction).requires_grad_()
            loss = loss_named(name)(logits, label)
            loss.backward()
            assert loss.isfinite(), case
            assert logits.grad is not None
            assert logits.grad.isfinite().all(), case


@every_loss
@in_2d_and_3d
def test_no_prediction_beats_the_perfect_one(name: str, size: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    loss = loss_named(name)
    for label in labels_that_break_losses(size).values():
        perfect = loss(1e3 * (2 * one_hot(label) - 1), label).item()
        assert perfect == pytest.approx(0, abs=1e-4) or name == "dice_released"
        for scale in (0.0, 0.1, 1.0, 10.0):
            assert loss(scale * torch.randn(2, 3, *size), label).item() > perfect


@every_loss
@in_2d_and_3d
def test_levels_of_deep_supervision_have_a_loss_each(name: str, size: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    coarse = tuple(length // 2 for length in size)
    label = labels_that_break_losses(size)["absent from one sample"]
    logits = [torch.randn(2, 3, *level, requires_grad=True) for level in (size, coarse)]
    loss = loss_named(name)

    total = DeepSupervisionLoss(loss, weight_mode="exp")(logits, label)
    total.backward()

    nearest = [[int((i + 0.5) * n / m) for i in range(m)] for n, m in zip(size, coarse, strict=True)]
    coarse_label = label[:, :, *torch.meshgrid(*map(torch.tensor, nearest), indexing="ij")]
    expected = loss(logits[0], label) + 0.5 * loss(logits[1], coarse_label)
    assert total.item() == pytest.approx(expected.item(), rel=1e-6)
    assert all(level.grad is not None and level.grad.isfinite().all() for level in logits)


@every_loss
def test_a_few_steps_lower_it(name: str) -> None:
    torch.manual_seed(0)
    label = torch.zeros(2, 1, 8, 8, 8, dtype=torch.uint8)
    label[:, :, 2:5, 2:5, 2:5] = 1
    label[:, :, 5:8, :4] = 2
    image = label + 0.1 * torch.randn(label.shape)
    network = nn.Sequential(nn.Conv3d(1, 8, 3, padding=1), nn.ReLU(), nn.Conv3d(8, 3, 1))
    optimizer, loss = torch.optim.Adam(network.parameters(), lr=0.03), loss_named(name)
    values: list[float] = []
    for _ in range(30):
        optimizer.zero_grad()
        value = loss(network(image), label)
        value.backward()
        optimizer.step()
        values.append(value.item())
    assert values[-1] < 0.7 * values[0]


def test_focal_tversky_with_gamma_one_half_squares_the_tversky_loss() -> None:
    torch.manual_seed(0)
    logits, label = torch.randn(1, 2, 4, 4, 4), torch.zeros(1, 1, 4, 4, 4)
    label[..., 0] = 1
    plain = FocalTverskyLoss(gamma=1.0)(logits, label).item()
    assert FocalTverskyLoss(gamma=0.5)(logits, label).item() == pytest.approx(plain**2, rel=1e-5)


def test_a_gamma_of_zero_is_refused() -> None:
    with pytest.raises(UserError, match=r"gamma=0\.0: it must be above 0"):
        FocalTverskyLoss(gamma=0.0)
