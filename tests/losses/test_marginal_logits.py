"""Losses of a class that a case does not annotate."""

import pytest
import torch
from monai.losses.dice import DiceCELoss
from torch import Tensor

from aunet.classes import IGNORED
from aunet.losses.marginal_logits import annotated_label, marginal_logits

ANNOTATED = torch.tensor([[True, True, False, False], [True, True, True, True]])


def logits() -> Tensor:
    return torch.randn(2, 4, 3, 4, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def test_the_background_gets_the_probability_of_what_is_not_annotated() -> None:
    probabilities = logits().softmax(dim=1)
    told = marginal_logits(logits(), ANNOTATED).softmax(dim=1)
    torch.testing.assert_close(told[0, 0], probabilities[0, 0] + probabilities[0, 2] + probabilities[0, 3])
    torch.testing.assert_close(told[0, 1], probabilities[0, 1])
    assert (told[0, 2:] == 0).all()


def test_a_wholly_annotated_sample_is_unchanged() -> None:
    torch.testing.assert_close(marginal_logits(logits(), ANNOTATED)[1], logits()[1])


def test_the_background_counts_as_annotated_whatever_is_said() -> None:
    changed = ANNOTATED.clone()
    changed[:, 0] = False
    assert torch.equal(marginal_logits(logits(), changed), marginal_logits(logits(), ANNOTATED))


def test_a_background_voxel_prefers_no_hidden_class() -> None:
    """The gradient of -log p(background or hidden) is the softmax less its share within the group, by hand."""
    given = logits().requires_grad_()
    target = torch.zeros(2, 3, 4, 5, dtype=torch.long)
    torch.nn.functional.cross_entropy(marginal_logits(given, ANNOTATED), target, reduction="sum").backward()
    probabilities = given.detach().softmax(dim=1)[0]
    group = probabilities[[0, 2, 3]]
    assert given.grad is not None
    torch.testing.assert_close(given.grad[0, [0, 2, 3]], group - group / group.sum(dim=0))
    torch.testing.assert_close(given.grad[0, 1], probabilities[1])


def test_raising_a_hidden_class_at_a_background_voxel_costs_nothing() -> None:
    loss, label = DiceCELoss(softmax=True, to_onehot_y=True), torch.zeros(2, 1, 3, 4, 5)
    low, high = torch.zeros(2, 4, 3, 4, 5), torch.zeros(2, 4, 3, 4, 5)
    high[:, 2] = 8.0
    hidden = torch.tensor([[True, True, False, True]] * 2)
    assert loss(marginal_logits(high, hidden), label) < loss(marginal_logits(low, hidden), label)
    assert loss(high, label) > loss(low, label)


@pytest.mark.parametrize("size", [1e3, 1e30])
def test_extreme_logits_give_finite_losses_and_gradients(size: float) -> None:
    given = (logits().float() * size).requires_grad_()
    DiceCELoss(softmax=True, to_onehot_y=True)(marginal_logits(given, ANNOTATED), torch.zeros(2, 1, 3, 4, 5)).backward()
    assert given.grad is not None
    assert torch.isfinite(given.grad).all()


def test_annotations_of_a_case_overrule_what_its_label_map_marks() -> None:
    """By hand: -log of the share of the background and the classes 2 and 3, which the first case does not annotate."""
    given = logits().requires_grad_()
    marked = torch.full((2, 1, 3, 4, 5), 2, dtype=torch.uint8)
    marked[:, :, 0] = IGNORED
    label = annotated_label(marked, ANNOTATED)
    assert label[0].unique().tolist() == [0, IGNORED]
    assert torch.equal(label[1], marked[1])
    label = label[:, 0, 1:].long()
    known = marginal_logits(given, ANNOTATED)[:, :, 1:]
    cost = torch.nn.functional.cross_entropy(known, label, reduction="none")
    shares = given.detach().softmax(dim=1)[:, :, 1:]
    torch.testing.assert_close(cost[0].detach(), -shares[0, [0, 2, 3]].sum(dim=0).log())
    torch.testing.assert_close(cost[1].detach(), -shares[1, 2].log())
