"""Patches depend on (seed, epoch, sample) alone and are balanced over the classes."""

import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from scans import write_msd_task, write_nifti
from torch.utils.data import DataLoader

from aunet.data.cohort.content_digest import ContentDigests
from aunet.data.keyed_randomness import Purpose, generator
from aunet.data.patches.augmentation import Augmentation
from aunet.data.patches.random_geometry import RandomGeometry
from aunet.data.patches.sampling import PatchDataset, PatchOrder, joined
from aunet.data.preprocessing.steps import Preprocessing
from aunet.data.sources.msd import msd_cohort
from aunet.data.store import chunked_array
from aunet.data.store.case_store import CaseStore
from aunet.data.store.stored_case import StoredCase

TURNED = RandomGeometry((8, 8, 8), rotation=30.0, scale=0.2, probability=0.8)


@pytest.fixture(scope="module")
def cases(tmp_path_factory: pytest.TempPathFactory) -> list[StoredCase]:
    cohort = msd_cohort(str(write_msd_task(tmp_path_factory.mktemp("task"), num_cases=3)))
    preprocessing = Preprocessing(spacing=None, modality="mr", window=(0.0, 1.0))
    return CaseStore(tmp_path_factory.mktemp("store"), cohort, preprocessing, ContentDigests()).prepare(cohort.cases)


def batches(cases: list[StoredCase], workers: int, position: int = 0) -> list[torch.Tensor]:
    dataset = PatchDataset(cases, TURNED, seed=5)
    order = PatchOrder(batch_size=2, batches_per_epoch=4)
    order.position = position
    loader = DataLoader(dataset, batch_sampler=order, num_workers=workers, collate_fn=joined)
    return [batch["image"] for _ in range(2) for batch in loader]


@pytest.mark.filterwarnings("ignore:This DataLoader will create")  # more workers than this machine may have cores
@pytest.mark.parametrize("workers", [1, 3])
@pytest.mark.parametrize("position", [0, 3], ids=["fresh", "resumed"])
def test_the_number_of_workers_changes_nothing(cases: list[StoredCase], workers: int, position: int) -> None:
    for alone, shared in zip(batches(cases, 0, position), batches(cases, workers, position), strict=True):
        assert torch.equal(alone, shared)


def test_a_worker_is_sent_no_volume_and_holds_none_after_a_read(cases: list[StoredCase]) -> None:
    dataset = PatchDataset(cases, TURNED, seed=5)
    before = len(pickle.dumps(dataset))
    open_files = len(list(Path("/proc/self/fd").iterdir()))
    for sample in range(12):
        dataset[0, sample]
    assert len(pickle.dumps(dataset)) == before < 10_000
    assert len(list(Path("/proc/self/fd").iterdir())) == open_files


def test_a_patch_reads_only_the_chunks_it_touches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cohort = msd_cohort(str(write_msd_task(tmp_path / "task", num_cases=1, shape=(100, 100, 100))))
    preprocessing = Preprocessing(spacing=None, modality="mr", window=(0.0, 1.0))
    [case] = CaseStore(tmp_path / "store", cohort, preprocessing, ContentDigests()).prepare(cohort.cases)
    unpack, unpacked = chunked_array._unpack, list[int]()
    monkeypatch.setattr(chunked_array, "_unpack", lambda chunk, **how: (unpacked.append(1), unpack(chunk, **how)))
    case.image_patch((40, 40, 60), (40, 20, 8))
    assert len(unpacked) == 2 * 1 * 2


def test_a_resumed_order_continues_after_the_consumed_batches(cases: list[StoredCase]) -> None:
    whole, resumed = batches(cases, 0), batches(cases, 0, position=3)
    assert len(resumed) == 5
    for expected, batch in zip(whole[3:], resumed, strict=True):
        assert torch.equal(expected, batch)


def test_epochs_differ(cases: list[StoredCase]) -> None:
    whole = batches(cases, 0)
    assert not torch.equal(whole[0], whole[4])


def test_every_case_takes_its_turn(cases: list[StoredCase]) -> None:
    dataset = PatchDataset(cases, RandomGeometry((8, 8, 8)), seed=0)
    assert {dataset[0, sample]["case_id"] for sample in range(3)} == {case.case_id for case in cases}


def test_patches_without_margin_hold_each_class_at_least_a_third_of_the_time(cases: list[StoredCase]) -> None:
    dataset = PatchDataset(cases, RandomGeometry((8, 8, 8)), seed=0)
    labels = [dataset[0, sample]["label"] for sample in range(150)]
    for index in range(3):
        assert np.mean([bool((label == index).any()) for label in labels]) > 0.3


def test_the_box_that_is_read_is_the_one_that_the_patch_will_show(cases: list[StoredCase]) -> None:
    dataset = PatchDataset(cases, TURNED, seed=5)
    for sample in range(3):
        read = dataset[0, sample]
        assert list(read["image"].shape[1:]) == TURNED.draw(5, 0, sample).moved(read["move"].numpy()).box[1]
        case = next(case for case in cases if case.case_id == read["case_id"])
        around = np.pad(case.image()[0].astype(np.float32), 10)
        windows = np.lib.stride_tricks.sliding_window_view(around, read["image"].shape[1:])
        assert (windows == read["image"][0].numpy()).all(axis=(3, 4, 5)).any()


def test_the_voxel_that_was_drawn_is_in_every_augmented_patch(tmp_path: Path) -> None:
    """An organ of three voxels beside the background: half of the patches are drawn for it."""
    task = write_msd_task(tmp_path / "task", num_cases=1, shape=(40, 40, 40))
    label = np.zeros((40, 40, 40), np.uint8)
    label[3, 20, 37:] = 1
    write_nifti(task / "labelsTr" / "ball_000.nii.gz", label)
    cohort = msd_cohort(str(task))
    preprocessing = Preprocessing(spacing=None, modality="mr", window=(0.0, 1.0))
    stored = CaseStore(tmp_path / "store", cohort, preprocessing, ContentDigests()).prepare(cohort.cases)
    augmentation = Augmentation((16, 16, 16), 15.0, 0.3, 0.1, 1.0, elastic=0.2, elastic_probability=0.2, flip_axes=[0])
    dataset = PatchDataset(stored, augmentation.geometry, seed=0)
    samples = [(0, number) for number in range(200)]
    drawn_for_organ = [generator(Purpose.PATCH, 0, *key).integers(2) == 1 for key in samples]
    shown = [bool((augmentation(joined([dataset[key]]), 0)["label"] == 1).any()) for key in samples]
    assert sum(drawn_for_organ) > 70
    assert all(seen for seen, wanted in zip(shown, drawn_for_organ, strict=True) if wanted)


def test_boxes_of_several_sizes_lie_at_the_beginning_of_one_batch(cases: list[StoredCase]) -> None:
    dataset = PatchDataset(cases, TURNED, seed=5)
    samples = [dataset[0, sample] for sample in range(4)]
    assert len({sample["image"].shape for sample in samples}) > 1
    batch = joined(samples)
    for sample, image, label in zip(samples, batch["image"], batch["label"], strict=True):
        box = (slice(None), *(slice(length) for length in sample["image"].shape[1:]))
        assert torch.equal(image[box], sample["image"])
        assert torch.equal(label[box], sample["label"])
        assert image.count_nonzero() == sample["image"].count_nonzero()


def test_a_volume_smaller_than_the_patch_lies_in_its_middle(cases: list[StoredCase]) -> None:
    size = (32, 32, 32)
    sample = PatchDataset(cases, RandomGeometry(size), seed=0)[0, 0]
    case = next(case for case in cases if case.case_id == sample["case_id"])
    start = [(32 - length) // 2 for length in case.label().shape]
    inside = tuple(slice(at, at + length) for at, length in zip(start, case.label().shape, strict=True))
    assert np.array_equal(sample["label"][0][inside].numpy(), case.label())
    sample["image"][0][inside] = 0
    assert not sample["image"].any()


def test_uniform_patches_lie_anywhere_in_the_volume_alike(cases: list[StoredCase]) -> None:
    """Their first voxels cover every place from which a patch fits; balanced ones crowd around the small classes."""
    dataset = PatchDataset(cases[:1], RandomGeometry((16, 16, 8)), seed=0, sampling="uniform")
    starts = {sample: dataset[0, sample]["image"] for sample in range(400)}
    whole = torch.from_numpy(cases[0].image()).float()
    free = [length - size + 1 for length, size in zip(cases[0].shape, (16, 16, 8), strict=True)]
    corners = whole[0, : free[0], : free[1], : free[2]].flatten()
    counts = torch.zeros(len(corners))
    for image in starts.values():
        counts[(corners == image[0, 0, 0, 0]).nonzero()[0]] += 1
    expected = 400 / len(corners)
    assert float(((counts - expected) ** 2 / expected).sum()) < len(corners) + 5 * (2 * len(corners)) ** 0.5


def test_a_uniform_patch_longer_than_the_volume_holds_all_of_it(cases: list[StoredCase]) -> None:
    size = tuple(length + 5 for length in cases[0].shape)
    image = PatchDataset(cases[:1], RandomGeometry(size), seed=0, sampling="uniform")[0, 0]["image"]
    assert torch.equal(image[:, 2:-3, 2:-3, 2:-3], torch.from_numpy(cases[0].image()).float())
