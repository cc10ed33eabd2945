"""Data module of a run: splits, stored cases and patches of a cohort, and their loaders."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, TypedDict, cast

import torch
from pytorch_lightning import LightningDataModule
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from aunet.data.cohort.case import Case, Cohort
from aunet.data.cohort.faulty_cases import without_faulty
from aunet.data.cohort.splits import Splits
from aunet.data.patches.augmentation import Augmentation
from aunet.data.patches.sampling import PatchDataset, PatchOrder, Sample, joined
from aunet.data.store.case_store import CaseStore
from aunet.data.store.stored_case import StoredCase
from aunet.errors import UserError


class WholeCase(TypedDict):
    """A preprocessed case: image (C, h, w, d), label (h, w, d) uint8, spacing in mm, annotated (K,) bool."""

    image: Tensor
    label: Tensor
    case_id: str
    spacing: tuple[float, float, float]
    annotated: Tensor


class ValidationDataset(Dataset[WholeCase]):
    """Whole stored cases: image (C, H, W, D) float32, label (H, W, D) uint8, case_id, annotated (K,) bool.

    The index None returns an empty sample.
    """

    def __init__(self, cases: Sequence[StoredCase], annotated: Mapping[str, Tensor]) -> None:
        self._cases = cases
        self._annotated = annotated

    def __len__(self) -> int:
        return len(self._cases)

    def __getitem__(self, index: int | None) -> WholeCase:
        if index is None:
            return cast(WholeCase, {})  # the turn of a rank that has fewer cases than another
        case = self._cases[index]
        return {
            "image": torch.from_numpy(case.image()).float(),
            "label": torch.from_numpy(case.label()),
            "case_id": case.case_id,
            "spacing": case.spacing,
            "annotated": self._annotated[case.case_id],
        }


class PartlyAnnotated(Dataset[Sample]):
    """Patches with the classes that their case's reference annotates: annotated (K,) bool added to each sample."""

    def __init__(self, patches: PatchDataset, annotated: Mapping[str, Tensor]) -> None:
        self._patches = patches
        self._annotated = annotated

    def __getitem__(self, key: tuple[int, int]) -> Sample:
        """Return the patch of (epoch, sample)."""
        sample = self._patches[key]
        return {**sample, "annotated": self._annotated[sample["case_id"]]}


class PatchLoader(DataLoader[Sample]):
    """Loader whose position the data module keeps; these two methods signal Lightning that it resumes mid-epoch."""

    def state_dict(self) -> dict[str, int]:
        """Return an empty state, as the data module keeps the position."""
        return {}

    def load_state_dict(self, state_dict: dict[str, int]) -> None:
        """Restore nothing, as the data module keeps the position."""


class SegmentationData(LightningDataModule):
    """Loaders of one run.

    Args:
        cohort: the labelled cases.
        splits: the ids of those that train, validate and test.
        store: holds their preprocessed form.
        augmentation: applied to training batches by the task; it determines what to read.
        sampling: where patches lie; see ``PatchDataset``.
        batch_size: patches per step, over all processes.
        batches_per_epoch: steps per epoch.
        num_workers: processes that read patches; the batches do not depend on it.
        seed: determines the patches and their augmentation.
        on_error: "stop" at the first case that cannot be prepared, or "skip" it.
        rank: number of this process among those that train together.
        num_ranks: number of those processes; each takes its part of every batch and of the validation cases.
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
        """Fill the case store with the training and validation cases; remove skipped ones from the splits."""
        if self._stored:
            return
        wanted = self.cases((*self.splits.train, *self.splits.val))
        if self._on_error == "skip":
            wanted = without_faulty(wanted, self._store.prepare)
        self._stored = {case.case_id: case for case in self._store.prepare(wanted)}
        self.splits = self._usable_splits()

    def cases(self, case_ids: Sequence[str]) -> list[Case]:
        """Return the cases of the cohort with these ids."""
        by_id = {case.case_id: case for case in self.cohort.cases}
        return [by_id[case_id] for case_id in case_ids]

    def absent_classes(self, case_ids: Sequence[str]) -> list[str]:
        """Return the foreground classes that the label of none of these cases has, once they are prepared."""
        # Counts may end before the last classes: a store is shared with runs that do not list those without a value.
        counts = [count for case_id in case_ids for count in enumerate(self._stored[case_id].position_counts)]
        present = {value for value, number in counts if number}
        labels = self.cohort.labels
        return [name for index, name in labels.foreground if present.isdisjoint(labels.values_of(index))]

    def uncropped(self, case_ids: Sequence[str]) -> list[str]:
        """Return which of these cases hold the whole scan, once they are prepared."""
        return [case_id for case_id in case_ids if self._stored[case_id].box is None]

    def validation_cases(self) -> ValidationDataset:
        """Return the whole validation cases, each read when it is indexed."""
        return ValidationDataset([self._stored[case_id] for case_id in self.splits.val], self._annotated())

    def validation_shapes(self) -> list[tuple[int, ...]]:
        """Return the shape (voxels) of each validation case, once it is prepared."""
        return [self._stored[case_id].shape for case_id in self.splits.val]

    def train_dataloader(self) -> DataLoader[Sample]:
        """Return batches of patches: image (B, C, *read), label (B, 1, *read), case_id, key (B, 2), move (B, 3).

        If the reference of some case leaves out a class, they also hold annotated (B, K) bool.
        """
        patches = PatchDataset(
            [self._stored[case_id] for case_id in self.splits.train],
            self.augmentation.geometry,
            self._seed,
            self._sampling,
            self.cohort.labels,
        )
        return PatchLoader(
            PartlyAnnotated(patches, self._annotated()) if self.cohort.is_partial else patches,
            batch_sampler=self._order,
            collate_fn=joined,
            num_workers=self._num_workers,
            persistent_workers=self._num_workers > 0,
            pin_memory=torch.cuda.is_available(),
        )

    def val_dataloader(self) -> DataLoader[WholeCase]:
        """Return one whole case at a time; every rank has as many, some of them empty, so that none waits."""
        dataset = self.validation_cases()
        turns = range(0, len(dataset), self._num_ranks)
        order = [turn + self._rank if turn + self._rank < len(dataset) else None for turn in turns]
        return DataLoader(dataset, batch_size=None, sampler=order, num_workers=0)  # pyright: ignore[reportArgumentType]

    def state_dict(self) -> dict[str, int]:
        """Return the number of batches that the run has consumed; an epoch that was cut short counts as whole."""
        trainer = self.trainer
        assert trainer is not None
        loop: Any = trainer.fit_loop  # typed as if it did not count what was processed
        epochs, batches = loop.epoch_progress.current, loop.epoch_loop.batch_progress.current
        is_in_epoch = epochs.processed < epochs.ready
        return {"position": epochs.processed * len(self._order) + (batches.processed if is_in_epoch else 0)}

    def load_state_dict(self, state_dict: dict[str, int]) -> None:
        """Continue after the batches already consumed."""
        self._order.position = int(state_dict["position"])

    def _annotated(self) -> dict[str, Tensor]:
        """Return case_id -> whether its reference annotates each class (K,) bool."""
        classes = range(self.cohort.labels.num_classes)
        return {case.case_id: torch.tensor([case.annotates(k) for k in classes]) for case in self.cohort.cases}

    def _usable_splits(self) -> Splits:
        train, val = ([name for name in part if name in self._stored] for part in (self.splits.train, self.splits.val))
        for part, names in (("training", train), ("validation", val)):
            if not names:
                raise UserError(f"No case is left for {part}, as all of its cases were skipped. Mend some of them.")
        return replace(self.splits, train=tuple(train), val=tuple(val))
