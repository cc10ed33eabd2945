"""The jobs of a sweep and their folders: the same command finds the same folders again."""

import hashlib
import itertools
import json
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from omegaconf import DictConfig

from aunet.config.composition import check_config, compose_config, split_sweep
from aunet.config.former_names import present_name
from aunet.errors import UserError
from aunet.files import write_json
from aunet.sweeps.job import Job, job_settings, plain_settings

_NOT_IN_NAMES = re.compile(r"[^\w.=+-]+")
_LONGEST_NAME = 100
_PLAN = "sweep.json"


@dataclass(frozen=True)
class SweepPlan:
    """The jobs of a sweep, its folder, and the settings of Hydra's launcher."""

    folder: Path
    jobs: tuple[Job, ...]
    launcher: str
    launcher_settings: Mapping[str, Any]


def plan_sweep(overrides: Sequence[str]) -> SweepPlan:
    """Compose and check every job of ``-m overrides``, without writing anything."""
    lists = split_sweep(overrides)
    varying = {word for words in lists for word in words if not all(word in others for others in lists)}
    keys = _short_keys({key_of(word) for word in varying})
    name_of_sweep = with_name(overrides, "sweep", sorted(keys.values()))
    configs = [compose_config([*words, *name_of_sweep]) for words in lists]
    for config in configs:
        check_config(config)
    folder = Path(str(configs[0].hydra.sweep.dir))
    names = _unique([_name(_shortened(words, keys)) or "job" for words in lists])
    jobs = (
        Job(tuple(words), folder / name, job_settings(config, folder))
        for words, name, config in zip(lists, names, configs, strict=True)
    )
    return SweepPlan(folder, tuple(jobs), *launcher_of(configs[0]))


def write_plan(plan: SweepPlan) -> None:
    """Write ``sweep.json`` and each job's configuration.

    Raises:
        UserError: a job of that name was begun with other settings.
    """
    path = plan.folder / _PLAN
    before: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    for job in plan.jobs:
        check_unchanged(job, before.get(job.name))
    write_json(path, before | {job.name: job.settings for job in plan.jobs})
    for job in plan.jobs:
        job.prepare()


def check_unchanged(job: Job, before: Mapping[str, Any] | None) -> None:
    """Raise UserError if the settings ``before`` of the run in the job's folder differ from the job's."""
    then, now = dict(_flat(job.settings if before is None else before)), dict(_flat(job.settings))
    changed = sorted(key for key in then.keys() | now.keys() if then.get(key) != now.get(key))
    if changed:
        key = changed[0]
        raise UserError(
            f"{job.folder}: was begun with {key}={then.get(key)}, and now {key}={now.get(key)}. Restore it, or give"
            " the sweep a folder of its own: hydra.job.name=another_name."
        )


def with_name(overrides: Sequence[str], kind: str, keys: Sequence[str]) -> list[str]:
    """Return the override that names a sweep after ``overrides``, in any order; none if the user named it."""
    if any(key_of(word) in ("hydra.job.name", "hydra.sweep.dir") for word in overrides):
        return []
    own = sorted(word for word in overrides if not key_of(word).startswith(("hydra.", "hydra/")))
    identity = hashlib.sha256("\0".join(own).encode()).hexdigest()[:6]
    name = "_".join(filter(None, (kind, "-".join(keys), identity)))
    return [f"hydra.job.name='{_NOT_IN_NAMES.sub('-', name)}'"]


def key_of(word: str) -> str:
    """Return the key of an override: ``seed`` of ``+seed=1``."""
    return word.partition("=")[0].lstrip("+~")


def launcher_of(config: DictConfig) -> tuple[str, Mapping[str, Any]]:
    """Return name and settings of the chosen ``hydra/launcher``; raise UserError for an unsupported one."""
    name = str(config.hydra.runtime.choices["hydra/launcher"])
    if name not in ("basic", "submitit_slurm"):
        raise UserError(
            f"hydra/launcher={name}: aunet starts the jobs of a sweep itself. Leave it out for processes of this"
            " machine, or write hydra/launcher=submitit_slurm."
        )
    return name, cast(Mapping[str, Any], plain_settings(config.hydra).get("launcher", {}))


def _short_keys(keys: Collection[str]) -> dict[str, str]:
    """Return the last part of each key, or the whole key if another has the same last part."""
    last = {key: key.rpartition(".")[2] for key in keys}
    return {key: name if list(last.values()).count(name) == 1 else key for key, name in last.items()}


def _shortened(words: Sequence[str], keys: Mapping[str, str]) -> list[str]:
    """Shorten the overrides whose keys vary, as in ``lr=0.1`` for ``optimizer.factory.lr=0.1``, and sort them."""
    return sorted(f"{keys[key_of(word)]}={word.partition('=')[2]}" for word in words if key_of(word) in keys)


def _name(words: Sequence[str]) -> str:
    """Return a folder's name; a long one is cut, with a hash that distinguishes it from others."""
    text = "_".join(words)
    name = _NOT_IN_NAMES.sub("-", text)
    if len(name) <= _LONGEST_NAME:
        return name
    return f"{name[:_LONGEST_NAME]}_{hashlib.sha256(text.encode()).hexdigest()[:6]}"


def _unique(names: Sequence[str]) -> list[str]:
    """Return the names, with the first free number on repeated ones (``a-b`` of ``a,b`` and of ``a b``)."""
    taken = set(names)
    unique: list[str] = []
    for name in names:
        free = (f"{name}_{number}" for number in itertools.count(2))
        chosen = next(other for other in free if other not in taken) if name in unique else name
        taken.add(chosen)
        unique.append(chosen)
    return unique


def _flat(settings: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, object]]:
    for key, value in settings.items():
        if isinstance(value, Mapping):
            yield from _flat(cast(Mapping[str, Any], value), f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", present_name(value) if key == "_target_" else value
