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
import torch
from dicom_scans import write_enhanced, write_series
from nibabel.nifti1 import Nifti1Pair
from pictures import disc
from PIL import Image
from safetensors.torch import save_file
from scans import write_msd_task, write_nifti, write_nnunet_dataset, write_table

from aunet.build.model import load_run
from aunet.classes import Labels
from aunet.commands.main import main
from aunet.config.draft import load_draft, load_run_config
from aunet.data.cohort.case import Case
from aunet.data.cohort.content_digest import ContentDigests
from aunet.data.cohort.selection import CaseFixes, read_fixes, write_fixes
from aunet.data.cohort.split_file import read_splits
from aunet.data.io.formats import files_of
from aunet.data.io.volume import read_channels, read_grid, read_label
from aunet.data.preprocessing.steps import PreprocessedVolume
from aunet.data.sources.bids import bids_cohort
from aunet.data.sources.case_table import cases_in_table
from aunet.data.sources.msd import msd_cohort
from aunet.data.sources.nnunet import nnunet_cohort
from aunet.data.store.chunked_array import DamagedArrayError
from aunet.data.store.stored_case import open_stored_case, write_stored_case
from aunet.errors import UserError
from aunet.evaluation.compared_run import read_compared_run, read_record
from aunet.evaluation.pair_table import read_pairs
from aunet.inference.class_names import read_class_names
from aunet.metrics.case_scores import read_case_scores
from aunet.runs.epoch_rows import read_columns, read_table
from aunet.runs.run_folder import RunFolder
from aunet.runs.run_state import read_run_state, where_it_runs
from aunet.runs.tensor_files import UnreadableTensorsError, read_tensors
from aunet.training.transfer import read_weights
from tests.data.geometries import GEOMETRIES
from tests.data.io.test_dicom_segmentation import LABEL, write_seg
from tests.fuzz.mutations import Mutation, damage_bytes, damage_gzip, damage_json, damage_text, damage_yaml

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
    _try_each(*(partial(read, path) for read in (read_grid, read_channels, read_label)))


def _try_each(*readers: Callable[[], object]) -> None:
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
    _try_each(
        lambda: read_splits(folder / "splits.json", named, None, 0.5, 0, "skip"),
        lambda: read_splits(folder / "folds.json", lettered, 0, 0.5, 0, "skip"),
    )


def _write_texts(folder: Path) -> None:
    write_fixes(folder / "fixes.json", CaseFixes({"case_1": "damaged"}, {3: "spleen"}))
    (folder / "class_names.json").write_text('{"class_names": ["background", "spleen"]}')
    (folder / "digests.json").write_text('{"version": 1, "files": {"/a": [1, 2, 3, "' + "00" * 32 + '"]}}')


def _read_texts(folder: Path) -> None:
    _try_each(
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


def _write_run(folder: Path) -> None:
    shutil.copytree(OLD_RUN, folder, dirs_exist_ok=True)
    (folder / "timing.csv").write_text("epoch,epoch_seconds\n0,1.5\n1,2.5\n")
    (folder / "run.lock").write_text('{"host": "elsewhere", "process": 1}')


def _read_run(folder: Path) -> None:
    """Read a run as `aunet runs`, `compare` and the report do."""
    read_run_state(folder)
    where_it_runs(folder)
    run = RunFolder(folder)
    _try_each(
        lambda: read_compared_run(folder, read_record(folder), run.read_config()),
        lambda: read_case_scores(run.test.case_scores),
        lambda: (run.labels, run.caveats),
        lambda: (read_columns(run.metrics), read_table(run.metrics), read_columns(run.timing)),
    )


def _read_configuration(folder: Path) -> None:
    try:
        load_run_config(folder)
    except UserError:
        load_draft(folder, built=None)


def damage_json_or_text(content: bytes, draw: Random) -> bytes:
    """Damage JSON as JSON, other texts as text."""
    return (damage_json if content.startswith(b"{") else damage_text)(content, draw)


def _command(*words: str) -> Callable[[Path], None]:
    def run(folder: Path) -> None:
        filled = [word.replace("RUN", str(folder)) for word in words]
        assert main(filled) in (0, 2)

    return run


RUNS = {
    "records of runs": Reader(_write_run, _read_run, ("run.json", "splits.json", "run.lock"), damage_json),
    "tables of runs": Reader(_write_run, _read_run, ("*.csv", "test/*.csv"), damage_text),
    "configurations of runs": Reader(_write_run, _read_configuration, ("config.yaml",), damage_yaml, share=0.3),
    "aunet runs": Reader(
        _write_run, _command("runs", "RUN", "--json"), ("*.json", "*.csv", "*.yaml"), damage_text, 0.3
    ),
    "aunet compare": Reader(
        _write_run,
        _command("compare", "RUN", "RUN", "--output", "RUN/out"),
        ("run.json", "splits.json", "test/*.csv"),
        damage_json_or_text,
        0.05,
    ),
}
"""Folders of runs."""


def _write_weights(folder: Path) -> None:
    state = {"network.a": torch.arange(6.0).reshape(2, 3), "network.b": torch.zeros(2, dtype=torch.float16)}
    torch.save({"state_dict": state, "epoch": 3, "hyper": {"x": [1, 2.5, "y", None]}}, folder / "weights.ckpt")


def _write_safetensors(folder: Path) -> None:
    save_file({"a": torch.arange(6.0).reshape(2, 3), "b": torch.zeros(2)}, folder / "weights.safetensors")


def _write_stored(folder: Path) -> None:
    image = PreprocessedVolume(VOXELS[None].astype(np.float32), np.eye(4))
    write_stored_case(folder, "a", image, PreprocessedVolume(MASK, np.eye(4)), 2)


def _read_stored(folder: Path) -> None:
    case = open_stored_case("a", folder)
    case.verify()
    case.image()
    case.position(0, 0)


TENSORS = {
    "checkpoints": Reader(
        _write_weights,
        lambda folder: read_tensors(folder / "weights.ckpt"),
        ("*",),
        damage_bytes,
        allowed=(UserError, UnreadableTensorsError),
    ),
    "initial weights": Reader(
        _write_weights, lambda folder: read_weights(folder / "weights.ckpt"), ("*",), damage_bytes
    ),
    "safetensors": Reader(
        _write_safetensors, lambda folder: read_weights(folder / "weights.safetensors"), ("*",), damage_bytes
    ),
    "trained runs": Reader(
        _write_run, partial(load_run, device="cpu"), ("checkpoints/*", "*.yaml"), damage_bytes, 0.05
    ),
    "stored cases": Reader(_write_stored, _read_stored, ("*",), damage_bytes, allowed=(UserError, DamagedArrayError)),
}
"""Files of tensors."""

READERS = {**SCANS, **TABLES, **RUNS, **TENSORS}
