"""From a cohort to the loaders of a run: splits, stored cases, patches."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from pytorch_lightning import LightningDataModule
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from aunet.data.augmentation import Augmentation
from aunet.data.case import Case, Cohort
from aunet.data.case_store import CaseStore
from aunet.data.patch_sampling import PatchDataset, PatchOrder, Sample, joined
from aunet.data.splits import Splits
from aunet.data.stored_case import StoredCase
from aunet.data.usable_cases import without_faulty
from aunet.errors import UserError


class ValidationDataset(Dataset[Sample]):
    """Whole stored cases: image (C, H, W, D) float32, label (H, W, D) uint8, case_id, annotated (K,) bool.

    Nothing for the index None.
    """

    def __init__(self, cases: Sequence[StoredCase], annotated: Mapping[str, Tensor]) -> None:
        self._cases = cases
        self._annotated = annotated

    def __len__(self) -> int:
        return len(self._cases)

    def __getitem__(self, index: int | None) -> Sample:
        if index is None:
            return {}
        case = self._cases[index]
        return {
            "image": torch.from_numpy(case.image()).float(),
            "label": torch.from_numpy(case.label()),
            "case_id": case.case_id,
            "spacing": case.spacing,
            "annotated": self._annotated[case.case_id],
        }


class PartlyAnnotated(Dataset[Sample]):
    """Patches with the classes that their case's reference speaks of: annotated (K,) bool beside what they hold."""

    def __init__(self, patches: PatchDataset, annotated: Mapping[str, Tensor]) -> None:
        self._patches = patches
        self._annotated = annotated

    def __getitem__(self, key: tuple[int, int]) -> Sample:
        """The patch of (epoch, sample)."""
        sample = self._patches[key]
        return {**sample, "annotated": self._annotated[sample["case_id"]]}


class PatchLoader(DataLoader[Sample]):
    """Loader whose place is kept by the data module; these two methods tell Lightning that it resumes mid-epoch."""

    def state_dict(self) -> dict[str, Any]:
        """Nothing of its own to keep."""
        return {}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Nothing of its own to restore."""


class SegmentationData(LightningDataModule):
    """Loaders of one run.

    Args:
        cohort: the labelled cases.
        splits: which of them train, validate and test.
        store: where their preprocessed form is kept.
        augmentation: applied to training batches by the task; it says what to read.
        sampling: where patches lie; see ``PatchDataset``.
        batch_size: patches a step.
        batches_per_epoch: steps an epoch.
        num_workers: processes that read patches; any number gives the same batches.
        seed: of the patches and their augmentation.
        on_error: "stop" at the first case that cannot be prepared, or "skip" it.
        rank: number of this process among those that train together.
        num_ranks: how many they are; each takes its part of every batch and of the validation cases.
    """

    def __init__(
        self,
        cohort: Cohort,
        splits: Splits,
        store: CaseStore,
        augmentation: Augmentation,
        batch_size: int,
        batches_per_epoch: int,
        num_workers: int,
        seed: int,
        rank: int = 0,
        num_ranks: int = 1,
        on_error: str = "stop",
        sampling: str = "balanced",
    ) -> None:
        super().__init__()
        if batch_size % num_ranks:
            raise UserError(
                f"data.batch_size={batch_size}: it is the batch of all {num_ranks} processes together, each taking an"
                f" equal part. Set data.batch_size={-(-batch_size // num_ranks) * num_ranks}, or use fewer devices."
            )
        self.cohort = cohort
        self.splits = splits
        self._store = store
        self.augmentation = augmentation
        self._num_workers = num_workers
        self._seed = seed
        self._sampling = sampling
        self._on_error = on_error
        self._rank, self._num_ranks = rank, num_ranks
        self._order = PatchOrder(batch_size, batches_per_epoch, rank, num_ranks)
        self._stored: dict[str, StoredCase] = {}

    def setup(self, stage: str) -> None:
        """Fill the case store with the training and validation cases; skipped ones leave the splits."""
        if self._stored:
            return
        wanted = self.cases((*self.splits.train, *self.splits.val))
        if self._on_error == "skip":
            wanted = without_faulty(wanted, self._store.prepare)
        self._stored = {case.case_id: case for case in self._store.prepare(wanted)}
        self.splits = self._usable_splits()

    def cases(self, case_ids: Sequence[str]) -> list[Case]:
        """Cases of the cohort by their ids."""
        by_id = {case.case_id: case for case in self.cohort.cases}
        return [by_id[case_id] for case_id in case_ids]

    def absent_classes(self, case_ids: Sequence[str]) -> list[str]:
        """Return the foreground classes that the label of none of these cases has, once they are prepared."""
        counts = [self._stored[case_id].position_counts for case_id in case_ids]
        return [name for index, name in self.cohort.labels.foreground if not any(count[index] for count in counts)]

    def validation_cases(self) -> ValidationDataset:
        """Whole validation cases, read when asked for."""
        return ValidationDataset([self._stored[case_id] for case_id in self.splits.val], self._annotated())

    def validation_shapes(self) -> list[tuple[int, ...]]:
        """Return the voxels of each validation case, once it is prepared."""
        return [self._stored[case_id].shape for case_id in self.splits.val]

    def train_dataloader(self) -> DataLoader[Sample]:
        """Batches of patches: image (B, C, *read), label (B, 1, *read), case_id, key (B, 2).

        Where the reference of some case leaves out a class, also annotated (B, K) bool.
        """
        patches = PatchDataset(
            [self._stored[case_id] for case_id in self.splits.train],
            self.augmentation.geometry,
            self._seed,
            self._sampling,
        )
        return PatchLoader(
            PartlyAnnotated(patches, self._annotated()) if self.cohort.is_partial else patches,
            batch_sampler=self._order,
            collate_fn=joined,
            num_workers=self._num_workers,
            persistent_workers=self._num_workers > 0,
            pin_memory=torch.cuda.is_available(),
        )

    def val_dataloader(self) -> DataLoader[Sample]:
        """One whole case at a time; as many for every rank, some of them nothing, so that none waits for another."""
        dataset = self.validation_cases()
        turns = range(0, len(dataset), self._num_ranks)
        order = [turn + self._rank if turn + self._rank < len(dataset) else None for turn in turns]
        return DataLoader(dataset, batch_size=None, sampler=order, num_workers=0)  # pyright: ignore[reportArgumentType]

    def state_dict(self) -> dict[str, Any]:
        """Return the number of batches that the run has consumed; an epoch that was cut short counts as whole."""
        trainer = self.trainer
        assert trainer is not None
        loop: Any = trainer.fit_loop
        epochs, batches = loop.epoch_progress.current, loop.epoch_loop.batch_progress.current
        is_in_epoch = epochs.processed < epochs.ready
        return {"position": epochs.processed * len(self._order) + (batches.processed if is_in_epoch else 0)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on behind the batches already consumed."""
        self._order.position = int(state_dict["position"])

    def _annotated(self) -> dict[str, Tensor]:
        """case_id -> whether its reference speaks of each class (K,) bool."""
        classes = range(self.cohort.labels.num_classes)
        return {case.case_id: torch.tensor([case.annotates(k) for k in classes]) for case in self.cohort.cases}

    def _usable_splits(self) -> Splits:
        train, val = ([name for name in part if name in self._stored] for part in (self.splits.train, self.splits.val))
        for part, names in (("training", train), ("validation", val)):
            if not names:
                raise UserError(f"No case is left for {part}, as all of its cases were skipped. Mend some of them.")
        return replace(self.splits, train=tuple(train), val=tuple(val))
