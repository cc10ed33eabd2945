"""The readers of files that are tried, each with sound files that are then damaged."""

import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from random import Random

import numpy as np
import SimpleITK
from dicom_scans import write_enhanced, write_series
from nibabel.nifti1 import Nifti1Pair
from pictures import disc
from PIL import Image
from scans import write_msd_task, write_nifti, write_nnunet_dataset, write_table

from aunet.classes import Labels
from aunet.data.cohort.case import Case
from aunet.data.cohort.content_digest import ContentDigests
from aunet.data.cohort.selection import CaseFixes, read_fixes, write_fixes
from aunet.data.cohort.split_file import read_splits
from aunet.data.io.formats import files_of
from aunet.data.io.volume import read_channels, read_grid, read_label
from aunet.data.sources.bids import bids_cohort
from aunet.data.sources.case_table import cases_in_table
from aunet.data.sources.msd import msd_cohort
from aunet.data.sources.nnunet import nnunet_cohort
from aunet.errors import UserError
from aunet.evaluation.pair_table import read_pairs
from aunet.inference.class_names import read_class_names
from tests.data.geometries import GEOMETRIES
from tests.data.io.test_dicom_segmentation import LABEL, write_seg
from tests.fuzz.mutations import Mutation, damage_bytes, damage_gzip, damage_json, damage_text

OLD_RUN = Path(__file__).resolve().parents[1] / "fixtures" / "old_run" / "attention_half"
AFFINE = GEOMETRIES["rows from posterior to anterior"]
VOXELS = np.random.default_rng(0).integers(-50, 90, (7, 6, 5)).astype(np.int16)
MASK = (VOXELS > 40).astype(np.uint8)


@dataclass(frozen=True)
class Reader:
    """A reader that is tried.

    Attributes:
        write: writes sound files to a folder.
        read: reads them; it may raise only what ``allowed`` lists.
        damaged: patterns of the files that are damaged, one at a time.
        damage: how.
        share: of the inputs, relative to the other readers: slow ones get fewer.
    """

    write: Callable[[Path], object]
    read: Callable[[Path], object]
    damaged: Sequence[str]
    damage: Mutation
    share: float = 1.0
    allowed: tuple[type[Exception], ...] = (UserError,)

    def inputs(self, folder: Path, seed: str, count: int) -> Iterator[Callable[[], object]]:
        """Yield functions that read the files, one of them damaged; the sound one is put back after each."""
        self.write(folder)
        with suppress(UserError):  # of a picture in colour as a label map
            self.read(folder)  # so that libraries are loaded
        files = sorted(file for pattern in self.damaged for file in folder.glob(pattern))
        sound = {file: file.read_bytes() for file in files}
        for number in range(count):
            draw = Random(f"{seed} {number}")
            file = draw.choice(files)
            file.write_bytes(self.damage(sound[file], draw))
            yield partial(self.read, folder)
            file.write_bytes(sound[file])


def _read_scan(name: str, folder: Path) -> None:
    path = folder / name
    files_of(path)
    try_each(*(partial(read, path) for read in (read_grid, read_channels, read_label)))


def try_each(*readers: Callable[[], object]) -> None:
    """Call each of ``readers``; if any of them refused, raise the last UserError at the end."""
    refusal = None
    for read in readers:
        try:
            read()
        except UserError as error:
            refusal = error
    if refusal is not None:
        raise refusal


def _scan(name: str, write: Callable[[Path], object], damage: Mutation = damage_bytes, pattern: str = "*") -> Reader:
    return Reader(lambda folder: write(folder / name), partial(_read_scan, name), (pattern,), damage)


def _nifti(path: Path) -> None:
    write_nifti(path, VOXELS)


def _itk(path: Path, *, is_compressed: bool = False) -> None:
    SimpleITK.WriteImage(SimpleITK.GetImageFromArray(VOXELS), str(path), is_compressed)


def _picture(path: Path, mode: str = "L", **options: str) -> None:
    Image.fromarray(disc((12, 14), 0)[0]).convert(mode).save(path, **options)


def _series(path: Path) -> None:
    write_series(path, VOXELS, AFFINE)


SCANS = {
    "nifti": _scan("scan.nii", _nifti),
    "compressed nifti": _scan("scan.nii.gz", _nifti, damage_gzip),
    "nifti pair": _scan("scan.hdr", lambda path: Nifti1Pair(VOXELS, np.eye(4)).to_filename(path)),
    "nrrd": _scan("scan.nrrd", _itk, damage_text),
    "compressed nrrd": _scan("scan.nrrd", partial(_itk, is_compressed=True)),
    "detached nrrd": _scan("scan.nhdr", _itk, damage_text, "*.nhdr"),
    "metaimage": _scan("scan.mha", _itk, damage_text),
    "compressed metaimage": _scan("scan.mha", partial(_itk, is_compressed=True)),
    "detached metaimage": _scan("scan.mhd", _itk, damage_text, "*.mhd"),
    "dicom series": _scan("series", _series, pattern="series/*"),
    "dicom file": _scan("one.dcm", lambda path: write_enhanced(path, VOXELS, AFFINE)),
    "dicom segmentation": _scan("seg.dcm", lambda path: write_seg(path, LABEL, AFFINE)),
    "png": _scan("cell.png", _picture),
    "colour png": _scan("cell.png", partial(_picture, mode="RGB")),
    "palette png": _scan("cell.png", partial(_picture, mode="P")),
    "tiff": _scan("cell.tif", _picture),
    "compressed tiff": _scan("cell.tif", partial(_picture, compression="tiff_lzw")),
    "jpeg": _scan("cell.jpg", partial(_picture, mode="RGB")),
}
"""Files of scans and label maps, by the name of their format."""


def _write_splits(folder: Path) -> None:
    shutil.copy(OLD_RUN / "splits.json", folder)
    (folder / "folds.json").write_text(json.dumps([{"train": ["a", "b", "c"], "val": ["d"]}] * 2))


def _read_splits(folder: Path) -> None:
    names = [
        name for part in ("train", "val", "test") for name in json.loads((OLD_RUN / "splits.json").read_text())[part]
    ]
    named, lettered = ([Case(name, (), None) for name in cases] for cases in (names, "abcd"))
    try_each(
        lambda: read_splits(folder / "splits.json", named, None, 0.5, 0, "skip"),
        lambda: read_splits(folder / "folds.json", lettered, 0, 0.5, 0, "skip"),
    )


def _write_texts(folder: Path) -> None:
    write_fixes(folder / "fixes.json", CaseFixes({"case_1": "damaged"}, {3: "spleen"}))
    (folder / "class_names.json").write_text('{"class_names": ["background", "spleen"]}')
    (folder / "digests.json").write_text('{"version": 1, "files": {"/a": [1, 2, 3, "' + "00" * 32 + '"]}}')


def _read_texts(folder: Path) -> None:
    try_each(
        lambda: read_fixes(folder / "fixes.json"),
        lambda: read_class_names(folder),
        lambda: ContentDigests(folder / "digests.json"),
    )


def _write_bids(folder: Path) -> None:
    for subject in ("01", "02"):
        write_nifti(folder / f"sub-{subject}" / "anat" / f"sub-{subject}_T1w.nii.gz", VOXELS)
        place = folder / "derivatives" / "manual" / f"sub-{subject}" / "anat"
        write_nifti(place / f"sub-{subject}_dseg.nii.gz", MASK)
    (folder / "derivatives" / "manual" / "dseg.tsv").write_text("index\tname\n1\tspleen\n2\tliver\n")
    (folder / "dataset_description.json").write_text('{"Name": "x", "BIDSVersion": "1.8.0"}')


def _pairs(folder: Path) -> None:
    for name in ("a", "b"):
        write_nifti(folder / f"{name}.nii.gz", MASK)
    (folder / "pairs.csv").write_text("case_id,prediction,reference,patient\n1,a.nii.gz,b.nii.gz,p\n")


TABLES = {
    "msd": Reader(
        partial(write_msd_task, num_cases=2), lambda folder: msd_cohort(str(folder)), ("dataset.json",), damage_json
    ),
    "nnunet": Reader(
        partial(write_nnunet_dataset, num_cases=2),
        lambda folder: nnunet_cohort(str(folder)),
        ("dataset.json",),
        damage_json,
    ),
    "bids": Reader(_write_bids, lambda folder: bids_cohort(str(folder)), ("**/*.tsv", "**/*.json"), damage_text),
    "case table": Reader(
        partial(write_table, num_cases=2),
        lambda folder: cases_in_table(folder / "cases.csv", "stop", Labels(("background", "ball"))),
        ("cases.csv",),
        damage_text,
    ),
    "pairs": Reader(_pairs, lambda folder: read_pairs(folder / "pairs.csv"), ("pairs.csv",), damage_text),
    "splits": Reader(_write_splits, _read_splits, ("*.json",), damage_json),
    "fixes, names, digests": Reader(_write_texts, _read_texts, ("*.json",), damage_json),
}
"""Descriptions of datasets, and tables that people write."""
