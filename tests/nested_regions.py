"""Made-up tumours as in BraTS: a core inside a tumour, and an enhancing part inside the core, as nested balls."""

import json
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scans import write_nifti

from aunet.classes import Labels

REGIONS = {"whole": [1, 2, 3], "core": [2, 3], "enhancing": [3]}
LABELS = Labels(("background", *REGIONS), tuple(tuple(values) for values in REGIONS.values()))
WORD = "data.target_regions={whole:[1,2,3],core:[2,3],enhancing:[3]}"


def nested_label(shape: tuple[int, int, int], center: NDArray[np.floating], radius: float) -> NDArray[np.uint8]:
    """Return a label map of three balls in each other: 3 inside 2 inside 1."""
    places = np.stack(np.meshgrid(*(np.arange(length) for length in shape), indexing="ij"), axis=-1)
    distance = np.linalg.norm(places - center, axis=-1)
    return sum((distance <= radius * share).astype(np.uint8) for share in (1.0, 0.7, 0.4))  # type: ignore[return-value]


def nested_scan(seed: int, shape: tuple[int, int, int] = (32, 32, 32)) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """Return an image whose brightness grows with each region, and its label map; equal for equal seeds."""
    draw = np.random.default_rng(seed)
    radius = min(shape) * draw.uniform(0.27, 0.33)
    label = nested_label(shape, np.array(shape) / 2 + draw.uniform(-2, 2, 3), radius)
    image = np.array([0.0, 60.0, 120.0, 180.0])[label] + draw.normal(0, 8, shape) + 100
    return image.astype(np.float32), label


def write_nested_folder(root: Path, num_cases: int = 8) -> Path:
    """Write images/ and labels/ of nested balls for data=folder."""
    for number in range(num_cases):
        image, label = nested_scan(number)
        write_nifti(root / "images" / f"case_{number}.nii.gz", image)
        write_nifti(root / "labels" / f"case_{number}.nii.gz", label)
    return root


def write_nested_nnunet(root: Path, num_cases: int = 1, **changes: object) -> Path:
    """Write a raw folder of nnU-Net with region-based labels; ``changes`` replace keys of dataset.json."""
    labels = {"background": 0, "whole tumor": [1, 2, 3], "tumor core": [2, 3], "enhancing tumor": 3}
    content = {"channel_names": {"0": "FLAIR"}, "labels": labels, "regions_class_order": [1, 2, 3]}
    content |= {"file_ending": ".nii.gz", "numTraining": num_cases} | changes
    for number in range(num_cases):
        image, label = nested_scan(number, (12, 12, 12))
        write_nifti(root / "imagesTr" / f"brats_{number}_0000.nii.gz", image)
        write_nifti(root / "labelsTr" / f"brats_{number}.nii.gz", label)
    (root / "dataset.json").write_text(json.dumps({key: value for key, value in content.items() if value is not None}))
    return root
