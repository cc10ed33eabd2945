"""The arguments that a training step passes to the loss, steps that are skipped, and cases that are watched."""

import math
import weakref
from types import SimpleNamespace
from typing import Any, TypeVar

import pytest
import torch
from torch import Tensor, nn

from aunet.classes import Labels
from aunet.inference.window_layout import Window
from aunet.networks import AttentionUNet, DeepSupervisionHead, MultiscaleHead, UNet
from aunet.training.segmentation_task import SegmentationTask

Loss = TypeVar("Loss", bound=nn.Module)


class SpyingLoss(nn.Module):
    """Remembers what it was given, and whether autocast was on."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple[tuple[int, ...], tuple[int, ...], torch.dtype, bool]] = []

    def forward(self, logits: Tensor, label: Tensor) -> Tensor:
        self.seen.append(
            (tuple(logits.shape), tuple(label.shape), logits.dtype, torch.is_autocast_enabled(logits.device.type))
        )
        return logits.square().mean()


def as_it_is(batch: Any, seed: int) -> Any:
    """No augmentation."""
    return batch


class ConstantLoss(nn.Module):
    """0.6, whatever the logits."""

    def forward(self, logits: Tensor, label: Tensor) -> Tensor:
        return 0.6 + 0 * logits.sum()


def task_of(network: nn.Module, loss: nn.Module, monkeypatch: pytest.MonkeyPatch, **options: Any) -> SegmentationTask:
    """Return a task that logs nothing."""
    unused: Any = None
    unchanged: Any = as_it_is
    task = SegmentationTask(
        network=network,
        loss=loss,
        labels=Labels(("background", "ball", "box")),
        optimizer=unused,
        schedule=unused,
        progress=unused,
        inferer=Window((16, 16, 16), 0.5, (4, 4, 4), 1),
        augmentation=unchanged,
        seed=0,
        is_channels_last=False,
        **options,
    )
    monkeypatch.setattr(task, "log", lambda *args, **kwargs: None)
    return task


def step_in_bf16(
    network: nn.Module, monkeypatch: pytest.MonkeyPatch, loss: Loss, **options: Any
) -> tuple[Tensor, Loss]:
    task = task_of(network, loss, monkeypatch, **options)
    batch = {"image": torch.randn(2, 1, 16, 16, 16), "label": torch.zeros(2, 1, 16, 16, 16, dtype=torch.uint8)}
    with torch.autocast("cpu", dtype=torch.bfloat16):
        value = task.training_step(batch, 0)
        task.backward(value)
    return value, loss


def test_the_loss_is_computed_in_float32_whatever_the_network_computes_in(monkeypatch: pytest.MonkeyPatch) -> None:
    network = UNet(num_classes=3, channels=(4, 8, 8))
    value, loss = step_in_bf16(network, monkeypatch, SpyingLoss())
    assert loss.seen == [((2, 3, 16, 16, 16), (2, 1, 16, 16, 16), torch.float32, False)]
    assert value.dtype == torch.float32


def test_every_level_of_deep_supervision_has_a_label_of_its_size(monkeypatch: pytest.MonkeyPatch) -> None:
    network = UNet(num_classes=3, channels=(4, 8, 8), head=DeepSupervisionHead)
    _, loss = step_in_bf16(network, monkeypatch, SpyingLoss())
    assert [seen[:2] for seen in loss.seen] == [
        ((2, 3, 16, 16, 16), (2, 1, 16, 16, 16)),
        ((2, 3, 8, 8, 8), (2, 1, 8, 8, 8)),
    ]
    assert all(seen[2:] == (torch.float32, False) for seen in loss.seen)


@pytest.mark.parametrize(("reduction", "expected"), [("mean", 0.6), ("sum", 1.875 * 0.6)])
@pytest.mark.parametrize("head", [DeepSupervisionHead, MultiscaleHead])
def test_the_mean_over_deeply_supervised_levels_has_the_scale_of_a_single_loss(
    reduction: str, expected: float, head: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Four levels: the weights 1, 1/2, 1/4 and 1/8 sum to 1.875, as runs from before the mean have them."""
    network = UNet(num_classes=3, channels=(4, 4, 4, 4, 4), head=head)
    value, _ = step_in_bf16(network, monkeypatch, ConstantLoss(), level_reduction=reduction)
    assert value.item() == pytest.approx(expected if head is DeepSupervisionHead else 0.6)


@pytest.fixture
def skipping(monkeypatch: pytest.MonkeyPatch) -> SegmentationTask:
    """Return a task of a plain U-Net that skips steps whose loss is not finite."""
    network = UNet(num_classes=3, channels=(4, 8, 8))
    task = task_of(network, SpyingLoss(), monkeypatch, is_nonfinite_skipped=True)
    trainer = SimpleNamespace(global_step=0, optimizers=[SimpleNamespace(param_groups=[{"lr": 0.1}])])
    monkeypatch.setattr(SegmentationTask, "trainer", trainer)
    return task


def batch_with_a_voxel_of(value: float) -> Any:
    image = torch.randn(2, 1, 16, 16, 16)
    image[0, 0, 3, 3, 3] = value
    label = torch.zeros(2, 1, 16, 16, 16, dtype=torch.uint8)
    return {"image": image, "label": label, "case_id": ["first", "second"]}


def test_a_skipped_step_leaves_the_running_statistics_as_they_were(
    skipping: SegmentationTask, caplog: pytest.LogCaptureFixture
) -> None:
    before = [buffer.clone() for buffer in skipping.network.buffers()]
    assert skipping.training_step(batch_with_a_voxel_of(math.inf), 0) is None
    assert "first, second" in caplog.text
    assert all(map(torch.equal, skipping.network.buffers(), before))
    assert skipping.training_step(batch_with_a_voxel_of(0.0), 1) is not None
    assert not any(map(torch.equal, skipping.network.buffers(), before))


def test_an_epoch_whose_steps_were_all_skipped_has_no_loss(
    skipping: SegmentationTask, monkeypatch: pytest.MonkeyPatch
) -> None:
    logged: dict[str, float] = {}
    monkeypatch.setattr(skipping, "log_dict", lambda values, **kwargs: logged.update(values))
    skipping.training_step(batch_with_a_voxel_of(math.nan), 0)
    skipping._log_training()
    assert math.isnan(logged["train/loss"])


def test_a_watched_case_keeps_its_coefficients_and_releases_its_logits(monkeypatch: pytest.MonkeyPatch) -> None:
    """The logits of a large scan take gigabytes; a plain U-Net has no coefficients whose recording would free them."""
    task = task_of(AttentionUNet(num_classes=3, channels=(4, 8, 8)), SpyingLoss(), monkeypatch)
    predict, logits = task.predict_case, list[weakref.ref[Tensor]]()

    def noting(image: Tensor, with_attention: bool = False) -> Any:
        prediction = predict(image, with_attention)
        logits.append(weakref.ref(prediction.logits))
        return prediction

    monkeypatch.setattr(task, "predict_case", noting)
    image, label = torch.randn(1, 16, 16, 16), torch.zeros(16, 16, 16, dtype=torch.uint8)
    case: Any = {"image": image, "label": label, "case_id": "shown", "annotated": torch.ones(3, dtype=torch.bool)}
    task.watch(["shown"])
    task.validation_step(case, 0)
    assert [reference() for reference in logits] == [None]
    assert sorted(task.watched_coefficients("shown", image)) == [2]
    assert len(logits) == 1, "predicted again"
