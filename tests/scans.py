"""Small made-up scans in the layouts that people have: a bright ball and a bright box in noise."""

import json
from pathlib import Path

import nibabel
import numpy as np
from numpy.typing import NDArray

# Flipped and permuted on purpose: stored axes run to the left, to the feet and to the front.
AFFINE = np.array([[-1.0, 0, 0, 10], [0, 0, 1.2, -5], [0, -1.5, 0, 20], [0, 0, 0, 1]])


def ball_and_box(shape: tuple[int, int, int], seed: int) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """Return an image and its label: 1 a ball, 2 a box, each at a place of its own."""
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


def write_msd_task(
    root: Path,
    num_cases: int = 6,
    shape: tuple[int, int, int] = (20, 18, 16),
    names_of_classes: tuple[str, str] = ("Ball", "Box"),
) -> Path:
    """Write a task of the Medical Segmentation Decathlon with ``num_cases`` labelled cases and one test image."""
    names = [f"ball_{number:03d}" for number in range(num_cases)]
    for number, name in enumerate(names):
        image, label = ball_and_box(shape, number)
        write_nifti(root / "imagesTr" / f"{name}.nii.gz", image)
        write_nifti(root / "labelsTr" / f"{name}.nii.gz", label)
    write_nifti(root / "imagesTs" / "ball_100.nii.gz", ball_and_box(shape, 100)[0])
    content = {
        "name": "Balls",
        "modality": {"0": "MRI"},
        "labels": {"0": "background", "1": names_of_classes[0], "2": names_of_classes[1]},
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


def write_nnunet_dataset(root: Path, num_cases: int = 4, num_channels: int = 1) -> Path:
    """Write a raw folder of nnU-Net, version 2; channel 1 is the first one inverted."""
    for number in range(num_cases):
        image, label = ball_and_box((20, 18, 16), number)
        for channel in range(num_channels):
            write_nifti(root / "imagesTr" / f"ball {number:03d}_{channel:04d}.nii.gz", image * (-1) ** channel)
        write_nifti(root / "labelsTr" / f"ball {number:03d}.nii.gz", label)
    content = {
        "channel_names": {str(channel): "T1" for channel in range(num_channels)},
        "labels": {"background": 0, "Ball": 1, "Box": 2},
        "numTraining": num_cases,
        "file_ending": ".nii.gz",
    }
    (root / "dataset.json").write_text(json.dumps(content))
    return root


def write_totalsegmentator_cases(root: Path, num_cases: int = 4) -> Path:
    """Write a folder per case with ``ct.nii.gz`` and a mask per organ: the ball is a spleen, the box two kidneys."""
    for number in range(num_cases):
        image, label = ball_and_box((20, 18, 16), number)
        folder = root / f"s{number:04d}"
        is_left = np.arange(20)[:, None, None] < np.nonzero(label == 2)[0].mean()
        masks = {
            "spleen": label == 1,
            "kidney_left": (label == 2) & is_left,
            "kidney_right": (label == 2) & ~is_left,
            "pancreas": np.roll(label == 1, 3, axis=2) & (label == 0),
            "aorta": np.zeros_like(label, bool),
        }
        write_nifti(folder / "ct.nii.gz", image - 100)
        for name, mask in masks.items():
            write_nifti(folder / "segmentations" / f"{name}.nii.gz", mask.astype(np.uint8))
    return root


def write_table(folder: Path, num_cases: int = 4) -> Path:
    """``folder/cases.csv`` of scans in folders with names as people give them; two cases a patient."""
    lines = ["case_id,image,image_2,label,patient,age"]
    for number in range(num_cases):
        image, label = ball_and_box((20, 18, 16), number)
        place = f"Größe {number}"
        for name, array in (("t1", image), ("t2", -image), ("label", label)):
            write_nifti(folder / place / f"{name}.nii.gz", array)
        names = (f"{place}/{name}.nii.gz" for name in ("t1", "t2", "label"))
        lines.append(",".join([f"Fall {number}", *names, f"patient {number // 2}", "50"]))
    (folder / "cases.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder / "cases.csv"
