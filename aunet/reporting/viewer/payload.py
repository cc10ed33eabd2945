"""A case of the viewer as text in a page: a description in plain values, and bytes compressed in base64."""

import base64
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from aunet.inference.coefficient_files import in_steps
from aunet.inference.coefficients import LevelCoefficients
from aunet.reporting.pictures.planes import clearest_axial_index
from aunet.reporting.viewer.shown_case import Frame, ShownCase
from aunet.reporting.viewer.stored_scan import Bytes, StoredScan


@dataclass(frozen=True)
class Payload:
    """``description`` names the ``blobs``: zlib streams in base64, by the id of their element in the page."""

    description: Mapping[str, object]
    blobs: dict[str, str]

    @property
    def size(self) -> int:
        """Return the number of characters in the page."""
        return sum(map(len, self.blobs.values()))


def encode_case(case: ShownCase, key: str, most_voxels: int) -> Payload:
    """Return ``case`` for the page, with at most ``most_voxels`` per map and twice as many cells of coefficients.

    ``key`` begins the ids of the case. Coefficients above the limit are thinned: the first, the last and evenly spread
    epochs between them stay.
    """
    scan = case.scan.coarsened(most_voxels)
    volumes = {"image": scan.image, "reference": scan.reference}
    if scan.prediction is not None:
        volumes["prediction"] = scan.prediction
    blobs = {f"{key}-{name}": _pack(array) for name, array in volumes.items()}
    frames = _thinned(case.frames, 2 * most_voxels, scan)
    maps = list[Mapping[str, object]]()
    for number, first in enumerate(frames[0].levels if frames else ()):
        for gate in range(len(first.values)):
            levels = [frame.levels[number] for frame in frames]
            description, cells = _describe_map(levels, gate, scan)
            blob = f"{key}-level-{first.level}-{gate}"
            blobs[blob] = _pack(cells)
            maps.append({**description, "blob": blob})
    description = {
        "title": case.title,
        "note": scan.describe() + _frames_note(case.frames, frames),
        "shape": list(scan.image.shape),
        "spacing": list(scan.shown_spacing),
        "start": _start(scan),
        "volumes": {name: f"{key}-{name}" for name in volumes},
        "frames": [frame.name for frame in frames],
        "areRelative": case.are_relative,
        "maps": maps,
    }
    return Payload(description, blobs)


def _describe_map(
    levels: Sequence[LevelCoefficients], gate: int, scan: StoredScan
) -> tuple[Mapping[str, object], Bytes]:
    """Return a map's place in stored voxels and its scale in each frame, and its cells (frames, h, w, d) in steps."""
    place = _cells_over(levels[0], scan)
    steps, largest = in_steps(np.stack([level.values[gate] for level in levels]))
    cells = steps[(slice(None), *place)]
    level = levels[0]
    axes = list(zip(level.offset, level.cell_size, scan.origin, scan.factors, place, strict=True))
    several = f", gate {gate + 1}" if len(level.values) > 1 else ""
    means = [float(found.values[gate].mean()) for found in levels]
    description = {
        "name": f"level {level.level}{several}",
        "shape": list(cells.shape[1:]),
        "cell": [size / factor for _, size, _, factor, _ in axes],
        "offset": [(offset + side.start * size - origin) / factor for offset, size, origin, factor, side in axes],
        "largest": [float(f"{value:.6g}") for value in largest.ravel()],
        "mean": [float(f"{value:.6g}") for value in means],
    }
    return description, cells


def _start(scan: StoredScan) -> list[int]:
    """Return a voxel of an organ in the axial plane that shows the organs best; the middle of a scan without any."""
    found = scan.reference if scan.reference.any() or scan.prediction is None else scan.prediction
    if not found.any():
        return [size // 2 for size in found.shape]
    index = clearest_axial_index(found)
    places = np.argwhere(found[:, :, index])
    return [*places[len(places) // 2].tolist(), index]


def _cells_over(level: LevelCoefficients, scan: StoredScan) -> tuple[slice, slice, slice]:
    """Return the cells that cover the stored part of the scan."""
    sides = list[slice]()
    for axis, cells in enumerate(level.values.shape[1:]):
        start, size = scan.origin[axis] - level.offset[axis], level.cell_size[axis]
        end = min(start + scan.image.shape[axis] * scan.factors[axis], scan.whole[axis] - level.offset[axis])
        first = min(max(int(start // size), 0), cells - 1)
        sides.append(slice(first, max(min(int(-(-end // size)), cells), first + 1)))
    return sides[0], sides[1], sides[2]


def _thinned(frames: Sequence[Frame], most_cells: int, scan: StoredScan) -> Sequence[Frame]:
    if len(frames) < 2:
        return frames
    cells = sum(level.values[(slice(None), *_cells_over(level, scan))].size for level in frames[0].levels)
    number = min(max(most_cells // cells, 2), len(frames))
    return [frames[position] for position in np.linspace(0, len(frames) - 1, number).round().astype(int)]


def _frames_note(recorded: Sequence[Frame], shown: Sequence[Frame]) -> str:
    if len(shown) == len(recorded):
        return ""
    return f" Attention of {len(shown)} of the {len(recorded)} recorded epochs."


def _pack(array: Bytes) -> str:
    return base64.b64encode(zlib.compress(np.ascontiguousarray(array).tobytes(), 6)).decode()
