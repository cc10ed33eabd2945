"""Configurations of runs that another version of aunet wrote, for commands that only read them (predict, compare).

A key of a newer version is ignored, and one that an older version lacks has today's default, unless a prediction or a
comparison depends on it.
"""

import logging
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import cast

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from aunet.config.composition import compose_config
from aunet.config.validation import list_known_keys, list_unknown_keys, node_at
from aunet.errors import UserError
from aunet.files import read_json_if_sound
from aunet.runs.run_folder import RunFolder

_log = logging.getLogger(__name__)
# Sections on which a prediction depends.
_NEEDED = ("data", "dataset", "model", "inference")


def adapt_config(config: DictConfig, folder: Path) -> None:
    """Drop the unknown keys of a run's configuration, and fill in missing ones, with a line that names the versions.

    Raises:
        UserError: a key is missing that has no default, or on which a prediction depends.
    """
    if not all(section in config for section in _NEEDED):
        return  # never the configuration of a run, which the checks that follow report
    run = RunFolder(folder)
    if unknown := list_unknown_keys(config):
        for key in unknown:
            group, _, name = key.rpartition(".")
            parent = _parent(config, group)
            if not isinstance(parent, DictConfig) or name not in parent:
                raise UserError(f"{key!r} is not a key that a run writes. Restore the run's own file.")
            del parent[name]
        _log.warning("%s: %s ignored, %s.", run.config, ", ".join(unknown), describe_versions(folder))
    missing = [key for key in list_known_keys() if _is_missing(config, key)]
    if needed := [key for key in missing if key.partition(".")[0] in _NEEDED]:
        raise UserError(
            f"{needed[0]} is missing, {describe_versions(folder)}. Add it to the file, with the value that the run had."
        )
    if missing:
        defaults = compose_config([])
        for key in missing:
            OmegaConf.update(config, key, OmegaConf.select(defaults, key), force_add=True)
        _log.info("%s: defaults for %s, %s.", run.config, ", ".join(missing), describe_versions(folder))


def describe_versions(folder: Path) -> str:
    """Return both versions in words: that of the run in ``folder``, as recorded, and this one."""
    versions: object = read_json_if_sound(RunFolder(folder).record).get("versions")
    recorded = cast(Mapping[str, object], versions).get("aunet") if isinstance(versions, dict) else None
    return f"as the run is of aunet {recorded or '(not recorded)'} and this is aunet {_own_version()}"


def _parent(config: DictConfig, group: str) -> object:
    """Return the node ``group`` of ``config``; None if no node can have such a name."""
    try:
        return OmegaConf.select(config, group) if group else config
    except OmegaConfBaseException:
        return None


def _own_version() -> str:
    try:
        return version("aunet")
    except PackageNotFoundError:
        return "of a checkout"


def _is_missing(config: DictConfig, key: str) -> bool:
    """Return whether ``config`` lacks ``key`` though it has its group."""
    group, _, name = key.rpartition(".")
    parent = node_at(config, group) if group else config
    return isinstance(parent, DictConfig) and name not in parent
