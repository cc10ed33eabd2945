"""Small made-up scans in the layouts that people have: a bright ball and a bright box in noise."""

import json
from pathlib import Path

import nibabel
import numpy as np
from numpy.typing import NDArray

# Flipped and permuted on purpose: stored axes run to the left, to the feet and to the front.
AFFINE = np.array([[-1.0, 0, 0, 10], [0, 0, 1.2, -5], [0, -1.5, 0, 20], [0, 0, 0, 1]])


def ball_and_box(shape: tuple[int, int, int], seed: int) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """An image and its label: 1 a ball, 2 a box, each at a place of its own."""
    draw = np.random.default_rng(seed)
    grid = np.stack(np.meshgrid(*(np.arange(length) for length in shape), indexing="ij"))
    third = np.array(shape) / 3
    middle = third + draw.uniform(-1, 1, 3)
    label = np.zeros(shape, np.uint8)
    label[np.sqrt(((grid - middle[:, None, None, None]) ** 2).sum(0)) < min(shape) / 5] = 1
    corner = (2 * third + draw.uniform(-1, 1, 3)).astype(int)
    label[tuple(slice(at - 2, at + 3) for at in corner)] = 2
    image = label * 100.0 + draw.normal(100, 10, shape)
    return image.astype(np.float32), label


def write_nifti(path: Path, array: NDArray[np.generic], affine: NDArray[np.float64] = AFFINE) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    nibabel.Nifti1Image(array, affine).to_filename(path)
    return path


def write_msd_task(root: Path, num_cases: int = 6, shape: tuple[int, int, int] = (20, 18, 16)) -> Path:
    """A task folder of the Medical Segmentation Decathlon with ``num_cases`` labelled cases and one test image."""
    names = [f"ball_{number:03d}" for number in range(num_cases)]
    for number, name in enumerate(names):
        image, label = ball_and_box(shape, number)
        write_nifti(root / "imagesTr" / f"{name}.nii.gz", image)
        write_nifti(root / "labelsTr" / f"{name}.nii.gz", label)
    write_nifti(root / "imagesTs" / "ball_100.nii.gz", ball_and_box(shape, 100)[0])
    content = {
        "name": "Balls",
        "modality": {"0": "MRI"},
        "labels": {"0": "background", "1": "Ball", "2": "Box"},
        "training": [{"image": f"./imagesTr/{name}.nii.gz", "label": f"./labelsTr/{name}.nii.gz"} for name in names],
        "test": ["./imagesTs/ball_100.nii.gz"],
    }
    (root / "dataset.json").write_text(json.dumps(content))
    return root


def write_folder_pair(root: Path, num_cases: int = 4, shape: tuple[int, int, int] = (20, 18, 16)) -> Path:
    """``root/images`` and ``root/labels`` with CT-like values."""
    for number in range(num_cases):
        image, label = ball_and_box(shape, number)
        write_nifti(root / "images" / f"case_{number}.nii.gz", (image - 100).astype(np.int16))
        write_nifti(root / "labels" / f"case_{number}.nii.gz", label)
    return root
