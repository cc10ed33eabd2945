"""Write for each case of a dataset the label map of another one, for a network that learns labels without meaning.

python experiments/permuted_labels.py OUTPUT data=msd data.root=/scans/Task04_Hippocampus

The label maps are turned and moved at random, so that they lie nowhere in particular, and resampled to the case's grid.
OUTPUT receives them and a table of cases, which names the images in place and keeps patients and splits. The words that
train on it are printed; add those of the run whose maps it is compared with: aunet probe RUN --against PERMUTED_RUN.
"""

import argparse
import csv
import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import affine_transform
from scipy.spatial.transform import Rotation

from aunet.classes import IGNORED
from aunet.data.cohort.case import Case, Cohort
from aunet.data.cohort.references import read_reference
from aunet.data.io.volume import Volume, read_grid, write_label
from aunet.pipeline.configuration import build_cohort_of_words

# Of a class's volume that should lie inside the image; a large organ may fit in no better than by the best draw.
_ENOUGH = 0.5
_MOST_DRAWS = 100


def place_at_random(
    label: Volume, shape: tuple[int, ...], affine: NDArray[np.float64], random: np.random.Generator
) -> NDArray[np.uint8]:
    """Return the classes of ``label`` on another grid, turned about their centre, which is moved into the image.

    Of up to 100 draws the first that keeps half of each class inside the image is taken, or the one that keeps most.
    On a grid of one slice the classes turn in its plane.
    """
    classes = np.where(label.array == IGNORED, 0, label.array).astype(np.uint8)
    voxels = np.argwhere(classes > 0)
    if not len(voxels):
        return np.zeros(shape, dtype=np.uint8)
    centre = _apply(label.affine, voxels.mean(axis=0))
    scale = abs(np.linalg.det(label.affine) / np.linalg.det(affine))
    expected = np.bincount(classes.ravel())[1:] * scale
    best, most = np.zeros(shape, dtype=np.uint8), -1.0
    for _ in range(_MOST_DRAWS):
        turn = _draw_rotation(random, is_flat=1 in shape)
        moved = _apply(affine, random.uniform(0, np.array(shape) - 1))
        # A voxel of the new grid -> mm -> turned back about the new centre -> voxel of the old one.
        back = np.linalg.inv(label.affine[:3, :3]) @ turn.T
        offset = back @ (affine[:3, 3] - moved) + np.linalg.inv(label.affine[:3, :3]) @ (centre - label.affine[:3, 3])
        placed = affine_transform(classes, back @ affine[:3, :3], offset, output_shape=shape, order=0, mode="constant")
        found = np.bincount(placed.ravel(), minlength=len(expected) + 1)[1:]
        kept = float((found[expected > 0] / expected[expected > 0]).min())
        if kept > most:
            best, most = placed, kept
        if most >= _ENOUGH:
            break
    return best


def write_permuted(cohort: Cohort, output: Path, seed: int) -> Path:
    """Write a label map for each case, made from that of the next case in a random order, and the table of cases."""
    random = np.random.default_rng(seed)
    order = random.permutation(len(cohort.cases))
    donor_of = dict(zip(order, np.roll(order, 1), strict=True))
    rows: list[dict[str, str]] = []
    for number, case in enumerate(cohort.cases):
        shape, affine = read_grid(case.images[0])
        donor = read_reference(cohort.cases[donor_of[number]], cohort)
        path = output.absolute() / "labels" / f"{case.case_id}.nii.gz"
        path.parent.mkdir(parents=True, exist_ok=True)
        write_label(path, place_at_random(donor, tuple(shape[:3]), np.asarray(affine), random), affine)
        rows.append(_row(case, path))
    table = output / "cases.csv"
    with table.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    return table


def words_of(cohort: Cohort, table: Path) -> str:
    """Return the words of a command that name the dataset in ``table``."""
    classes = ", ".join(f"{name}: {index}" for index, name in cohort.labels.foreground)
    known = [modality for modality in cohort.channel_modalities if modality]
    modality = f" data.modality=[{','.join(known)}]" if len(known) == cohort.num_channels else ""
    return f"data=folder data.root={table.absolute()}{modality} 'data.classes={{{classes}}}'"


def _row(case: Case, label: Path) -> dict[str, str]:
    images = {f"image_{number}": str(path.absolute()) for number, path in enumerate(case.images, start=1)}
    first = images.pop("image_1")
    return {"case_id": case.case_id, "image": first, **images, "label": str(label), "patient": case.own_patient}


def _draw_rotation(random: np.random.Generator, *, is_flat: bool) -> NDArray[np.float64]:
    drawn = Rotation.from_euler("z", random.uniform(0, 360), degrees=True) if is_flat else Rotation.random(rng=random)
    return drawn.as_matrix()


def _apply(affine: NDArray[np.float64], voxel: NDArray[np.float64]) -> NDArray[np.float64]:
    return affine[:3, :3] @ voxel + affine[:3, 3]


def main() -> None:
    """Write the label maps and print the words that train on them."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("output", type=Path)
    parser.add_argument("words", nargs="+", help="data=NAME data.root=FOLDER …")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    cohort = build_cohort_of_words(arguments.words)
    if cohort.is_partial or len(cohort.cases) < 2:
        parser.error("needs two cases or more, and label maps that annotate all classes")
    table = write_permuted(cohort, arguments.output, arguments.seed)
    sys.stdout.write(words_of(cohort, table) + "\n")


if __name__ == "__main__":
    main()
