"""The record of one metric: how it is named, shown, computed and penalised."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from aunet.metrics.mask_pair import MaskPair  # loads SciPy, which readers of tables do not need

# The better side of a metric; "zero" is that of a signed difference.
Direction = Literal["higher", "lower", "zero"]
# The value that counts for a class in only one of prediction and reference: 0, the scan's diagonal in mm, or its own.
Penalty = Literal["zero", "diagonal", "none"]
# Metrics that are computed on request: detection of lesions, distance of meshes, calibration of probabilities.
Extra = Literal["lesions", "mesh", "probabilities"]


@dataclass(frozen=True)
class Metric:
    """One metric of a class in a case.

    Attributes:
        key: Column of the files.
        title: Name in tables.
        function: Returns the value of a pair of masks, NaN if it is undefined.
        direction: Better side.
        unit: Unit of the value; empty for a ratio.
        digits: Decimals in tables.
        penalty: Value for a missed or invented class.
        lowest: Smallest possible value.
        highest: Largest possible value.
        is_shown: Whether tables show it; files hold every metric.
        is_of_surface: Whether it is undefined if a mask fills the scan, whose edge is not a surface.
        extra: Option of ``aunet evaluate`` that computes it; None if it is always computed.
        older_form: Key of the metric that takes its place in tables of runs which did not record it.
        note: Sentence below each table that shows it.
    """

    key: str
    title: str
    function: "Callable[[MaskPair], float]"
    direction: Direction
    unit: str = ""
    digits: int = 3
    penalty: Penalty = "none"
    lowest: float = 0.0
    highest: float = math.inf
    is_shown: bool = True
    is_of_surface: bool = False
    extra: Extra | None = None
    older_form: str | None = None
    note: str = ""

    @property
    def is_optional(self) -> bool:
        """Return whether it is computed on request only."""
        return self.extra is not None

    @property
    def heading(self) -> str:
        """Return the title with its unit: ``ASSD (mm)``."""
        return f"{self.title} ({self.unit})" if self.unit else self.title

    @property
    def penalised_heading(self) -> str:
        """Return the heading of its means with penalties: ``ASSD, penalised (mm)``."""
        return f"{self.title}, penalised" + (f" ({self.unit})" if self.unit else "")
