"""The record of a file format: how a file of it is recognised, read and written."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from aunet.data.io.grid import Affine, Shape, Voxels


@dataclass(frozen=True)
class StoredVoxels:
    """The voxels of a file as stored: channels (H, W, D) on one grid; see ``grid.Volume`` for the other fields."""

    channels: tuple[Voxels, ...]
    affine: Affine
    affine_error: float = 0.0
    is_sparse: bool = False


def only_itself(path: Path) -> list[Path]:
    """Return the files that a scan in a single file consists of."""
    return [path]


@dataclass(frozen=True)
class Format:
    """A file format. A new one is a file with such a record, and a line in ``formats.FORMATS``.

    Args:
        name: as users call it, such as ``NIfTI``.
        suffixes: lower-case endings of file names, for lists of folders.
        recognises: whether the first bytes of a file, unpacked if it is compressed by gzip, are those of the format.
        read_grid: shape and affine of a file from its header alone.
        read_image: voxels in float32 or as stored, with the stored intensity scale applied.
        read_label: the stored numbers of a label map.
        label_suffix: ending of a label map of a scan in this format: its own if it can hold one.
        write_label: write a label map (H, W, D) uint8 with its affine; None if the format cannot hold one.
        write_image: write a volume (H, W, D) float32 with its affine; None if the format cannot hold one.
        files: every file that a scan is read from.
        is_flat: whether it holds pictures, which are previews if they lie beside scans.
    """

    name: str
    suffixes: tuple[str, ...]
    recognises: Callable[[bytes], bool]
    read_grid: Callable[[Path], tuple[Shape, Affine]]
    read_image: Callable[[Path], StoredVoxels]
    read_label: Callable[[Path], StoredVoxels]
    label_suffix: str = ".nii.gz"
    write_label: Callable[[Path, NDArray[np.uint8], Affine], None] | None = None
    write_image: Callable[[Path, NDArray[np.float32], Affine], None] | None = None
    files: Callable[[Path], list[Path]] = only_itself
    is_flat: bool = False

    def fits(self, path: Path) -> bool:
        """Return whether the name of a file ends as names of this format do, in whatever case."""
        return path.name.lower().endswith(self.suffixes)
