"""A training that exceeds the memory is refused or warned of before its start, with settings that fit."""

import logging
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from aunet.build import memory
from aunet.errors import UserError
from aunet.training import memory_check
from aunet.training.hardware import HardwareChoice
from aunet.training.memory_check import MemoryNeed, free_bytes
from aunet.training.step_memory import StepMemory
from aunet.training.trial_steps import BatchShape

GB = 1e9
# A hundred MB whatever the batch, and 2000 bytes per voxel, half of it living tensors: 2 patches of 96x96x96 need
# 3.6 GB, of which 1.8 GB are certain, less a tenth.
NEED = MemoryNeed(
    memory=StepMemory(0.1 * GB, [(0.0, 1000.0)], workspace=2.0, beside=0.0),
    shape=BatchShape(2, 1, (96, 96, 96), 4),
    num_ranks=1,
    num_sharing=1,
    size_multiple=(16, 16, 16),
    available=8 * GB,
    swap=0.0,
    has_recomputation=True,
)


def test_a_training_that_fits_is_not_mentioned(caplog: pytest.LogCaptureFixture) -> None:
    NEED.check()
    assert caplog.records == []
    assert NEED.line() == "Memory of a training step: about 3.6 GB, 8.0 GB are available."


def test_an_estimate_that_may_be_too_high_raises_no_alarm(caplog: pytest.LogCaptureFixture) -> None:
    """Estimates were up to 35 % too high: of 3.6 GB, 2.7 GB are sure."""
    replace(NEED, available=2.71 * GB).check()
    assert caplog.records == []
    assert replace(NEED, available=2.6 * GB).excess()


def test_a_training_that_cannot_fit_is_refused_with_settings_that_do() -> None:
    """One patch needs 1.87 GB; two of 64x64x64 need 1.15 GB, and of 80x64x64 1.41 GB."""
    with pytest.raises(UserError) as raised:
        replace(NEED, available=1.5 * GB).check()
    assert str(raised.value) == (
        "data.patch_size=[96, 96, 96] with data.batch_size=2: a training step needs about 3.6 GB of memory, and 1.5 GB"
        " are available. Take data.patch_size=[64, 64, 64] (about 1.1 GB), or"
        " model.network.recomputed_levels=[1,2], which keeps less."
    )


def test_fewer_patches_are_proposed_if_they_fit() -> None:
    """One patch needs 1.87 GB; two of 80x80x64 need 1.74 GB, and of 80x80x80 2.15 GB."""
    words = replace(NEED, available=2.1 * GB).excess()
    assert "Take data.batch_size=1 (about 1.9 GB), or data.patch_size=[80, 80, 64] (about 1.7 GB), or" in words


@pytest.mark.parametrize(("available", "swap"), [(1.8, 0.0), (1.5, 0.3)])
def test_a_training_that_may_fit_or_finds_swap_space_is_warned_of(
    available: float, swap: float, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, logger="aunet"):
        replace(NEED, available=available * GB, swap=swap * GB).check()
    assert "a training step needs about 3.6 GB of memory" in caplog.text


def test_processes_that_share_a_memory_need_it_together_and_keep_equal_parts() -> None:
    """Each of two processes has two of four patches: 7.3 GB, or 3.7 GB with one each."""
    shared = replace(NEED, num_ranks=2, num_sharing=2, available=5 * GB)
    assert shared.needed == pytest.approx(2 * NEED.needed)
    assert "data.batch_size=4: a training step needs about 7.3 GB" in shared.excess()
    assert "Take data.batch_size=2 (about 3.7 GB)" in shared.excess()


def test_nothing_is_proposed_that_does_not_fit() -> None:
    """Two patches of 32x32x32, the smallest, need 0.23 GB."""
    assert replace(NEED, available=0.2 * GB).excess().endswith("or take a smaller network.")
    assert "data.patch_size=[32, 32, 32]" in replace(NEED, available=0.26 * GB).excess()


def test_flat_patches_stay_flat() -> None:
    flat = replace(NEED, shape=BatchShape(16, 1, (512, 512, 1), 4), size_multiple=(16, 16, 1), available=2 * GB)
    assert "data.patch_size=[224, 224, 1]" in flat.excess()


def test_free_memory_of_a_processor_is_that_of_the_system(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory_check, "available_memory_bytes", lambda: 5)
    monkeypatch.setattr(memory_check, "free_swap_bytes", lambda: 3)
    assert free_bytes(torch.device("cpu")) == (5, 3)


def test_a_batch_that_fits_in_any_case_is_not_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two patches of 16x16x16 voxels, 10 kB each, and 1000 parameters of 40 bytes: 82 MB."""
    measured = list[int]()
    monkeypatch.setattr(memory, "measure_memory_need", lambda *arguments: measured.append(available))
    task = SimpleNamespace(
        to=lambda device: None, device=torch.device("cpu"), network=nn.Linear(999, 1), is_sharded=False
    )
    dataset = SimpleNamespace(batch_size=2, in_channels=1, patch_size=[16, 16, 16], num_classes=4)
    choice = HardwareChoice("cpu", "float32", False, False, "")
    for available in (83_000_000, 81_000_000):
        monkeypatch.setattr(memory_check, "available_memory_bytes", lambda free=available: free)
        memory.check_step_memory(dataset, task, choice)  # pyright: ignore[reportArgumentType]
    assert measured == [81_000_000]
