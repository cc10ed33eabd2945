"""The ways to predict a whole volume, called inferers: each lays windows over a volume of any size.

``sliding_window`` (``aunet.inference.window_layout.Window``) averages overlapping windows of the training's patch size.
``whole_volume`` runs the network once over the padded volume. ``tiled`` (``aunet.inference.tiles.Tiled``) runs it over
tiles and keeps the core of each. ``auto`` takes ``whole_volume`` if it fits into memory, else ``tiled``.
"""

import logging
from collections.abc import Sequence
from typing import Protocol

from aunet.inference.tiles import Tiled
from aunet.inference.window_layout import WindowLayout, as_triple, margin_before, padded_size

_log = logging.getLogger(__name__)


class Inferer(Protocol):
    """A way to predict whole volumes, shared by validation, test, ``aunet predict`` and Python."""

    @property
    def patch_size(self) -> tuple[int, ...]:
        """Return the size of the training's patches (voxels)."""
        ...

    @property
    def size_multiple(self) -> tuple[int, ...]:
        """Return the numbers of which the sides of every window are multiples."""
        ...

    @property
    def window_batch(self) -> int:
        """Return how many windows are predicted at once."""
        ...

    def lay_out(self, size: Sequence[int]) -> WindowLayout:
        """Lay windows over a volume of ``size`` (voxels); the padded size yields the same windows."""
        ...


class WholeVolume:
    """The inferer ``whole_volume``: one pass over the volume, padded to multiples of the network's size multiple.

    A volume shorter than the training's patch is padded to it, as for the sliding window.
    """

    def __init__(self, patch_size: tuple[int, ...], size_multiple: tuple[int, ...]) -> None:
        self.patch_size = patch_size
        self.size_multiple = size_multiple
        self.window_batch = 1

    def lay_out(self, size: Sequence[int]) -> WindowLayout:
        """Return one window over the padded volume."""
        padded = padded_size(size, self.patch_size, self.size_multiple)
        return WindowLayout(as_triple(size), padded, margin_before(size, padded), padded, ((0, 0, 0),))


class AutomaticInferer:
    """The inferer ``auto``: ``whole_volume`` if it fits into memory, else ``tiled``; it logs which, if that changes."""

    def __init__(self, tiled: Tiled) -> None:
        self.patch_size = tiled.patch_size
        self.size_multiple = tiled.size_multiple
        self.window_batch = tiled.window_batch
        self._tiled = tiled
        self._logged = ""

    def lay_out(self, size: Sequence[int]) -> WindowLayout:
        """Lay one window or tiles over a volume of ``size`` (voxels)."""
        layout = self._tiled.lay_out(size)
        described = f"tiles of {'x'.join(map(str, layout.window))}" if layout.cores else "the whole volume in one pass"
        if described != self._logged:
            self._logged = described
            _log.info(
                "Inferer: %s; a volume of %s voxels, at most %.1f million fit into memory at once.",
                described,
                "x".join(map(str, size)),
                self._tiled.most_voxels / 1e6,
            )
        return layout
