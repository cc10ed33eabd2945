"""Workers share memory with the training: what does not fit is refused or reduced before it starts."""

import os
from dataclasses import replace
from types import SimpleNamespace
from typing import cast

import pytest
import torch

from aunet.build import workers
from aunet.build.workers import batch_bytes, check_memory, choose_num_workers
from aunet.config.schema import DatasetFacts, RunConfig
from aunet.data.patches.augmentation import Augmentation
from aunet.errors import UserError

MEBIBYTE = 2**20


@pytest.fixture
def container(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pretend that this machine has a GPU, 16 cores, and 64 MiB of shared memory in blocks of 4 KiB."""
    monkeypatch.setattr(os, "statvfs", lambda path: SimpleNamespace(f_bavail=64 * 256, f_frsize=4096))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 16)


@pytest.mark.usefixtures("container")
def test_a_number_of_workers_without_room_is_refused_with_two_remedies() -> None:
    assert choose_num_workers(4, 8 * MEBIBYTE, 1) == 4
    with pytest.raises(UserError, match=r"data\.num_workers=4: /dev/shm has 67\.1 MB free .*--shm-size.*num_workers=0"):
        choose_num_workers(4, 8 * MEBIBYTE + 1, 1)
    with pytest.raises(UserError, match="shm-size"):
        choose_num_workers(4, 8 * MEBIBYTE, 2)


@pytest.mark.usefixtures("container")
@pytest.mark.parametrize(("num_bytes", "expected"), [(MEBIBYTE, 8), (10 * MEBIBYTE, 3), (40 * MEBIBYTE, 0)])
def test_auto_takes_as_many_as_have_room(num_bytes: int, expected: int, caplog: pytest.LogCaptureFixture) -> None:
    assert choose_num_workers("auto", num_bytes, 1) == expected
    assert caplog.text.count("auto becomes") == (expected < 8)


@pytest.mark.usefixtures("container")
def test_no_workers_need_no_shared_memory() -> None:
    assert choose_num_workers(0, 2**40, 1) == 0


def test_a_system_that_reports_nothing_limits_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "free_shared_memory", lambda: None)
    assert choose_num_workers(4, 2**40, 1) == 4


def test_a_batch_of_plain_patches_is_counted_voxel_by_voxel() -> None:
    facts = SimpleNamespace(batch_size=6, in_channels=2)
    config = cast(RunConfig, SimpleNamespace(dataset=facts, seed=0))
    assert batch_bytes(config, Augmentation((16, 8, 4)), num_ranks=2) == 3 * 16 * 8 * 4 * (2 * 4 + 1)


def test_a_batch_that_no_memory_holds_is_refused_with_its_sizes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "memory_bytes", lambda: 2**30)
    names = ["background", "ball", "box"]
    facts = DatasetFacts(1, 3, names, "ct", None, None, None, 3, [1.0, 1.0, 1.0], [64, 64, 64], 2)
    check_memory(facts, 1)
    with pytest.raises(UserError, match=r"data\.batch_size=200 with data\.patch_size=\[64, 64, 64\].*has 1\.1 GB"):
        check_memory(replace(facts, batch_size=200), 1)
