"""Preprocessed cases on disk: made once, memory-mapped, shared by every worker, keyed by content and settings."""

import hashlib
import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.progress import track

from aunet.atomic_files import folder_created_atomically, write_json
from aunet.data.case import Case, Cohort
from aunet.data.fingerprint import case_digest
from aunet.data.keyed_randomness import Purpose, generator
from aunet.data.label_values import read_reference
from aunet.data.preprocessing import Preprocessing
from aunet.data.volume import check_same_grid, read_channels
from aunet.errors import UserError

_VERSION = 1
_POSITIONS_PER_CLASS = 4096
_THREADS = 4


@dataclass(frozen=True)
class StoredCase:
    """A preprocessed case: image (C, H, W, D) float16, label (H, W, D) uint8, both read only where touched."""

    case_id: str
    folder: Path

    def image(self) -> NDArray[np.float16]:
        """Memory-mapped image (C, H, W, D)."""
        return np.load(self.folder / "image.npy", mmap_mode="r", allow_pickle=False)

    def label(self) -> NDArray[np.uint8]:
        """Memory-mapped label (H, W, D)."""
        return np.load(self.folder / "label.npy", mmap_mode="r", allow_pickle=False)

    def positions(self, index: int) -> NDArray[np.int32]:
        """Up to 4096 voxels (N, 3) of class ``index``, drawn once; empty where the class is absent."""
        return np.load(self.folder / f"voxels_{index}.npy", mmap_mode="r", allow_pickle=False)

    @property
    def spacing(self) -> tuple[float, float, float]:
        """Voxel size in mm."""
        along_i, along_j, along_k = json.loads((self.folder / "case.json").read_text())["spacing"]
        return along_i, along_j, along_k


class CaseStore:
    """The store of one cohort under one preprocessing, below ``folder``."""

    def __init__(self, folder: Path, cohort: Cohort, preprocessing: Preprocessing) -> None:
        self._folder = folder
        self._cohort = cohort
        self._preprocessing = preprocessing

    def prepare(self, cases: Sequence[Case]) -> list[StoredCase]:
        """Preprocess what is not stored yet, showing progress; the first faulty case stops it with its name."""
        with ThreadPoolExecutor(_THREADS) as threads:
            stored = threads.map(self._prepare_case, cases)
            return list(track(stored, description="Preparing cases", total=len(cases), transient=True))

    def _prepare_case(self, case: Case) -> StoredCase:
        folder = self._folder / self._key(case)
        if not (folder / "case.json").is_file():
            with folder_created_atomically(folder) as temporary:
                self._write(case, temporary)
        return StoredCase(case.case_id, folder)

    def _key(self, case: Case) -> str:
        digest = hashlib.sha256(json.dumps(self._settings(), sort_keys=True).encode())
        digest.update(case_digest(case).encode())
        return f"{case.case_id}-{digest.hexdigest()[:16]}"

    def _settings(self) -> dict[str, object]:
        return {
            "version": _VERSION,
            "preprocessing": self._preprocessing.settings(),
            "classes": sorted(self._cohort.class_of_value.items()),
            "is_other_background": self._cohort.is_other_background,
        }

    def _write(self, case: Case, folder: Path) -> None:
        channels = [channel for path in case.images for channel in read_channels(path)]
        if len(channels) != self._cohort.num_channels:
            raise UserError(
                f"{case.images[0]}: case {case.case_id} has {len(channels)} channels,"
                f" its dataset {self._cohort.num_channels}."
            )
        label = read_reference(case, self._cohort)
        check_same_grid(channels[0], label, case.case_id)
        image, stored_label = self._preprocessing.image(channels), self._preprocessing.label(label)
        np.save(folder / "image.npy", image.array.astype(np.float16))
        np.save(folder / "label.npy", stored_label.array.astype(np.uint8))
        for index in range(self._cohort.labels.num_classes):
            np.save(folder / f"voxels_{index}.npy", _some_voxels(stored_label.array, index))
        spacing = [float(length) for length in np.linalg.norm(image.affine[:3, :3], axis=0)]
        write_json(folder / "case.json", {"case_id": case.case_id, "spacing": spacing, "affine": image.affine.tolist()})


def _some_voxels(label: NDArray[np.uint8], index: int) -> NDArray[np.int32]:
    voxels = np.flatnonzero(label == index)
    chosen = generator(Purpose.VOXELS, index).permutation(voxels.size)[:_POSITIONS_PER_CLASS]
    return np.stack(np.unravel_index(voxels[np.sort(chosen)], label.shape), axis=1).astype(np.int32)
