"""Attenuation of each tissue in Hounsfield units, by the time since contrast medium was given."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from aunet.data.sources.phantom.tissues import Tissue

PHASES = ("unenhanced", "late arterial", "portal venous")

_UNENHANCED: Mapping[Tissue, float] = {
    Tissue.AIR: -1000,
    Tissue.TABLE: 30,
    Tissue.SKIN: 10,
    Tissue.SUBCUTANEOUS_FAT: -105,
    Tissue.VISCERAL_FAT: -100,
    Tissue.FAT_PLANE: -95,
    Tissue.MUSCLE: 54,
    Tissue.CORTICAL_BONE: 520,
    Tissue.SPONGY_BONE: 170,
    Tissue.CARTILAGE: 85,
    Tissue.SPINAL_CANAL: 25,
    Tissue.LUNG: -840,
    Tissue.ARTERY: 42,
    Tissue.VEIN: 42,
    Tissue.PORTAL_VEIN: 42,
    Tissue.LIVER: 57,
    Tissue.GALLBLADDER: 9,
    Tissue.ADRENAL: 20,
    Tissue.SPLEEN: 48,
    Tissue.KIDNEY_CORTEX: 33,
    Tissue.KIDNEY_MEDULLA: 31,
    Tissue.RENAL_PELVIS: 4,
    Tissue.PANCREAS: 42,
    Tissue.STOMACH_WALL: 40,
    Tissue.STOMACH_CONTENT: 22,
    Tissue.BOWEL_WALL: 40,
    Tissue.BOWEL_CONTENT: 32,
    Tissue.BOWEL_FLUID: 16,
    Tissue.STOOL: 25,
    Tissue.GAS: -960,
}

# Rise (HU) over the unenhanced value: late arterial, portal venous.
_ENHANCEMENT: Mapping[Tissue, tuple[float, float]] = {
    Tissue.SKIN: (5, 12),
    Tissue.MUSCLE: (5, 12),
    Tissue.SPINAL_CANAL: (3, 6),
    Tissue.ARTERY: (235, 110),
    Tissue.VEIN: (65, 112),
    Tissue.PORTAL_VEIN: (70, 125),
    Tissue.LIVER: (14, 52),
    Tissue.ADRENAL: (45, 50),
    Tissue.SPLEEN: (75, 70),
    Tissue.KIDNEY_CORTEX: (125, 135),
    Tissue.KIDNEY_MEDULLA: (35, 105),
    Tissue.PANCREAS: (62, 50),
    Tissue.STOMACH_WALL: (48, 46),
    Tissue.BOWEL_WALL: (58, 50),
}

_LIKE_PANCREAS = (Tissue.STOMACH_WALL, Tissue.BOWEL_WALL, Tissue.BOWEL_CONTENT)
"""Gut that only place and shape tell from the pancreas: collapsed, or filled with dilute oral contrast medium."""


def draw_attenuation(generator: np.random.Generator) -> NDArray[np.float32]:
    """Draw the mean HU of each tissue (number of tissues,) in one patient.

    The phase lies anywhere between two of ``PHASES``, mostly with contrast medium; organs differ between patients.
    """
    late = float(generator.beta(1.2, 1.0))
    arrived = float(np.clip(generator.normal(0.95, 0.25), 0.1, 1.3))
    attenuation = np.array([_UNENHANCED[tissue] for tissue in Tissue], dtype=np.float32)
    for tissue, (arterial, venous) in _ENHANCEMENT.items():
        attenuation[tissue] += arrived * ((1 - late) * arterial + late * venous)
    attenuation += generator.normal(0, 4, len(Tissue)).astype(np.float32)
    attenuation[Tissue.LIVER] -= 12 * generator.exponential()
    for tissue in _LIKE_PANCREAS:
        attenuation[tissue] = attenuation[Tissue.PANCREAS] + generator.normal(-4, 7)
    return attenuation
