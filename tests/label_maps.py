"""Made-up outlines of the upper abdomen: a ball for each organ, where a patient of middle size has it."""

from pathlib import Path

import nibabel
import numpy as np
from nibabel.orientations import axcodes2ornt, io_orientation, ornt_transform
from numpy.typing import NDArray

# Value -> name, middle (RAS+ mm) and radius (mm); the middles are those of nine expert outlines.
BALLS = {
    1: ("spleen", (-99, -2, 55), 30),
    2: ("pancreas", (-16, 54, 21), 16),
    3: ("left_kidney", (-67, -9, 3), 24),
    4: ("gallbladder", (71, 81, 17), 12),
    5: ("oesophagus", (-13, 36, 100), 9),
    6: ("liver", (74, 56, 57), 45),
    7: ("stomach", (-43, 76, 55), 22),
    8: ("duodenum", (11, 53, -3), 11),
}
ORGANS = {name: value for value, (name, _, _) in BALLS.items()}


def write_label_map(
    path: Path,
    orientation: str = "LAI",
    shift: tuple[float, float, float] = (15, -8, 300),
    *,
    is_upside_down: bool = False,
) -> Path:
    """Balls on voxels of 4 x 5 x 6 mm, the patient moved by ``shift`` mm; upside down, its header is wrong."""
    spacing, shape = np.array((4.0, 5.0, 6.0)), (80, 50, 34)
    affine = np.diag((*spacing, 1.0))
    affine[:3, 3] = np.add((-160, -80, -70), shift)
    grid = np.stack(np.meshgrid(*(np.arange(size) for size in shape), indexing="ij"), axis=-1)
    points = grid * spacing + affine[:3, 3] - shift
    label = np.zeros(shape, np.uint8)
    for value, (_, middle, radius) in BALLS.items():
        label[np.linalg.norm(points - middle, axis=-1) < radius] = value
    if is_upside_down:
        label = label[:, :, ::-1]
    image = nibabel.Nifti1Image(label, affine)
    turned = image.as_reoriented(ornt_transform(io_orientation(affine), axcodes2ornt(orientation)))
    path.parent.mkdir(parents=True, exist_ok=True)
    turned.to_filename(path)
    return path


def label_at(path: Path, points: NDArray[np.float64]) -> NDArray[np.uint8]:
    """Values (N,) of a label map at RAS+ ``points`` (N, 3) in mm, of the nearest voxel; 0 outside."""
    image = nibabel.load(path)
    voxel = np.rint(nibabel.affines.apply_affine(np.linalg.inv(image.affine), points)).astype(int)
    is_inside = ((voxel >= 0) & (voxel < image.shape)).all(axis=1)
    values = np.zeros(len(points), np.uint8)
    values[is_inside] = np.asarray(image.dataobj)[tuple(voxel[is_inside].T)]
    return values
