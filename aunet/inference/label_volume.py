"""The label map of a volume in bounded memory: logits of finished parts are labelled, then released."""

import logging
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from aunet.inference.inferers import Inferer
from aunet.inference.native_space import LabelMapRestorer
from aunet.inference.sliding_window import LOGITS, Forward, window_logits
from aunet.inference.stitching import WindowMaps, finish_slabs
from aunet.inference.window_layout import Triple, WindowLayout
from aunet.targets import EXCLUSIVE, Target

_log = logging.getLogger(__name__)
OnProgress = Callable[[float], None]


def label_volume(
    forward: Forward,
    image: Tensor,
    inferer: Inferer,
    restorer: LabelMapRestorer,
    *,
    sums: torch.dtype = torch.float32,
    body: NDArray[np.bool_] | None = None,
    on_progress: OnProgress | None = None,
) -> None:
    """Predict an image (C, H, W, D) and pass its logits to ``restorer``, part by part.

    Args:
        forward: returns the logits of windows (B, C, h, w, d).
        image: on the device that ``forward`` takes, float32.
        inferer: lays the windows.
        restorer: makes the label map.
        sums: type of the sums of overlapping windows; float16 halves their memory.
        body: voxels (H, W, D) that count: windows that keep none of them are skipped and are background.
        on_progress: called with the share of the windows that are done.
    """
    layout, windows = _lay_out(forward, image, inferer, body, on_progress)
    is_by_box = restorer.is_reordering and bool(layout.cores)
    rows = _rows(windows, layout, sums, restorer.target, is_skipping=body is not None)
    parts = _boxes(windows, layout) if is_by_box else rows
    for corner, logits in _inside_image(parts, layout):
        restorer.add(corner, logits)
        del logits


def volume_rows(
    forward: Forward,
    image: Tensor,
    inferer: Inferer,
    *,
    sums: torch.dtype = torch.float32,
    body: NDArray[np.bool_] | None = None,
    on_progress: OnProgress | None = None,
    num_others: int = 0,
    target: Target = EXCLUSIVE,
) -> Iterator[Tensor]:
    """Yield the rows (K, rows, W, D) of the logits of an image, in order along axis 0; arguments as ``label_volume``.

    The last ``num_others`` maps of ``forward`` are not logits; they are 0 in windows that are skipped.
    """
    layout, windows = _lay_out(forward, image, inferer, body, on_progress)
    parts = _rows(windows, layout, sums, target, is_skipping=body is not None, num_others=num_others)
    for _, logits in _inside_image(parts, layout):
        yield logits


def _lay_out(
    forward: Forward,
    image: Tensor,
    inferer: Inferer,
    body: NDArray[np.bool_] | None,
    on_progress: OnProgress | None,
) -> tuple[WindowLayout, Iterator[WindowMaps]]:
    """Return the layout and the logits of the windows that keep a voxel of ``body``."""
    layout = inferer.lay_out(image.shape[1:])
    corners = layout.corners if body is None else _corners_in(body, layout)
    windows = window_logits(forward, image, layout, corners, inferer.window_batch)
    return layout, windows if on_progress is None else _reporting(windows, len(corners), on_progress)


def _reporting(windows: Iterator[WindowMaps], number: int, on_progress: OnProgress) -> Iterator[WindowMaps]:
    for count, maps in enumerate(windows, start=1):
        yield maps
        del maps
        on_progress(count / number)


def _inside_image(parts: Iterator[tuple[Triple, Tensor]], layout: WindowLayout) -> Iterator[tuple[list[int], Tensor]]:
    """Yield the parts within the image that are not empty, and warn once of NaN."""
    is_warned = False
    for corner, logits in parts:
        first, inside = _over_image(corner, logits, layout)
        if not is_warned and bool(inside.isnan().any()):
            is_warned = True
            _log.warning(
                "The network returns NaN for parts of this scan, which become background: its weights are damaged, or"
                " fp16 overflowed. Use another checkpoint, or train with trainer.precision=float32."
            )
        if inside.numel():
            yield first, inside
        del logits, inside


def _boxes(windows: Iterator[WindowMaps], layout: WindowLayout) -> Iterator[tuple[Triple, Tensor]]:
    """Yield the core of each tile with its corner in the padded volume."""
    for corner, maps in windows:
        core = layout.kept(corner)
        first, second, third = (start + part.start for start, part in zip(corner, core, strict=True))
        yield (first, second, third), maps[LOGITS][(slice(None), *core)].float()
        del maps


def _rows(
    windows: Iterator[WindowMaps],
    layout: WindowLayout,
    sums: torch.dtype,
    target: Target,
    *,
    is_skipping: bool,
    num_others: int = 0,
) -> Iterator[tuple[Triple, Tensor]]:
    """Yield whole rows of logits; where ``is_skipping`` left windows out, they are background."""
    for slab in finish_slabs(windows, layout, sums):
        is_skipped = slab.is_without_window if is_skipping else None
        if is_skipped is not None and bool(is_skipped.any()):
            target.fill_background(slab.values, is_skipped)
            slab.values[len(slab.values) - num_others :].masked_fill_(is_skipped, 0)
        yield (slab.first, 0, 0), slab.values


def _corners_in(body: NDArray[np.bool_], layout: WindowLayout) -> Sequence[Triple]:
    """Return the corners of the windows that keep a voxel of ``body`` (*size)."""
    mask = torch.from_numpy(body)[None]
    return [corner for corner in layout.corners if layout.cut_from(mask, corner)[0][layout.kept(corner)].any()]


def _over_image(corner: Triple, values: Tensor, layout: WindowLayout) -> tuple[list[int], Tensor]:
    """Return the part of values (K, ...) at ``corner`` of the padded volume that lies in the image, and its corner."""
    first: list[int] = []
    place: list[slice] = [slice(None)]
    for start, length, before, size in zip(corner, values.shape[1:], layout.before, layout.size, strict=True):
        low, high = max(start, before), min(start + length, before + size)
        first.append(low - before)
        place.append(slice(low - start, max(low, high) - start))
    return first, values[tuple(place)]
