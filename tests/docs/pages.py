"""Reading the documentation: the fenced blocks of a page, and the miniature scans that its commands name."""

import re
import shlex
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from dicom_scans import write_series
from nested_regions import write_nested_folder, write_nested_nnunet
from pancreas_scans import write_pancreas_ct
from pictures import disc, save_picture
from scans import (
    AFFINE,
    ball_and_box,
    write_folder_pair,
    write_msd_task,
    write_nifti,
    write_nnunet_dataset,
    write_table,
)

ROOT = Path(__file__).resolve().parents[2]
# Languages of the fenced blocks: commands, code or a named file, a named file, and output, which is not checked.
LANGUAGES = ("sh", "python", "yaml", "text")
# Settings that make any command of the documentation one of seconds. They are appended, so that they win.
SHORT = ["trainer.max_epochs=1", "trainer.batches_per_epoch=2", "trainer.max_time=null", "trainer.precision=float32"]
SMALL = ["data.batch_size=2", "model.network.channels=[4,8,8]", "data.num_workers=0"]


@dataclass(frozen=True)
class Block:
    """A fenced block: its language, its text, and the line of the page on which it begins."""

    language: str
    text: str
    line: int

    @property
    def file(self) -> str | None:
        """Return the name of the file that the block shows, which its first comment states."""
        match = re.match(r"(?:# @.*\n)?# (\S+\.(?:py|yaml))\b", self.text)
        return match[1] if match else None

    @property
    def is_excerpt(self) -> bool:
        """Return whether the block shows lines to insert into a file, which a test of its own does."""
        return self.text.startswith("# In ")

    def commands(self) -> list[list[str]]:
        """Return the words of each line of a block of commands."""
        lines = self.text.replace("\\\n", " ").splitlines()
        return [words for line in lines if (words := shlex.split(line, comments=True))]


def pages() -> list[Path]:
    """Return the README and the pages of docs/."""
    return [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def blocks_of(page: Path) -> list[Block]:
    """Return the fenced blocks of a page, in its order."""
    text = page.read_text(encoding="utf-8")
    found = re.finditer(r"^```(\w*)\n(.*?)^```$", text, flags=re.DOTALL | re.MULTILINE)
    return [Block(match[1], match[2], text.count("\n", 0, match.start()) + 1) for match in found]


def write_files(page: Path, folder: Path) -> list[str]:
    """Write the files that a page shows below ``folder``; return their names."""
    files = {block.file: block.text for block in blocks_of(page) if block.file}
    for name, text in files.items():
        assert not (folder / name).exists(), f"{page.name}: {name} exists already"
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
    return list(files)


def write_scans(words: list[str], folder: Path) -> None:
    """Write those of the scans that ``words`` name below /scans, unless they are there."""
    for name, write in SCANS.items():
        place = folder / name
        if any(f"/scans/{name}" in word for word in words) and not place.exists():
            write(place)


def placed(word: str, folder: Path) -> str:
    """Return a word with /scans below ``folder``."""
    return re.sub(r"(?<![\w.])/scans", f"{folder}/scans", word)


def shortened(words: list[str], cache: Path) -> list[str]:
    """Return the words of aunet train, info, doctor, prepare or search so that they take seconds."""
    given = {word.partition("=")[0]: word.partition("=")[2] for word in words}
    if {"resume", "extend"} & set(given):
        return [re.sub(r"(trainer.max_epochs)=.*", r"\1=2", word) for word in words]
    is_flat = given.get("data") in ("images", "nuclei", "cardiac")
    extra = [*SMALL, f"data.patch_size={'[16,16,1]' if is_flat else '[16,16,16]'}", f"data.cache={cache}"]
    if given.get("data", "ct150") == "ct150" and "data.root" not in given:
        extra += ["data.source.num_phantoms=6", "data.phantom.spacing=[8,8,8]"]
    if "monai" in given.get("model", ""):
        extra += ["model.network.channels=[4,8,8,8,8]"]
    if given.get("trainer") not in ("overfit", "lr_find", "profile"):
        extra += SHORT
    if "experiment" in given:  # its split counts the patients of the paper's datasets
        extra += ["data.split.train=null", "data.split.test=0.2"]
    if given.get("experiment") == "gate_or_not" and "-m" in words:  # tests/end_to_end/test_studies.py runs all arms
        extra += ["model=unet_6m,attention", "seed=0,1"]
    if "hydra/launcher" in given:
        extra += ["hydra.launcher.cluster=local", "trainer.devices=1", "trainer.accelerator=cpu"]
    if "logger" not in given:
        extra += ["logger=csv"]
    return [*words, *extra]


def _series(folder: Path) -> None:
    image = ball_and_box((20, 18, 16), 3)[0].round().astype(np.int16)
    write_series(folder, image, np.diag([1.0, 1.2, 1.5, 1.0]))


def _photos(folder: Path) -> None:
    for number in range(8):
        image, mask = disc((28, 40), number)
        save_picture(folder / "images" / f"disc_{number}.png", image)
        save_picture(folder / "labels" / f"disc_{number}.png", mask * np.uint8(255))


def _truths(folder: Path) -> None:
    for number in range(8):
        image, label = ball_and_box((20, 18, 16), number)
        write_nifti(folder / f"{number:02d}_scan.nii.gz", (image - 100).astype(np.int16), AFFINE)
        write_nifti(folder / f"{number:02d}_truth.nii.gz", label, AFFINE)


SCANS: dict[str, Callable[[Path], object]] = {
    "Task04_Hippocampus": lambda folder: write_msd_task(
        folder, num_cases=10, names_of_classes=("anterior", "posterior")
    ),
    "nnUNet_raw/Dataset004_Hippocampus": lambda folder: write_nnunet_dataset(folder, num_cases=8),
    "nnUNet_raw/Dataset137_Tumours": lambda folder: write_nested_nnunet(folder, num_cases=8),
    "tumours": write_nested_folder,
    "Pancreas-CT": lambda folder: write_pancreas_ct(folder, [1, 2, 24, 26, 27, 28]),
    "own": lambda folder: write_folder_pair(folder, num_cases=8),
    "ct150": lambda folder: write_folder_pair(folder, num_cases=8),
    "table": lambda folder: write_table(folder, num_cases=12),
    "series": _series,
    "photos": _photos,
    "truths": _truths,
}
