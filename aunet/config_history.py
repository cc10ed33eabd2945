"""Keys that the schema gained after runs had been written, so that the `config.yaml` of an older run still loads.

Each key maps to the value under which a run behaves as it did before the key existed. A value may be computed from the
run's own configuration. Remove an entry only together with the support for runs that lack the key.
"""

from collections.abc import Callable, Mapping
from typing import Any

from omegaconf import DictConfig, OmegaConf

# Dotted key -> value, or a function of the run's configuration that returns the value.
ADDED_KEYS: Mapping[str, Any | Callable[[DictConfig], Any]] = {
    "data.modality": None,
    "data.sampling": "balanced",
    "dataset.modalities": None,
    "dataset.intensities": None,
    "data.resampling": "linear",
}


def fill_added_keys(config: DictConfig) -> None:
    """Give ``config``, as read from a run folder, the keys of ``ADDED_KEYS`` that it lacks.

    A key whose group is missing as well is left alone: such a file was never the configuration of a run, and the check
    against the schema reports it.
    """
    for key, value in ADDED_KEYS.items():
        group, _, name = key.rpartition(".")
        parent = OmegaConf.select(config, group, throw_on_missing=False) if group else config
        if isinstance(parent, DictConfig) and name not in parent:
            OmegaConf.update(config, key, value(config) if callable(value) else value, force_add=True)
