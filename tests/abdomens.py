"""A cohort of tiny made-up abdominal CT: air, a body of soft tissue, four organs where they belong."""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scans import write_nifti

CLASSES = {"spleen": 1, "liver": 2, "left_kidney": 3, "right_kidney": 4}
SPACING = 8.0
SHAPE = (40, 30, 24)
# Middle (RAS+ mm, from the middle of the volume), radius (mm) and HU of each value.
BALLS = {
    1: ((-90, -20, 40), 30, 110),
    2: ((70, 20, 40), 45, 100),
    3: ((-60, -30, -30), 26, 160),
    4: ((60, -30, -40), 26, 160),
}


@dataclass
class Abdomen:
    """One case, to be spoilt before it is written."""

    image: NDArray[np.float32]
    label: NDArray[np.int16]
    affine: NDArray[np.float64]
    label_affine: NDArray[np.float64] = field(init=False)

    def __post_init__(self) -> None:
        self.label_affine = self.affine.copy()


def abdomen(seed: int) -> Abdomen:
    """Everybody has organs of nearly the same size at nearly the same place."""
    draw = np.random.default_rng(seed)
    affine = np.diag([SPACING, SPACING, SPACING, 1.0])
    affine[:3, 3] = -SPACING * (np.array(SHAPE) - 1) / 2
    points = np.stack(np.meshgrid(*(np.arange(size) for size in SHAPE), indexing="ij")) * SPACING
    points += affine[:3, 3, None, None, None]
    body = (points[0] / 150) ** 2 + (points[1] / 110) ** 2 < 1
    image, label = np.where(body, 40.0, -1000.0), np.zeros(SHAPE, np.int16)
    for value, (middle, radius, hounsfield) in BALLS.items():
        center = np.array(middle)[:, None, None, None] + draw.uniform(-4, 4, (3, 1, 1, 1))
        inside = np.square(points - center).sum(0) < (radius * draw.uniform(0.97, 1.03)) ** 2
        image[inside], label[inside] = hounsfield, value
    image += draw.normal(0, 8, SHAPE)
    return Abdomen(image.astype(np.float32).round(), label, affine)


def abdomens(num_cases: int = 8) -> dict[str, Abdomen]:
    """Sound cases by their id."""
    return {f"case_{number}": abdomen(number) for number in range(num_cases)}


def write_abdomens(root: Path, cases: dict[str, Abdomen]) -> Path:
    """``root/images`` and ``root/labels``."""
    for case_id, case in cases.items():
        write_nifti(root / "images" / f"{case_id}.nii.gz", case.image, case.affine)
        write_nifti(root / "labels" / f"{case_id}.nii.gz", case.label, case.label_affine)
    return root


def words_for(root: Path, *words: str) -> list[str]:
    """Return the overrides that name these scans."""
    classes = ", ".join(f"{name}: {value}" for name, value in CLASSES.items())
    return ["data=folder", f"data.root={root}", f"data.classes={{{classes}}}", *words]
