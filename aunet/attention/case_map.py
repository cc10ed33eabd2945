"""A map of a whole case on a coarser grid, together with the part of it that lies over the case's image."""

from dataclasses import dataclass

import torch
from torch import Tensor

from aunet.inference.stitching import cell_size
from aunet.inference.window_layout import Box, Triple, WindowLayout


@dataclass(frozen=True)
class CaseMap:
    """Values (maps, *cells) over the padded image of a case, float32 on the CPU.

    A prediction pads the image so that windows fit; the cells of ``inside`` are those that cover the image itself. Each
    cell spans ``cell_size`` voxels, and the first of ``inside`` begins ``offset`` voxels from the image's first one.
    """

    values: Tensor
    inside: Box
    cell_size: Triple
    offset: Triple

    @property
    def over_image(self) -> Tensor:
        """Return the values (maps, h, w, d) of the cells that cover the image."""
        return self.values[(slice(None), *self.inside)]

    def with_values(self, values: Tensor) -> "CaseMap":
        """Return a map of the same place with other ``values`` (maps, *cells)."""
        return CaseMap(values, self.inside, self.cell_size, self.offset)

    def with_values_over_image(self, values: Tensor) -> "CaseMap":
        """Return the map with ``values`` (maps, h, w, d) over the image and its own in the padding."""
        changed = self.values.clone()
        changed[(slice(None), *self.inside)] = values
        return self.with_values(changed)

    def cut(self, corner: Triple, window: Triple) -> Tensor:
        """Return the cells (maps, *window cells) of the window at ``corner``, both in voxels of the padded image."""
        place = [
            slice(first // cell, (first + extent) // cell)
            for first, extent, cell in zip(corner, window, self.cell_size, strict=True)
        ]
        return self.values[(slice(None), *place)]


def case_map(values: Tensor, layout: WindowLayout) -> CaseMap:
    """Return ``values`` (maps, *cells) that span the whole padded image of ``layout``."""
    cells = cell_size(values, layout.padded_size)
    inside, offset = layout.cells_over_image(cells)
    return CaseMap(values, inside, cells, offset)


def resized(values: Tensor, shape: tuple[int, ...], *, is_binary: bool = False) -> Tensor:
    """Stretch ``values`` (maps, h, w, d) to ``shape``: linearly, or to the nearest cell if they are 0 or 1."""
    mode = "nearest-exact" if is_binary else "trilinear"
    return torch.nn.functional.interpolate(values[None], size=shape, mode=mode)[0]
