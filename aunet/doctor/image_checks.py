"""Checks that an image is a scan and, if it is said to be CT, that it is in HU."""

from collections.abc import Iterator

from aunet.data.cohort.case import Modality
from aunet.data.preprocessing.image_intensities import PERCENTILES, Intensities
from aunet.data.preprocessing.modality_evidence import cannot_be_hounsfield
from aunet.doctor.finding import CONSTANT_IMAGE, NO_AIR, NOT_HOUNSFIELD, Finding

# HU. Air is -1000; lungs and padding reach it too. Some scanners pad with even lower values.
_AIR = -700
_LOWEST, _HIGHEST = -5000, 35000
_LEAST_SOFT_TISSUE, _LEAST_SPAN = 0.01, 50
# Range of the 95th percentile if the intercept of -1024 was not added.
_UNRESCALED = (800, 1600)


def check_image(case_id: str, intensities: Intensities, modality: Modality | None) -> Iterator[Finding]:
    """Yield the findings about the intensities of the first channel."""
    if intensities.lowest == intensities.highest:
        yield Finding(CONSTANT_IMAGE, case_id, f"every voxel is {intensities.lowest:g}")
    elif modality == "ct":
        yield from _check_hounsfield(case_id, intensities)


def _check_hounsfield(case_id: str, found: Intensities) -> Iterator[Finding]:
    low, bright = found.percentiles[0], found.percentiles[PERCENTILES.index(95.0)]
    span = f"values from {found.lowest:g} to {found.highest:g}"
    if found.lowest < _LOWEST or found.highest > _HIGHEST:
        yield Finding(NOT_HOUNSFIELD, case_id, f"{span}, beyond what HU can be")
    elif (found.lowest == 0 and found.highest <= 255) or found.highest - found.lowest < _LEAST_SPAN:
        yield Finding(NOT_HOUNSFIELD, case_id, f"{span}: scaled or standardised, the HU are lost")
    elif found.lowest > -_UNRESCALED[0] / 4 and _UNRESCALED[0] < bright < _UNRESCALED[1]:
        yield Finding(
            NOT_HOUNSFIELD,
            case_id,
            f"{span}: air would be near 0 and tissue near 1000, as stored before the intercept of -1024 is added",
        )
    elif found.share_of_soft_tissue < _LEAST_SOFT_TISSUE:
        yield Finding(
            NOT_HOUNSFIELD,
            case_id,
            f"{span}: {found.share_of_soft_tissue:.1%} of it is soft tissue (-200 to 300 HU)",
        )
    elif cannot_be_hounsfield(found):
        yield Finding(NOT_HOUNSFIELD, case_id, f"{span}: most of it is brighter than soft tissue, and nothing is air")
    elif low > _AIR:
        yield Finding(NO_AIR, case_id, f"{span}; air is near -1000 HU")
