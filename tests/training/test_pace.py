"""The pace of a training, measured on random batches: bounded in time, and without a trace."""

import pickle
import random
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from monai.losses import DiceCELoss
from torch import nn

from aunet.classes import Labels
from aunet.data.patches.augmentation import Augmentation
from aunet.inference.window_layout import Window
from aunet.networks import AttentionUNet
from aunet.networks.heads import DeepSupervisionHead, MultiscaleHead, SingleHead
from aunet.networks.inspection.cost import forward_gflop
from aunet.training import trial_steps
from aunet.training.callbacks.forecast import Forecast, TrialStepError
from aunet.training.hardware import HardwareChoice
from aunet.training.pace import count_windows, measure_pace
from aunet.training.segmentation_task import SegmentationTask
from aunet.training.trial_steps import BatchShape, matrix_rate

SHAPE = BatchShape(patches=2, channels=1, patch_size=(16, 16, 16), num_classes=3)
LABELS = Labels(("background", "ball", "box"))


def adam(parameters: Any) -> torch.optim.Optimizer:
    return torch.optim.AdamW(parameters, lr=0.1)


def task_of(network: nn.Module, patch_size: tuple[int, ...] = SHAPE.patch_size) -> SegmentationTask:
    return SegmentationTask(
        network=network,
        loss=DiceCELoss(softmax=True, to_onehot_y=True),
        labels=LABELS,
        optimizer=adam,
        schedule=lambda share: 1.0,
        progress=lambda step: 0.0,
        inferer=Window(patch_size, 0.5, (4, 4, 4), 1),
        augmentation=Augmentation(patch_size, rotation=10.0, scale=0.1, affine_probability=1.0),
        seed=0,
        is_channels_last=True,
    ).train()


def random_states() -> tuple[bytes, bytes, bytes]:
    """States of the random numbers of torch, numpy and Python."""
    return torch.get_rng_state().numpy().tobytes(), pickle.dumps(np.random.get_state()), pickle.dumps(random.getstate())


class ClockedTask(SegmentationTask):
    """Spends a time on a clock of its own that grows with the voxels of a batch, and twice as much on the first."""

    clock = SimpleNamespace(seconds=0.0)
    seconds_per_voxel = 0.0
    trials: list[int]

    def trial_step(self, batch: dict[str, Any], augmentation: Augmentation) -> None:
        voxels = len(batch["image"]) * int(np.prod(augmentation.geometry.patch_size))
        self.clock.seconds += self.seconds_per_voxel * voxels * (1 if self.trials else 2)
        self.trials.append(voxels)


@pytest.fixture
def clocked_task(monkeypatch: pytest.MonkeyPatch) -> ClockedTask:
    """Return a task whose batches take time, and whose windows and updates take none."""
    task: Any = task_of(nn.Conv3d(1, 3, 1), (64, 64, 64))
    task.__class__ = ClockedTask
    task.clock, task.trials = SimpleNamespace(seconds=0.0), []
    monkeypatch.setattr(trial_steps, "time", SimpleNamespace(perf_counter=lambda: task.clock.seconds))
    return task


def test_nothing_is_left_of_a_measurement() -> None:
    network = AttentionUNet(spatial_dims=3, in_channels=1, num_classes=3, channels=(4, 8, 8), gated_levels=(2,))
    kept_gradient = torch.ones_like(next(network.parameters()))
    next(network.parameters()).grad = kept_gradient
    before = {name: value.clone() for name, value in network.state_dict().items()}
    states = random_states()
    measure_pace(task_of(network), SHAPE)
    after = network.state_dict()
    assert any(name.endswith("running_mean") for name in before)
    assert all(torch.equal(after[name], value) for name, value in before.items())
    assert random_states() == states
    gradients = [parameter.grad for parameter in network.parameters()]
    assert gradients[0] is kept_gradient
    assert gradients[1:] == [None] * (len(gradients) - 1)
    assert network.training


def test_the_flop_of_a_step_are_those_of_its_passes() -> None:
    """A 1x1x1 convolution of 1 to 3 channels: 2 x 3 FLOP a voxel forward, as many backward, as the image needs none."""
    voxels = 2 * 16**3
    pace = measure_pace(task_of(nn.Conv3d(1, 3, 1, bias=False)), SHAPE, accumulate=3)
    assert pace.flop == 3 * 2 * (2 * 3 * voxels)


def gated(head: Any) -> AttentionUNet:
    return AttentionUNet(spatial_dims=3, in_channels=1, num_classes=3, channels=(4, 8, 8), gated_levels=(2,), head=head)


@pytest.mark.parametrize("head", [MultiscaleHead, SingleHead])
def test_the_flop_of_a_patch_are_those_that_are_counted_without_values(head: Any) -> None:
    network = gated(head)
    assert measure_pace(task_of(network), SHAPE).gflop == forward_gflop(network, 1, SHAPE.patch_size)


@pytest.mark.parametrize("network", [nn.Conv3d(1, 3, 1), gated(DeepSupervisionHead)], ids=["foreign", "supervised"])
def test_the_flop_of_a_patch_are_unknown_of_a_network_that_may_compute_less_in_validation(network: nn.Module) -> None:
    assert measure_pace(task_of(network), SHAPE).gflop is None


def test_the_first_batch_warms_up_and_is_not_timed(clocked_task: ClockedTask) -> None:
    """Two batches of 16^3 at 1e-4 s a voxel take 0.8 s; the optimizer steps after three of them."""
    clocked_task.seconds_per_voxel = 1e-4
    pace = measure_pace(clocked_task, SHAPE, accumulate=3)
    assert pace.step_seconds == pytest.approx(3 * 2 * 16**3 * 1e-4)
    assert len(clocked_task.trials) == 2
    assert pace.measured == SHAPE


def test_short_batches_are_timed_until_their_mean_is_steady(clocked_task: ClockedTask) -> None:
    clocked_task.seconds_per_voxel = 1e-7
    measure_pace(clocked_task, SHAPE)
    assert len(clocked_task.trials) == 1 + 5


@pytest.mark.parametrize("seconds_per_voxel", [1e-6, 1e-5, 3e-4])
def test_a_long_batch_is_measured_in_part_within_ten_seconds(
    seconds_per_voxel: float, clocked_task: ClockedTask
) -> None:
    """Of two patches of 64^3; the time of a batch is proportional to its voxels, so the scaled one is exact."""
    clocked_task.seconds_per_voxel = seconds_per_voxel
    shape = BatchShape(2, 1, (64, 64, 64), 3)
    pace = measure_pace(clocked_task, shape)
    assert pace.step_seconds == pytest.approx(2 * 64**3 * seconds_per_voxel)
    assert clocked_task.clock.seconds <= 10
    assert (pace.measured == shape) == (2 * 64**3 * seconds_per_voxel <= 4)


def test_a_network_for_one_size_is_measured_whole(clocked_task: ClockedTask, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(batch: dict[str, Any], augmentation: Augmentation) -> None:
        if augmentation.geometry.patch_size != (64, 64, 64):
            raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    monkeypatch.setattr(clocked_task, "trial_step", refuse)
    assert measure_pace(clocked_task, BatchShape(1, 1, (64, 64, 64), 3)).measured.patch_size == (64, 64, 64)


def test_windows_are_counted_case_by_case() -> None:
    """Windows of 16 that share half: one covers 16, three cover 32, five cover 48 along an axis."""
    window = Window((16, 16, 16), 0.5, (4, 4, 4), 1)
    assert count_windows([(16, 16, 16), (32, 16, 10), (32, 48, 16)], window) == 1 + 3 + 3 * 5


def test_a_volume_of_one_pass_counts_by_its_padded_voxels() -> None:
    window = Window((16, 16, 16), 0.5, (4, 4, 4), 1, one_pass_voxels=32 * 16 * 16)
    assert count_windows([(30, 16, 10), (32, 48, 16)], window) == 2 + 3 * 5


def test_the_matrix_rate_is_the_flop_of_the_fastest_product_per_second(monkeypatch: pytest.MonkeyPatch) -> None:
    """Products of two 1024 x 1024 matrices that take 4, 1, 0.5, 2, 1 and 3 s, the first of which warms up."""
    ticks = iter([0, 4, 4, 5, 5, 5.5, 5.5, 7.5, 7.5, 8.5, 8.5, 11.5])
    monkeypatch.setattr("aunet.training.trial_steps.time", SimpleNamespace(perf_counter=lambda: next(ticks)))
    matrix_rate.cache_clear()
    assert matrix_rate(torch.device("cpu"), torch.float32) == 2 * 1024**3 / 0.5
    assert matrix_rate(torch.device("cpu"), torch.float32) == 2 * 1024**3 / 0.5  # no further product
    matrix_rate.cache_clear()


def test_buffers_are_put_back_even_if_a_module_replaces_them(clocked_task: SegmentationTask) -> None:
    class Counting(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("seen", torch.zeros(1))

        def forward(self, image: torch.Tensor) -> torch.Tensor:
            self.seen = self.seen + 1
            return image

    clocked_task.network = nn.Sequential(Counting(), clocked_task.network)
    measure_pace(clocked_task, BatchShape(1, 1, (16, 16, 16), 3))
    assert clocked_task.state_dict()["network.0.seen"].item() == 0


def test_a_trial_step_that_fails_is_reported_with_its_reason(
    clocked_task: SegmentationTask, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(batch: dict[str, Any], augmentation: Augmentation) -> None:
        raise AssertionError("this network takes 64 voxels\nand nothing else")

    monkeypatch.setattr(clocked_task, "trial_step", refuse)
    choice = HardwareChoice("cpu", "32", is_channels_last=True, is_tf32=True, ability="")
    forecast = Forecast(choice, BatchShape(1, 1, (16, 16, 16), 3), 1, [], None, None)
    with pytest.raises(TrialStepError, match=r"failed \(AssertionError: this network takes 64 voxels\)$"):
        forecast.measure(clocked_task)
