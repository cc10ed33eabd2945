"""Materials of the phantom's voxels, and the class that an expert would assign to each."""

from enum import IntEnum, auto

import numpy as np
from numpy.typing import NDArray

from aunet.classes import Labels

PHANTOM_LABELS = Labels(("background", "pancreas", "spleen", "kidney"))


class Tissue(IntEnum):
    """One integer for each material that has its own attenuation."""

    AIR = 0
    TABLE = auto()
    SKIN = auto()
    SUBCUTANEOUS_FAT = auto()
    VISCERAL_FAT = auto()
    FAT_PLANE = auto()
    MUSCLE = auto()
    CORTICAL_BONE = auto()
    SPONGY_BONE = auto()
    CARTILAGE = auto()
    SPINAL_CANAL = auto()
    LUNG = auto()
    ARTERY = auto()
    VEIN = auto()
    PORTAL_VEIN = auto()
    LIVER = auto()
    GALLBLADDER = auto()
    ADRENAL = auto()
    SPLEEN = auto()
    KIDNEY_CORTEX = auto()
    KIDNEY_MEDULLA = auto()
    RENAL_PELVIS = auto()
    PANCREAS = auto()
    STOMACH_WALL = auto()
    STOMACH_CONTENT = auto()
    BOWEL_WALL = auto()
    BOWEL_CONTENT = auto()
    BOWEL_FLUID = auto()
    STOOL = auto()
    GAS = auto()


_NAME_OF_CLASS_OF_TISSUE = {
    Tissue.PANCREAS: "pancreas",
    Tissue.SPLEEN: "spleen",
    Tissue.KIDNEY_CORTEX: "kidney",
    Tissue.KIDNEY_MEDULLA: "kidney",
}


def class_of_tissue() -> NDArray[np.uint8]:
    """Return the lookup table (number of tissues,) to classes of ``PHANTOM_LABELS``; the renal pelvis is background."""
    names = (_NAME_OF_CLASS_OF_TISSUE.get(tissue, "background") for tissue in Tissue)
    return np.array([PHANTOM_LABELS.names.index(name) for name in names], dtype=np.uint8)
