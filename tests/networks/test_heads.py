"""From the decoder's features to logits."""

import pytest
import torch
from monai.losses import DiceCELoss
from torch import Tensor
from torch.nn import functional

from aunet.networks import DeepSupervisionHead, Layers, MultiscaleHead, SingleHead, UNet
from tests.networks.training_loss import training_loss

CHANNELS = (4, 8, 12)


@pytest.fixture
def decoded() -> list[Tensor]:
    return [torch.randn(2, width, 16 // 2**level, 8 // 2**level, 8 // 2**level) for level, width in enumerate(CHANNELS)]


def test_the_fused_head_is_the_concatenating_one(decoded: list[Tensor]) -> None:
    """Oracle: the paper's head as it is drawn, resizing before fusing."""
    head = MultiscaleHead(Layers(), CHANNELS, 3)
    scores = [
        functional.interpolate(convolution(features), size=(16, 8, 8), mode="trilinear")
        for features, convolution in zip(decoded, head.level_scores, strict=True)
    ]
    [logits] = head(decoded)
    torch.testing.assert_close(logits, head.fusion(torch.cat(scores, dim=1)), rtol=1e-4, atol=1e-5)


def test_the_single_head_sees_the_finest_level_only(decoded: list[Tensor]) -> None:
    head = SingleHead(Layers(), CHANNELS, 3)
    [logits] = head(decoded)
    torch.testing.assert_close(logits, functional.conv3d(decoded[0], head.scores.weight, head.scores.bias))


def test_deep_supervision_gives_every_level_its_logits_in_training_and_one_in_evaluation(decoded: list[Tensor]) -> None:
    head = DeepSupervisionHead(Layers(), CHANNELS, 3)
    logits = head(decoded)
    assert [tuple(level.shape) for level in logits] == [(2, 3, 16, 8, 8), (2, 3, 8, 4, 4), (2, 3, 4, 2, 2)]
    [finest] = head.eval()(decoded)
    assert torch.equal(finest, logits[0])


def test_the_loss_of_deep_supervision_is_the_weighted_mean_of_its_levels() -> None:
    """Oracle: each level's loss with the label at every second voxel; weights 4/7, 2/7, 1/7."""
    torch.manual_seed(0)
    network = UNet(num_classes=3, channels=(4, 8, 12, 16), head=DeepSupervisionHead)
    image, blocks = torch.randn(2, 1, 16, 16, 8), torch.randint(0, 3, (2, 1, 4, 4, 2), dtype=torch.uint8)
    label = blocks.repeat_interleave(4, 2).repeat_interleave(4, 3).repeat_interleave(4, 4)  # exact at every level
    loss = DiceCELoss(softmax=True, to_onehot_y=True)

    levels = network.supervised_logits(image)
    expected = sum(
        weight * loss(logits, label[..., :: 2**index, :: 2**index, :: 2**index])
        for index, (logits, weight) in enumerate(zip(levels, (4 / 7, 2 / 7, 1 / 7), strict=True))
    )

    assert len(levels) == 3
    torch.testing.assert_close(training_loss(network, image, label), expected)
