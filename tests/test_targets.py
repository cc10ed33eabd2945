"""Regions that may overlap: painting as nnU-Net publishes it, losses by hand, and what is masked."""

import numpy as np
import pytest
import torch
from nested_regions import LABELS
from scipy.stats import entropy
from torch import nn
from torch.nn import functional

from aunet.classes import IGNORED, Labels
from aunet.losses.ignored_voxels import hide_ignored, without_ignored
from aunet.losses.marginal_logits import marginal_logits
from aunet.targets import EXCLUSIVE, Regions, target_of

REGIONS = target_of(LABELS)


def painted_as_nnunet_does(probabilities: np.ndarray, order: list[int]) -> np.ndarray:
    """nnU-Net 2.5, LabelManager.convert_probabilities_to_segmentation."""
    segmentation = np.zeros(probabilities.shape[1:], dtype=np.uint16)
    for i, c in enumerate(order):
        segmentation[probabilities[i] > 0.5] = c
    return segmentation


def random_logits(channels: int = 3) -> torch.Tensor:
    return 3 * torch.randn(channels, 9, 8, 7, generator=torch.Generator().manual_seed(0))


def test_regions_are_painted_as_nnunet_paints_them() -> None:
    logits = random_logits()
    probabilities = REGIONS.probabilities(logits)
    expected = painted_as_nnunet_does(probabilities.numpy(), [1, 2, 3])
    assert np.array_equal(REGIONS.label_map(logits).numpy(), expected)
    assert np.array_equal(REGIONS.label_of_maps(probabilities, threshold=0.5).numpy(), expected)
    assert len(np.unique(expected)) == 4


def test_the_logits_of_probabilities_have_these_probabilities() -> None:
    probabilities = REGIONS.probabilities(random_logits())
    assert torch.allclose(REGIONS.probabilities(REGIONS.logits(probabilities)), probabilities, atol=1e-6)
    assert bool(REGIONS.logits(torch.tensor([0.0, 1.0])).isfinite().all())


def test_the_entropy_of_regions_is_the_sum_of_their_binary_entropies() -> None:
    probabilities = REGIONS.probabilities(random_logits())
    of_each = entropy(np.stack([probabilities.numpy(), 1 - probabilities.numpy()]), axis=0)
    assert REGIONS.entropy(probabilities).numpy() == pytest.approx(of_each.sum(axis=0), abs=1e-5)


@pytest.mark.parametrize("labels", [LABELS, Labels(("background", "a", "b"))])
def test_filled_background_has_no_class_and_no_doubt(labels: Labels) -> None:
    target = target_of(labels)
    everywhere = torch.ones(9, 8, 7, dtype=torch.bool)
    logits = target.fill_background(random_logits(), everywhere)
    assert not target.label_map(logits).any()
    filled = target.fill_background(target.probabilities(random_logits()), everywhere, are_logits=False)
    assert torch.equal(target.probabilities(logits), filled)
    assert not target.entropy(filled).any()


def test_nan_paints_nothing() -> None:
    assert not REGIONS.label_map(torch.full((3, 2, 2, 2), torch.nan)).any()


def test_exclusive_classes_are_one_problem_as_they_came() -> None:
    levels, label = [torch.randn(2, 4, 4, 4, 4)], torch.zeros(2, 1, 4, 4, 4)
    [problem] = EXCLUSIVE.problems(levels, label, None)
    assert (problem.levels, problem.label, problem.annotated) == (levels, label, None)


def test_the_problem_of_a_region_is_binary_cross_entropy_against_its_mask() -> None:
    logits = random_logits()[None]
    label = torch.randint(0, 4, (1, 1, 9, 8, 7), generator=torch.Generator().manual_seed(1))
    masks = torch.cat([label >= 1, label >= 2, label == 3], dim=1).float()
    for channel, problem in enumerate(REGIONS.problems([logits], label, None)):
        found = nn.functional.cross_entropy(problem.levels[0], problem.label[:, 0].long())
        expected = functional.binary_cross_entropy_with_logits(logits[:, channel], masks[:, channel])
        assert float(found) == pytest.approx(float(expected), rel=1e-5)


def test_no_region_learns_from_ignored_voxels_or_from_a_reference_that_does_not_annotate_it() -> None:
    logits = random_logits()[None].requires_grad_()
    label = torch.randint(0, 4, (1, 1, 9, 8, 7), generator=torch.Generator().manual_seed(1), dtype=torch.uint8)
    label[..., :3] = IGNORED
    annotated = torch.tensor([[True, True, False, True]])
    total = torch.zeros(())
    for problem in REGIONS.problems([logits], label, annotated):
        assert problem.annotated is not None
        known = hide_ignored(marginal_logits(problem.levels[0], problem.annotated), problem.label)
        total = total + functional.cross_entropy(known, without_ignored(problem.label)[:, 0].long())
    total.backward()
    assert logits.grad is not None
    gradient = logits.grad[0]
    assert not gradient[..., :3].any()
    assert bool(gradient[0, ..., 3:].all())
    assert bool(gradient[2, ..., 3:].all())


def test_an_unannotated_region_has_no_loss_where_its_reference_marks_nothing() -> None:
    logits = random_logits()[None].requires_grad_()
    label = torch.zeros(1, 1, 9, 8, 7, dtype=torch.uint8)
    [_, core, _] = REGIONS.problems([logits], label, torch.tensor([[True, True, False, True]]))
    assert core.annotated is not None
    loss = functional.cross_entropy(marginal_logits(core.levels[0], core.annotated), core.label[:, 0].long())
    loss.backward()
    assert logits.grad is not None
    assert float(logits.grad.abs().max()) < 1e-6
    assert float(loss.detach()) == pytest.approx(0.0, abs=1e-6)


def test_only_labels_with_regions_have_them_as_their_target() -> None:
    assert isinstance(target_of(LABELS), Regions)
    assert target_of(Labels(("background", "a"))) is EXCLUSIVE
