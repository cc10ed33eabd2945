"""Composing configurations for tests in less time: what depends on the files of conf/ alone is read once a process.

Hydra reads and merges some twenty files for each configuration, 0.15 s; the tests compose a thousand.
"""

import os
import pickle
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

import pytest
from hydra._internal import config_loader_impl
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra.core.default_element import ResultDefault
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.types import Override
from omegaconf import DictConfig, OmegaConf, base, grammar_parser

from aunet.config import composition as config

CONF = Path(__file__).resolve().parents[1] / "conf"


def compose_quickly(patch: pytest.MonkeyPatch) -> None:
    """Keep what was read from an unchanged file, what ``conf/`` makes of equal options, and of an equal command."""
    patch.setattr(OmegaConf, "load", staticmethod(_loading_once(OmegaConf.load)))
    patch.setattr(base, "parse", cache(grammar_parser.parse))  # trees that are only read
    patch.setattr(config_loader_impl, "create_defaults_list", _listing_once(config_loader_impl.create_defaults_list))
    merge = ConfigLoaderImpl._compose_config_from_defaults_list
    patch.setattr(ConfigLoaderImpl, "_compose_config_from_defaults_list", _merging_once(merge))
    patch.setattr(config, "_compose", _composing_once(config._compose))
    patch.setattr(config, "convert_types", _converting_once(config.convert_types))


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


def _listing_once(list_files: Callable[..., Any]) -> Callable[..., Any]:
    """Return Hydra's search for the files of a configuration, which depends on the options among the overrides."""
    listed: dict[tuple[object, ...], Any] = {}

    def list_once(*, repo: Any, overrides_list: list[Override], **facts: Any) -> Any:
        if not _reads_conf_alone(repo):
            return list_files(repo=repo, overrides_list=overrides_list, **facts)
        values = [word for word in overrides_list if isinstance(word.value(), dict) or not _names_group(word, repo)]
        options = [word for word in overrides_list if word not in values]
        key = (*facts.items(), *(word.input_line for word in options))
        if key not in listed:
            listed[key] = list_files(repo=repo, overrides_list=options, **facts)
        return replace(listed[key], config_overrides=[word for word in values if not word.is_sweep_override()])

    return list_once


def _names_group(word: Override, repo: Any) -> bool:
    return repo.group_exists(word.key_or_group)


def _merging_once(merge: Callable[..., DictConfig]) -> Callable[..., DictConfig]:
    merged: dict[str, bytes] = {}

    def merge_once(loader: ConfigLoaderImpl, defaults: list[ResultDefault], repo: Any) -> DictConfig:
        if not _reads_conf_alone(repo):
            return merge(loader, defaults, repo)
        key = str(defaults)
        if key not in merged:
            merged[key] = pickle.dumps(merge(loader, defaults, repo))
        return pickle.loads(merged[key])

    return merge_once


def _composing_once(compose: Callable[[Sequence[str]], DictConfig]) -> Callable[[Sequence[str]], DictConfig]:
    composed: dict[tuple[str, ...], bytes] = {}

    def compose_once(overrides: Sequence[str]) -> DictConfig:
        if not _reads_conf_alone(GlobalHydra.instance().config_loader()):
            return compose(overrides)
        key = (str(Path.cwd()), *overrides)
        if key not in composed:
            composed[key] = pickle.dumps(compose(overrides))
        return pickle.loads(composed[key])

    return compose_once


def _converting_once(convert: Callable[[DictConfig], DictConfig]) -> Callable[[DictConfig], DictConfig]:
    @lru_cache(maxsize=256)
    def converted(pickled: bytes) -> bytes:
        return pickle.dumps(convert(pickle.loads(pickled)))

    return lambda given: pickle.loads(converted(pickle.dumps(given)))


def _reads_conf_alone(loader: Any) -> bool:
    return [source.path for source in loader.get_sources() if source.provider in ("main", "own")] == [str(CONF)]
