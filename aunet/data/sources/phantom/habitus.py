"""The build of a patient: width of the trunk, fat under the skin and around the organs."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Habitus:
    """Lengths of a patient's build in mm, in the patient's coordinates.

    ``half_width``, ``front`` and ``back`` reach to the inside of the abdominal wall; ``fat_plane`` is the fat between
    organs; ``dome`` is the height at which the right lung begins.
    """

    half_width: float
    front: float
    wall: float
    fat_front: float
    fat_side: float
    fat_back: float
    fat_plane: float
    dome: float
    back: float = -50.0

    @property
    def skin_front(self) -> float:
        """Return the y of the skin in front."""
        return self.front + self.wall + self.fat_front

    @property
    def skin_back(self) -> float:
        """Return the y of the skin behind, beside the furrow."""
        return self.back - 32 - self.fat_back

    @property
    def table(self) -> float:
        """Return the y of the lowest line of the table."""
        return self.back - 38 - self.fat_back

    @property
    def middle(self) -> float:
        """Return the y of the middle of the abdominal cavity."""
        return (self.front + self.back) / 2


def draw_habitus(generator: np.random.Generator) -> Habitus:
    """Draw a build from lean to heavy."""
    adiposity = float(generator.beta(1.6, 2.2))
    return Habitus(
        half_width=126 + 12 * adiposity + generator.uniform(-5, 5),
        front=96 + 18 * adiposity + generator.uniform(-4, 4),
        wall=generator.uniform(9, 14),
        fat_front=5 + 24 * adiposity,
        fat_side=5 + 17 * adiposity,
        fat_back=6 + 14 * adiposity,
        fat_plane=1.0 + 3.0 * adiposity,
        dome=generator.uniform(112, 126),
    )
