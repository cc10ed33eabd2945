"""Small sound datasets of every kind that is read, of four cases or three."""

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from dicom_scans import write_series
from pancreas_scans import write_pancreas_ct
from pictures import disc, save_picture
from scans import (
    ball_and_box,
    write_folder_pair,
    write_msd_task,
    write_nifti,
    write_nnunet_dataset,
    write_table,
    write_totalsegmentator_cases,
)

from aunet.data.cohort.case import Cohort
from aunet.data.sources.ct82 import ct82_cohort
from aunet.data.sources.ct150 import ct150_cohort
from aunet.data.sources.folder import folder_cohort
from aunet.data.sources.image_folders import images_cohort
from aunet.data.sources.msd import msd_cohort
from aunet.data.sources.nnunet import nnunet_cohort
from aunet.data.sources.totalsegmentator import totalsegmentator_cohort
from tests.data.geometries import GEOMETRIES

SHAPE = (12, 10, 6)
AXIAL = GEOMETRIES["rows from posterior to anterior"]
CLASSES = {"ball": 1, "box": 2}


@dataclass(frozen=True)
class Source:
    """A dataset: how a sound one is written, how it is read (root, cache, on_error), and its cases.

    The first case is the one that is damaged, as sources like to judge all by the first.
    """

    write: Callable[[Path], object]
    cohort: Callable[[Path, Path, str], Cohort]
    case_ids: tuple[str, ...]


def write_pictures(root: Path) -> None:
    for number in range(4):
        image, mask = disc((18, 20), number)
        save_picture(root / "images" / f"cell_{number}.png", image)
        save_picture(root / "labels" / f"cell_{number}.png", mask * np.uint8(255))


def write_dicom_table(root: Path) -> None:
    """``cases.csv`` of folders with a series each and labels in NIfTI."""
    lines = ["case_id,image,label"]
    for number in range(3):
        image, label = ball_and_box(SHAPE, number)
        write_series(root / f"patient_{number}", image.astype(np.int16), AXIAL, names="{}.dcm".format)
        write_nifti(root / "labels" / f"patient_{number}.nii.gz", label, AXIAL)
        lines.append(f"patient_{number},patient_{number},labels/patient_{number}.nii.gz")
    (root / "cases.csv").write_text("\n".join(lines) + "\n")


def write_two_channels(root: Path) -> None:
    write_folder_pair(root, shape=SHAPE)
    for file in sorted((root / "images").iterdir()):
        name = file.name.removesuffix(".nii.gz")
        shutil.copy(file, root / "images" / f"{name}_0001.nii.gz")
        file.rename(root / "images" / f"{name}_0000.nii.gz")


def folder(root: Path, cache: Path, on_error: str, images: Any = "images", place: str = "") -> Cohort:
    return folder_cohort(str(root / place), images, "labels", "ct", CLASSES, on_error=on_error)


def four(name: str) -> tuple[str, ...]:
    return tuple(name.format(number) for number in range(4))


SOURCES = {
    "folder": Source(partial(write_folder_pair, shape=SHAPE), folder, four("case_{}")),
    "channels": Source(write_two_channels, partial(folder, images=["images/*_0000", "images/*_0001"]), four("case_{}")),
    "table": Source(write_table, partial(folder, place="cases.csv"), four("Fall {}")),
    "dicom": Source(write_dicom_table, partial(folder, place="cases.csv"), four("patient_{}")[:3]),
    "ct150": Source(
        partial(write_folder_pair, shape=SHAPE),
        lambda root, cache, on_error: ct150_cohort(
            str(root), str(cache), 2, (8, 8, 8), 0, classes=CLASSES, on_error=on_error
        ),
        four("case_{}"),
    ),
    "ct82": Source(
        partial(write_pancreas_ct, numbers=(1, 2, 3)),
        lambda root, cache, on_error: ct82_cohort(str(root), str(cache), on_error=on_error),
        ("PANCREAS_0001", "PANCREAS_0002", "PANCREAS_0003"),
    ),
    "msd": Source(
        partial(write_msd_task, num_cases=4, shape=SHAPE),
        lambda root, cache, on_error: msd_cohort(str(root), on_error=on_error),
        four("ball_00{}"),
    ),
    "nnunet": Source(
        write_nnunet_dataset,
        lambda root, cache, on_error: nnunet_cohort(str(root), on_error=on_error),
        four("ball 00{}"),
    ),
    "totalsegmentator": Source(
        write_totalsegmentator_cases,
        lambda root, cache, on_error: totalsegmentator_cohort(
            str(root),
            classes={"spleen": "spleen", "pancreas": "pancreas"},
            other_labels="background",
            on_error=on_error,
        ),
        four("s000{}"),
    ),
    "pictures": Source(
        write_pictures,
        lambda root, cache, on_error: images_cohort(str(root), "images", "labels", {"disc": 255}, on_error=on_error),
        four("cell_{}"),
    ),
}
