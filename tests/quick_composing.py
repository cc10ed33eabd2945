"""Composing configurations for tests in less time: the YAML files of conf/ and equal commands are read once a process.

Hydra reads and merges some twenty files for each configuration, 0.15 s; the tests compose a thousand.
"""

import os
import pickle
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from hydra.core.global_hydra import GlobalHydra
from omegaconf import DictConfig, OmegaConf

from aunet.config import composition as config

CONF = Path(__file__).resolve().parents[1] / "conf"


def compose_quickly(patch: pytest.MonkeyPatch) -> None:
    """Keep what was read from an unchanged file and what was composed from ``conf/`` for an equal command."""
    patch.setattr(OmegaConf, "load", staticmethod(_loading_once(OmegaConf.load)))
    patch.setattr(config, "_compose", _composing_once(config._compose))


def _loading_once(load: Callable[[Any], Any]) -> Callable[[Any], Any]:
    loaded: dict[tuple[str, int, int, int], bytes] = {}

    def load_once(file: Any) -> Any:
        if isinstance(file, str | Path):
            return load(file)
        facts = os.fstat(file.fileno())
        key = (file.name, facts.st_ino, facts.st_mtime_ns, facts.st_size)
        if key not in loaded:
            loaded[key] = pickle.dumps(load(file))
        return pickle.loads(loaded[key])

    return load_once


def _composing_once(compose: Callable[[Sequence[str]], DictConfig]) -> Callable[[Sequence[str]], DictConfig]:
    composed: dict[tuple[str, ...], bytes] = {}

    def compose_once(overrides: Sequence[str]) -> DictConfig:
        loader = GlobalHydra.instance().config_loader()
        folders = [source.path for source in loader.get_sources() if source.provider in ("main", "own")]
        if folders != [str(CONF)]:
            return compose(overrides)
        key = (str(Path.cwd()), *overrides)
        if key not in composed:
            composed[key] = pickle.dumps(compose(overrides))
        return pickle.loads(composed[key])

    return compose_once
