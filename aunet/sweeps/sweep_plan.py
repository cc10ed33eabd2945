"""The jobs of a sweep and their folders: the same command finds the same folders again."""

import hashlib
import itertools
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from aunet.config.composition import split_sweep
from aunet.config.draft import compose_draft
from aunet.config.history import present_name
from aunet.config.words import key_of, parse_word, quote
from aunet.errors import UserError
from aunet.files import read_json_object, write_json
from aunet.sweeps.job import Job

_NOT_IN_NAMES = re.compile(r"[^\w.=+-]+")
_LONGEST_NAME = 100
_PLAN = "sweep.json"
_RESTORE = "Restore it, or give the sweep a folder of its own: hydra.job.name=another_name."


@dataclass(frozen=True)
class SweepPlan:
    """The jobs of a sweep, its folder, the settings of Hydra's launcher, and the study's name.

    ``study`` is the experiment that lists the jobs in ``hydra.sweeper.params``; empty if the command lists them.
    """

    folder: Path
    jobs: tuple[Job, ...]
    launcher: str
    launcher_settings: Mapping[str, object]
    study: str = ""


def plan_sweep(overrides: Sequence[str]) -> SweepPlan:
    """Compose and check every job of ``-m overrides``, without writing anything."""
    own_lists = split_sweep(overrides)
    study, axes = _study_axes(own_lists[0], {key_of(word) for word in overrides})
    lists = split_sweep([*overrides, *axes]) if axes else own_lists
    varying = {word for words in lists for word in words if not all(word in others for others in lists)}
    keys = _short_keys({key_of(word) for word in varying})
    name_of_sweep = name_sweep(overrides, study or "sweep", [] if study else sorted(keys.values()))
    drafts = [compose_draft([*words, *name_of_sweep]) for words in lists]
    launcher, folder = check_launcher(drafts[0].launcher), drafts[0].sweep_folder
    names = _unique([_name(_shortened(words, keys)) or "job" for words in lists])
    jobs = (Job.of_sweep(words, folder / name, draft) for words, name, draft in zip(lists, names, drafts, strict=True))
    return SweepPlan(folder, tuple(jobs), launcher, drafts[0].launcher_settings, study)


def write_plan(plan: SweepPlan) -> None:
    """Write ``sweep.json`` and each job's configuration.

    Raises:
        UserError: a job of that name was begun with other settings.
    """
    path = plan.folder / _PLAN
    before = read_json_object(path, _RESTORE) if path.is_file() else {}
    if wrong := [name for name, settings in before.items() if not isinstance(settings, dict)]:
        raise UserError(f"{path}: {wrong[0]} is not the settings of a job. {_RESTORE}")
    for job in plan.jobs:
        check_unchanged(job, before.get(job.name))
    write_json(path, before | {job.name: job.plain for job in plan.jobs})
    for job in plan.jobs:
        job.prepare()


def check_unchanged(job: Job, before: Mapping[str, object] | None) -> None:
    """Raise UserError if the settings ``before`` of the run in the job's folder differ from the job's."""
    then, now = dict(_flat(job.plain if before is None else before)), dict(_flat(job.plain))
    changed = sorted(key for key in then.keys() | now.keys() if then.get(key) != now.get(key))
    if changed:
        key = changed[0]
        raise UserError(
            f"{job.folder}: was begun with {key}={then.get(key)}, and now {key}={now.get(key)}. Restore it, or give"
            " the sweep a folder of its own: hydra.job.name=another_name."
        )


def name_sweep(overrides: Sequence[str], kind: str, keys: Sequence[str]) -> list[str]:
    """Return the override that names a sweep after ``overrides``, in any order; none if the user named it."""
    if any(key_of(word) in ("hydra.job.name", "hydra.sweep.dir") for word in overrides):
        return []
    own = sorted(word for word in overrides if not key_of(word).startswith(("hydra.", "hydra/")))
    identity = hashlib.sha256("\0".join(own).encode()).hexdigest()[:6]
    name = "_".join(filter(None, (kind, "-".join(keys), identity)))
    return [f"hydra.job.name={quote(_NOT_IN_NAMES.sub('-', name))}"]


def check_launcher(name: str) -> str:
    """Return the name of a ``hydra/launcher``; raise UserError for an unsupported one."""
    if name not in ("basic", "submitit_slurm"):
        raise UserError(
            f"hydra/launcher={name}: aunet starts the jobs of a sweep itself. Leave it out for processes of this"
            " machine, or write hydra/launcher=submitit_slurm."
        )
    return name


def _study_axes(words: Sequence[str], overridden: Collection[str]) -> tuple[str, list[str]]:
    """Return the name of the experiment that lists its jobs in ``hydra.sweeper.params``, and its lists as overrides.

    A list whose key is ``overridden`` on the command line is left out. Without such an experiment both are empty.
    """
    draft = compose_draft(words)
    lists = draft.sweep_parameters
    if not lists:
        return "", []
    return draft.experiment or "study", [f"{key}={values}" for key, values in lists.items() if key not in overridden]


def _short_keys(keys: Collection[str]) -> dict[str, str]:
    """Return the last part of each key, or the whole key if another has the same last part."""
    last = {key: key.rpartition(".")[2] for key in keys}
    return {key: name if list(last.values()).count(name) == 1 else key for key, name in last.items()}


def _shortened(words: Sequence[str], keys: Mapping[str, str]) -> list[str]:
    """Shorten the overrides whose keys vary, as in ``lr=0.1`` for ``optimizer.factory.lr=0.1``, and sort them."""
    return sorted(f"{keys[key_of(word)]}={parse_word(word).written or ''}" for word in words if key_of(word) in keys)


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


def _flat(settings: Mapping[str, object], prefix: str = "") -> Iterator[tuple[str, object]]:
    for key, value in settings.items():
        if isinstance(value, Mapping):
            yield from _flat(cast(Mapping[str, object], value), f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", present_name(str(value)) if key == "_target_" else value
