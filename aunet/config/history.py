"""Keys and names that older configurations lack or spell differently, so that older runs still load.

Each key that the schema gained maps to the value under which a run behaves as it did before the key existed. A value
may be computed from the run's own configuration. Remove an entry only together with the support for runs that lack it.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from typing import cast

from omegaconf import DictConfig, OmegaConf

from aunet.config.validation import node_at

# Former names of the classes and functions that a configuration may name as a ``_target_``, read as the present ones,
# in a user's own YAML files too: first version that no longer reads them -> former name -> present name.
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


def _former_tracker(config: DictConfig) -> dict[str, object]:
    """Return the tracker that ``logger.name`` chose."""
    classes = {"wandb": "WandbTracker", "tensorboard": "TensorBoardTracker"}
    name = str(config.logger.get("name"))
    return {name: {"_target_": f"aunet.tracking.{classes[name]}"}} if name in classes else {}


# Dotted key -> value, or a function of the run's configuration that returns the value.
ADDED_KEYS: Mapping[str, object | Callable[[DictConfig], object]] = {
    "data.modality": None,
    "data.sampling": "balanced",
    "data.target_regions": None,
    "dataset.regions": None,
    "dataset.modalities": None,
    "dataset.intensities": None,
    "init_overlap": "allow",
    "data.resampling": "linear",
    "data.test_on": None,
    "data.region": None,
    "data.region_margin_mm": 20.0,
    "data.region_classes": None,
    # Deep supervision summed the losses of the levels with weights 1, 1/2, 1/4, ...
    "loss.level_reduction": "sum",
    "inference.one_pass_voxels": 0,
    "inference.inferer": "sliding_window",
    "inference.tile_size": None,
    "inference.halo": None,
    "inference.memory": None,
    "inference.sums": "float32",
    "inference.skip_air": False,
    "inference.engine": None,
    "inference.flips": [],
    "inference.postprocessing": [],
    "inference.choose_postprocessing": False,
    "trainer.callbacks": [],
    "trainer.validate_every": 1,
    "trainer.freeze": [],
    "trainer.requeue": False,
    "loss.class_weights": None,
    "logger.entity": None,
    "logger.tags": [],
    "logger.trackers": _former_tracker,
}

# Arguments that classes gained, by the key of ADDED_KEYS that came with them: class -> argument -> value that keeps the
# former behaviour. They are filled in only if the key is missing: a run that has the key is newer, and an argument that
# its configuration leaves out has the class's own default.
ADDED_ARGUMENTS: Mapping[str, Mapping[str, Mapping[str, object]]] = {
    "loss.level_reduction": {
        "aunet.networks.RecurrentUnit": {"norm_per_application": False},
        "aunet.networks.UNet": {"has_equal_groups": True},
        "aunet.networks.AttentionUNet": {"has_equal_groups": True},
    },
}


def fill_added_keys(config: DictConfig) -> None:
    """Add the keys and arguments listed above that ``config``, as read from a run folder, lacks.

    A key whose group is missing as well is left alone: such a file was never the configuration of a run, and the check
    against the schema reports it.
    """
    plain = cast(Mapping[str, object], OmegaConf.to_container(config, resolve=False))
    for key, arguments in ADDED_ARGUMENTS.items():
        if node_at(config, key) is None:
            for added, value in _added_arguments(plain, arguments):
                OmegaConf.update(config, added, value, force_add=True)
    for key, value in ADDED_KEYS.items():
        group, _, name = key.rpartition(".")
        parent = node_at(config, group) if group else config
        if isinstance(parent, DictConfig) and name not in parent:
            OmegaConf.update(config, key, value(config) if callable(value) else value, force_add=True)


def use_folder_names(config: DictConfig) -> None:
    """Replace each slash in the names of ``config``, as read from a run folder, where it was once allowed, by ``-``.

    A reference to another value is left for the checks of references: reading it here would evaluate it.
    """
    for group in ("data", "model", "loss", "optimizer", "trainer"):
        section = node_at(config, group)
        if isinstance(section, DictConfig) and not OmegaConf.is_interpolation(section, "name"):
            name = section.get("name")
            if isinstance(name, str):
                OmegaConf.update(config, f"{group}.name", re.sub(r"[/\\]", "-", name))


def _added_arguments(
    node: Mapping[str, object], arguments: Mapping[str, Mapping[str, object]], prefix: str = ""
) -> Iterator[tuple[str, object]]:
    """Yield dotted key and value of each argument that a class named in ``node`` or below lacks."""
    *package, name = str(node.get("_target_", "")).split(".")
    # A class may be named by its file, aunet.networks.blocks.RecurrentUnit.
    public_name = ".".join([*package[:2], name])
    for argument, value in arguments.get(public_name, {}).items():
        if argument not in node:
            yield f"{prefix}{argument}", value
    for key, child in node.items():
        if isinstance(child, Mapping):
            yield from _added_arguments(cast(Mapping[str, object], child), arguments, f"{prefix}{key}.")
