"""A scan in 8 bits with its label maps, small enough for a page: cropped and coarsened, and the record of both."""

from dataclasses import dataclass
from math import ceil, prod
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from aunet.classes import IGNORED
from aunet.files import replaced_atomically
from aunet.inference.coefficient_files import read_arrays, refusing_damage
from aunet.reporting.pictures.planes import LabelledScan, Triple, intensity_range

Bytes = NDArray[np.uint8]
Sizes = tuple[int, int, int]

# 256 x 256 x 60 voxels: about 2 MB of a CT once compressed. A page holds a few cases.
MOST_VOXELS = 4_000_000
MARGIN_MM = 30.0


@dataclass(frozen=True)
class StoredScan:
    """Image and label maps (h, w, d) uint8 in RAS order, a part of a scan of ``whole`` voxels.

    Its first voxel begins ``origin`` voxels into the scan and covers ``factors`` voxels along each axis. ``spacing`` is
    that of the scan itself, in mm. Without a prediction, ``prediction`` is None.
    """

    image: Bytes
    reference: Bytes
    prediction: Bytes | None
    spacing: Triple
    whole: Sizes
    origin: Sizes = (0, 0, 0)
    factors: Sizes = (1, 1, 1)

    @property
    def shown_spacing(self) -> Triple:
        """Return the size in mm of a stored voxel."""
        first, second, third = (side * factor for side, factor in zip(self.spacing, self.factors, strict=True))
        return first, second, third

    def coarsened(self, most_voxels: int) -> "StoredScan":
        """Return the scan with at most ``most_voxels``: blocks of voxels become their mean and their middle label."""
        steps = _steps_for(self.image.shape, self.shown_spacing, most_voxels)
        if steps == (1, 1, 1):
            return self
        prediction = None if self.prediction is None else _middles(self.prediction, steps)
        factors = _triple([old * new for old, new in zip(self.factors, steps, strict=True)])
        image, reference = _means(self.image, steps), _middles(self.reference, steps)
        return StoredScan(image, reference, prediction, self.spacing, self.whole, self.origin, factors)

    def describe(self) -> str:
        """Return what the viewer leaves out of the scan, as a sentence."""
        size = " × ".join(map(str, self.whole))
        mm = " × ".join(f"{side:.3g}" for side in self.spacing)
        parts = f"Scan of {size} voxels of {mm} mm"
        ends = [
            start + step * count
            for start, step, count in zip(self.origin, self.factors, self.image.shape, strict=False)
        ]
        if any(self.origin) or any(end < size for end, size in zip(ends, self.whole, strict=True)):
            parts += f", cropped to the organs and {MARGIN_MM:g} mm around them"
        if self.factors != (1, 1, 1):
            parts += f", {' × '.join(map(str, self.factors))} voxels merged into one"
        return parts + ("." if parts.count(",") else ", shown in full.")


def store_scan(
    scan: LabelledScan, prediction: NDArray[np.integer] | None = None, intensities: tuple[float, float] | None = None
) -> StoredScan:
    """Return ``scan`` with its label (and prediction) for the viewer; above ``MOST_VOXELS`` cropped, then coarsened.

    ``intensities`` are those shown black and white; by default robust ends of the image.
    """
    low, high = intensities or intensity_range(scan.image)
    maps = [np.where(scan.label == IGNORED, 0, scan.label), *([] if prediction is None else [prediction])]
    part = _part_with(np.any([found > 0 for found in maps], axis=0), scan.spacing)
    image = np.clip((scan.image[part].astype(np.float32) - low) * (255 / (high - low)), 0, 255)
    reference, *others = (np.ascontiguousarray(found[part], dtype=np.uint8) for found in maps)
    stored = StoredScan(
        np.rint(image).astype(np.uint8),
        reference,
        others[0] if others else None,
        scan.spacing,
        _triple(scan.image.shape),
        _triple([side.start for side in part]),
    )
    return stored.coarsened(MOST_VOXELS)


def write_scan(path: Path, scan: StoredScan) -> None:
    """Write ``scan`` as ``.npz``."""
    maps = {} if scan.prediction is None else {"prediction": scan.prediction}
    with replaced_atomically(path) as temporary, temporary.open("wb") as file:
        np.savez_compressed(
            file,
            allow_pickle=False,
            image=scan.image,
            reference=scan.reference,
            spacing=np.array(scan.spacing),
            place=np.array([scan.whole, scan.origin, scan.factors]),
            **maps,
        )


def read_scan(path: Path) -> StoredScan:
    """Read what ``write_scan`` wrote; raise UserError if the file is damaged."""
    with refusing_damage(path):
        arrays = read_arrays(path)
        whole, origin, factors = (_triple(row) for row in arrays["place"].tolist())
        first, second, third = map(float, arrays["spacing"])
        image, reference, *others = (
            arrays[name].astype(np.uint8, copy=False) for name in ("image", "reference", "prediction") if name in arrays
        )
        if image.ndim != 3 or any(labels.shape != image.shape for labels in (reference, *others)):
            raise ValueError("its image and label maps are not volumes of one shape")
    spacing = first, second, third
    return StoredScan(image, reference, others[0] if others else None, spacing, whole, origin, factors)


def _part_with(mask: NDArray[np.bool_], spacing: Triple) -> tuple[slice, slice, slice]:
    """Return the whole of a scan that fits, else the box of ``mask`` and a margin; all of it if the mask is empty."""
    sides = [(0, size) for size in mask.shape]
    if mask.size > MOST_VOXELS and mask.any():
        for axis, side in enumerate(spacing):
            found = np.flatnonzero(mask.any(axis=tuple(other for other in range(3) if other != axis)))
            margin = ceil(MARGIN_MM / side)
            sides[axis] = max(found[0] - margin, 0), min(found[-1] + 1 + margin, mask.shape[axis])
    first, second, third = (slice(int(start), int(end)) for start, end in sides)
    return first, second, third


def _steps_for(shape: tuple[int, ...], spacing: Triple, most_voxels: int) -> Sizes:
    """Return the number of voxels to merge along each axis; the axis of the finest spacing is merged first."""
    steps = [1, 1, 1]
    while prod(ceil(size / step) for size, step in zip(shape, steps, strict=True)) > most_voxels:
        finest = min(
            (axis for axis in range(3) if steps[axis] < shape[axis]), key=lambda axis: steps[axis] * spacing[axis]
        )
        steps[finest] += 1
    return _triple(steps)


def _means(image: Bytes, steps: Sizes) -> Bytes:
    padding = [(0, -size % step) for size, step in zip(image.shape, steps, strict=True)]
    padded = np.pad(image, padding, mode="edge")
    split = [part for size, step in zip(padded.shape, steps, strict=True) for part in (size // step, step)]
    return np.rint(padded.reshape(split).mean(axis=(1, 3, 5), dtype=np.float32)).astype(np.uint8)


def _middles(labels: Bytes, steps: Sizes) -> Bytes:
    padding = [(0, -size % step) for size, step in zip(labels.shape, steps, strict=True)]
    return np.ascontiguousarray(np.pad(labels, padding, mode="edge")[tuple(slice(s // 2, None, s) for s in steps)])


def _triple(values: "list[int] | tuple[int, ...]") -> Sizes:
    first, second, third = values
    return int(first), int(second), int(third)
