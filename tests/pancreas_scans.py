"""A made-up NIH Pancreas-CT as TCIA distributes it: DICOM by patient, labels whose affines do not fit the scans."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from dicom_scans import write_series
from numpy.typing import NDArray
from scans import write_nifti

AFFINE = np.array([[-2.0, 0, 0, 30], [0, -2.0, 0, 40], [0, 0, 2.5, -100], [0, 0, 0, 1]])
SHAPE = (28, 24, 20)


def body_with_pancreas(seed: int) -> tuple[NDArray[np.int16], NDArray[np.uint8]]:
    """HU and label (columns, rows, slices): fat, a bright organ elsewhere, a spine and a small lobe to find."""
    draw = np.random.default_rng(seed)
    grid = np.stack(np.meshgrid(*(np.arange(length) for length in SHAPE), indexing="ij"))

    def ball(centre: Sequence[float], radii: Sequence[float]) -> NDArray[np.bool_]:
        offsets = (grid - np.reshape(centre, (3, 1, 1, 1))) / np.reshape(radii, (3, 1, 1, 1))
        return (offsets**2).sum(0) < 1

    label = ball(np.array([10, 9, 12]) + draw.uniform(-0.5, 0.5, 3), (5, 3, 4))
    image = np.full(SHAPE, -90.0)
    image[ball((20, 10, 10), (6, 7, 12))] = 60  # the liver reaches over where a mirrored label would lie
    image[ball((14, 20, 10), (3, 3, 30))] = 500
    image[label] = 90
    return (image + draw.normal(0, 12, SHAPE)).round().astype(np.int16), label.astype(np.uint8)


def write_pancreas_ct(root: Path, numbers: Sequence[int], flips: Mapping[int, tuple[int, ...]] | None = None) -> Path:
    """``root`` with scans and labels of the patients; the labels of ``flips`` are flipped along these axes."""
    for number in numbers:
        image, label = body_with_pancreas(number)
        patient = f"PANCREAS_{number:04d}"
        series = root / "Pancreas-CT" / patient / "11-24-2015-Pancreas" / "1.000000-Pancreas-1"
        write_series(series, image, AFFINE, PatientID=patient)
        flipped = np.flip(label, (flips or {}).get(number, ()))
        write_nifti(label_file(root, number), flipped, np.diag([2.0, 2.0, 2.5, 1.0]))
    return root


def label_file(root: Path, number: int) -> Path:
    """Where the label of a patient lies."""
    return root / "TCIA_pancreas_labels-02-05-2017" / f"label{number:04d}.nii.gz"
