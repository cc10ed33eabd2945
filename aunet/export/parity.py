"""The check of exported files: on one scan, their label map is compared with that of aunet."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import nibabel
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from aunet.data.io.volume import Volume
from aunet.export.exported_model import ExportedModel

# Share of equal voxels from which an exported file counts as the same model.
SMALLEST_SHARE = 0.999
# Of a case that the user did not choose: more slices take minutes and check the same steps.
_MOST_VOXELS = 12_000_000


@dataclass(frozen=True)
class Parity:
    """The agreement of exported files with aunet on a scan.

    Attributes:
        scan: what it is; never its name, which may be a patient's.
        shape: voxels of the scan.
        spacing: their sides (mm).
        equal_voxels: share of the voxels with the label of aunet's prediction in float32.
        different: number of the others.
        foreground: number of voxels that aunet labels.
    """

    scan: str
    shape: tuple[int, ...]
    spacing: tuple[float, ...]
    equal_voxels: float
    different: int
    foreground: int

    @property
    def is_equal(self) -> bool:
        """Return whether enough voxels are equal."""
        return self.equal_voxels >= SMALLEST_SHARE

    def as_facts(self) -> dict[str, object]:
        """Return plain values for JSON."""
        return asdict(self)

    def sentence(self) -> str:
        """Return the result in words."""
        shape, sides = "x".join(map(str, self.shape)), " x ".join(f"{side:.3g}" for side in self.spacing)
        weak = "" if self.foreground else " aunet labels nothing in it, so this says little: name another with --scan."
        return (
            f"{self.equal_voxels:.6f} of the voxels have the label of aunet's own prediction in float32"
            f" ({self.different:,} differ, {self.foreground:,} are labelled) on {self.scan}, {shape} voxels of {sides}"
            f" mm.{weak}"
        )


@dataclass(frozen=True)
class ParityScan:
    """A scan on which exported files are checked: its channels, and what it is."""

    channels: Sequence[Volume]
    description: str

    def write(self, folder: Path) -> list[Path]:
        """Write each channel as NIfTI to ``folder``, named as nnU-Net and the bundle's script name channels."""
        names = ["scan.nii.gz"]
        if len(self.channels) > 1:
            names = [f"scan_{number:04d}.nii.gz" for number in range(len(self.channels))]
        for name, channel in zip(names, self.channels, strict=True):
            nibabel.save(nibabel.Nifti1Image(np.asarray(channel.array, np.float32), channel.affine), folder / name)
        return [folder / name for name in names]

    def compare(self, label: NDArray[np.uint8], expected: NDArray[np.uint8]) -> Parity:
        """Return the agreement of ``label`` with aunet's label map, both in the shape of the scan."""
        first = self.channels[0]
        is_same_shape = label.shape == expected.shape
        different = int(np.count_nonzero(label != expected)) if is_same_shape else expected.size
        share = 1 - different / expected.size
        return Parity(self.description, first.shape, first.spacing, share, different, int(np.count_nonzero(expected)))


def middle_slab(channels: Sequence[Volume]) -> list[Volume]:
    """Return the middle slices along the last axis of a scan, as many as are checked within a minute or so."""
    rows, columns, depth = channels[0].shape
    kept = max(1, min(depth, _MOST_VOXELS // (rows * columns)))
    first = (depth - kept) // 2
    slabs: list[Volume] = []
    for channel in channels:
        affine = channel.affine.copy()
        affine[:3, 3] += affine[:3, 2] * first
        slabs.append(Volume(channel.array[:, :, first : first + kept], affine))
    return slabs


def generate_scan(model: ExportedModel) -> ParityScan:
    """Return a scan of seeded smooth noise in an ellipsoid (HU in CT), finer in plane than the network's grid."""
    spacing = np.asarray(model.predictor.preprocessing.spacing)
    is_thick = np.asarray(model.windows["patch_size"]) > 1
    sides = spacing * np.where(is_thick, (0.7, 0.7, 1.4), 1.0)
    shape = tuple(np.ceil(1.2 * np.asarray(model.windows["patch_size"]) * spacing / sides).astype(int))
    shape = tuple(length if thick else 1 for length, thick in zip(shape, is_thick, strict=True))
    axes = [np.linspace(-1, 1, length) if length > 1 else np.zeros(1) for length in shape]
    is_inside = sum(place**2 for place in np.meshgrid(*axes, indexing="ij")) < 0.8
    channels: list[Volume] = []
    for number, modality in enumerate(model.modalities):
        noise = ndimage.gaussian_filter(np.random.default_rng(number).standard_normal(shape), 2.5)
        tissue = 40 + 90 * noise / (noise.std() or 1.0)
        outside = -1000.0 if modality == "ct" else 0.0
        array = np.where(is_inside, tissue if modality == "ct" else np.abs(tissue), outside).astype(np.float32)
        channels.append(Volume(array, np.diag([-sides[0], -sides[1], sides[2], 1.0])))
    return ParityScan(channels, "a generated volume (smooth noise)")
