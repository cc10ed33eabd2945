"""Patches depend on (seed, epoch, sample) alone and are balanced over the classes."""

import numpy as np
import pytest
import torch
from scans import write_msd_task
from torch.utils.data import DataLoader

from aunet.data.case_store import CaseStore, StoredCase
from aunet.data.msd import msd_cohort
from aunet.data.patch_sampling import PatchDataset, PatchOrder
from aunet.data.preprocessing import Preprocessing


@pytest.fixture(scope="module")
def cases(tmp_path_factory: pytest.TempPathFactory) -> list[StoredCase]:
    cohort = msd_cohort(str(write_msd_task(tmp_path_factory.mktemp("task"), num_cases=3)))
    preprocessing = Preprocessing(spacing=None, modality="mr", window=(0.0, 1.0))
    return CaseStore(tmp_path_factory.mktemp("store"), cohort, preprocessing).prepare(cohort.cases)


def batches(cases: list[StoredCase], workers: int, position: int = 0) -> list[torch.Tensor]:
    dataset = PatchDataset(cases, num_classes=3, patch_size=(8, 8, 8), read_size=(10, 10, 10), seed=5)
    order = PatchOrder(batch_size=2, batches_per_epoch=4)
    order.position = position
    loader = DataLoader(dataset, batch_sampler=order, num_workers=workers)
    return [batch["image"] for _ in range(2) for batch in loader]


@pytest.mark.filterwarnings("ignore:This DataLoader will create")  # more workers than this machine may have cores
@pytest.mark.parametrize("workers", [1, 3])
def test_the_number_of_workers_changes_nothing(cases: list[StoredCase], workers: int) -> None:
    for alone, shared in zip(batches(cases, 0), batches(cases, workers), strict=True):
        assert torch.equal(alone, shared)


def test_a_resumed_order_goes_on_behind_what_was_consumed(cases: list[StoredCase]) -> None:
    whole, resumed = batches(cases, 0), batches(cases, 0, position=3)
    assert len(resumed) == 5
    for expected, batch in zip(whole[3:], resumed, strict=True):
        assert torch.equal(expected, batch)


def test_epochs_differ(cases: list[StoredCase]) -> None:
    whole = batches(cases, 0)
    assert not torch.equal(whole[0], whole[4])


def test_every_case_takes_its_turn(cases: list[StoredCase]) -> None:
    dataset = PatchDataset(cases, num_classes=3, patch_size=(8, 8, 8), read_size=(8, 8, 8), seed=0)
    assert {dataset[0, sample]["case_id"] for sample in range(3)} == {case.case_id for case in cases}


def test_patches_without_margin_hold_each_class_at_least_a_third_of_the_time(cases: list[StoredCase]) -> None:
    dataset = PatchDataset(cases, num_classes=3, patch_size=(8, 8, 8), read_size=(8, 8, 8), seed=0)
    labels = [dataset[0, sample]["label"] for sample in range(150)]
    for index in range(3):
        assert np.mean([bool((label == index).any()) for label in labels]) > 0.3


def test_what_is_read_reaches_evenly_beyond_the_patch(cases: list[StoredCase]) -> None:
    patch = PatchDataset(cases, 3, patch_size=(8, 8, 8), read_size=(8, 8, 8), seed=0)[0, 1]
    read = PatchDataset(cases, 3, patch_size=(8, 8, 8), read_size=(14, 12, 10), seed=0)[0, 1]
    assert torch.equal(read["image"][:, 3:11, 2:10, 1:9], patch["image"])


def test_a_volume_smaller_than_the_patch_lies_in_its_middle(cases: list[StoredCase]) -> None:
    size = (32, 32, 32)
    sample = PatchDataset(cases, num_classes=3, patch_size=size, read_size=size, seed=0)[0, 0]
    case = next(case for case in cases if case.case_id == sample["case_id"])
    start = [(32 - length) // 2 for length in case.label().shape]
    inside = tuple(slice(at, at + length) for at, length in zip(start, case.label().shape, strict=True))
    assert np.array_equal(sample["label"][0][inside].numpy(), case.label())
    sample["image"][0][inside] = 0
    assert not sample["image"].any()
