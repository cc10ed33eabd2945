"""Former names of the classes and functions that a configuration may name as a ``_target_``.

They are read as the present ones, so that the ``config.yaml`` of an older run and a user's own YAML files still load.
"""

from collections.abc import Mapping

# First version that no longer reads the names -> former name -> present name.
FORMER_NAMES: Mapping[str, Mapping[str, str]] = {
    "1.0": {
        # Named by their files until aunet.data re-exported them.
        "aunet.data.augmentation.Augmentation": "aunet.data.Augmentation",
        "aunet.data.ct150.ct150_cohort": "aunet.data.ct150_cohort",
        "aunet.data.ct82.ct82_cohort": "aunet.data.ct82_cohort",
        "aunet.data.folder.folder_cohort": "aunet.data.folder_cohort",
        "aunet.data.image_folders.images_cohort": "aunet.data.images_cohort",
        "aunet.data.msd.msd_cohort": "aunet.data.msd_cohort",
        "aunet.data.nnunet.nnunet_cohort": "aunet.data.nnunet_cohort",
        "aunet.data.totalsegmentator.totalsegmentator_cohort": "aunet.data.totalsegmentator_cohort",
    },
}
_PRESENT_NAMES = {former: present for names in FORMER_NAMES.values() for former, present in names.items()}


def present_name(name: str) -> str:
    """Return the name that ``name`` has now; ``name`` itself if it has not changed."""
    return _PRESENT_NAMES.get(name, name)
