"""Cohorts from files, and patches from cohorts: the names that configurations use.

Each is imported when it is first asked for, as most need far more than the reader of one dataset does: the augmentation
costs the import of MONAI.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from aunet.data.patches.augmentation import Augmentation
    from aunet.data.sources.bids import bids_cohort
    from aunet.data.sources.ct82 import ct82_cohort
    from aunet.data.sources.ct150 import ct150_cohort
    from aunet.data.sources.folder import folder_cohort
    from aunet.data.sources.image_folders import images_cohort
    from aunet.data.sources.msd import msd_cohort
    from aunet.data.sources.nnunet import nnunet_cohort
    from aunet.data.sources.totalsegmentator import totalsegmentator_cohort

__all__ = [
    "Augmentation",
    "bids_cohort",
    "ct82_cohort",
    "ct150_cohort",
    "folder_cohort",
    "images_cohort",
    "msd_cohort",
    "nnunet_cohort",
    "totalsegmentator_cohort",
]

_MODULES = {
    "Augmentation": "aunet.data.patches.augmentation",
    "bids_cohort": "aunet.data.sources.bids",
    "ct82_cohort": "aunet.data.sources.ct82",
    "ct150_cohort": "aunet.data.sources.ct150",
    "folder_cohort": "aunet.data.sources.folder",
    "images_cohort": "aunet.data.sources.image_folders",
    "msd_cohort": "aunet.data.sources.msd",
    "nnunet_cohort": "aunet.data.sources.nnunet",
    "totalsegmentator_cohort": "aunet.data.sources.totalsegmentator",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module 'aunet.data' has no attribute {name!r}")
    return getattr(import_module(_MODULES[name]), name)


def __dir__() -> list[str]:
    return __all__
