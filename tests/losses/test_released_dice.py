"""The released soft Dice, against its formula written out in numpy."""

import numpy as np
import pytest
import torch

from aunet.losses import ReleasedDiceLoss


def test_it_is_the_released_formula() -> None:
    draw = np.random.default_rng(0)
    logits, label = draw.normal(size=(2, 3, 4, 5, 6)), draw.integers(0, 3, size=(2, 1, 4, 5, 6))
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    scores = [
        2 * ((p[k] * (t[0] == k)).sum() + 0.01) / (p[k].sum() + (t[0] == k).sum() + 0.01)
        for p, t in zip(probabilities, label, strict=True)
        for k in range(3)
    ]

    loss = ReleasedDiceLoss()(torch.from_numpy(logits), torch.from_numpy(label))

    assert loss.item() == pytest.approx(1 - np.mean(scores), abs=1e-9)


def test_a_perfect_prediction_of_an_absent_class_scores_below_zero() -> None:
    logits = torch.tensor([1e4, -1e4]).view(1, 2, 1, 1, 1).expand(1, 2, 2, 2, 2)
    assert ReleasedDiceLoss()(logits, torch.zeros(1, 1, 2, 2, 2, dtype=torch.uint8)).item() < 0
