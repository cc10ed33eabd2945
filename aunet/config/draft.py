"""A configuration before its data are read, of a new run or from a run's folder, and the folder's ``config.yaml``."""

from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

import yaml
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from aunet.config.composition import (
    compose_config,
    resolve_config,
    to_plain,
    use_present_names,
    without_hydra,
)
from aunet.config.history import fill_added_keys, use_folder_names
from aunet.config.other_versions import adapt_config
from aunet.config.printing import print_config
from aunet.config.schema import DataConfig, DatasetFacts, ModelConfig, Plain, RunConfig, TrainerConfig, as_plain
from aunet.config.trust import NETWORK_ALONE
from aunet.config.validation import node_at
from aunet.config.words import path_of
from aunet.errors import UserError
from aunet.files import write_text
from aunet.messages import shortened
from aunet.runs.run_folder import RunFolder, is_run_folder, runs_inside

_RESTORE = "Restore the run's own file."
# A YAML error may quote a line of any length.
_LONGEST_REASON = 500
# For the sections of a configuration whose data are not read yet; nothing is built from them.
_STAND_INS: Mapping[str, object] = {
    "in_channels": 1,
    "num_classes": 2,
    "class_names": ["background", "foreground"],
    "modality": "ct",
    "spatial_dims": 3,
    "spacing": [1.0, 1.0, 1.0],
    "patch_size": [16, 16, 16],
    "batch_size": 1,
}


class Draft:
    """The configuration of a run whose data have not been read: typed, and checked without building anything.

    Stand-ins replace the facts of the data that are not known yet; a value that refers to one is known only after
    ``with_facts``.

    Args:
        config: as composed, or as read from a run's folder; interpolations unresolved.
        built: the parts that the caller builds (see ``check_targets``); None for all.

    Raises:
        UserError: unless all keys are known, values obey their type and rule, and targets are allowed.
    """

    def __init__(self, config: DictConfig, built: Sequence[str] | None = None) -> None:
        self._config, self._built = config, built
        missing = {key: value for key, value in _STAND_INS.items() if not self._has(f"dataset.{key}")}
        self._known = frozenset(_STAND_INS) - frozenset(missing)
        self._sections = resolve_config(config, missing, built)

    @property
    def data(self) -> DataConfig:
        """Return the section of the data; its augmentation may hold stand-ins."""
        return self._sections.data

    @property
    def model(self) -> ModelConfig:
        """Return the section of the network, whose arguments may hold stand-ins."""
        return self._sections.model

    @property
    def trainer(self) -> TrainerConfig:
        """Return the section of the trainer."""
        return self._sections.trainer

    @property
    def dataset(self) -> DatasetFacts:
        """Return the facts of the data: stand-ins except those that ``is_known``."""
        return self._sections.dataset

    @property
    def seed(self) -> int:
        """Return the seed of the run."""
        return self._sections.seed

    @property
    def resume(self) -> Path | None:
        """Return the folder of the run to continue; None for a new one."""
        return None if self._sections.resume is None else path_of(self._sections.resume)

    @property
    def init(self) -> str | None:
        """Return the weights to start from, as the user named them."""
        return self._sections.init

    @property
    def init_overlap(self) -> str:
        """Return whether weights that have seen test cases are refused or allowed."""
        return self._sections.init_overlap

    @property
    def trusted_modules(self) -> list[str]:
        """Return the user's own modules that a target may name."""
        return self._sections.trusted_modules

    @property
    def logger_as_plain(self) -> Plain:
        """Return the section of the trackers as plain values."""
        return self.as_plain()["logger"]

    @property
    def logger_group(self) -> str | None:
        """Return the group under which the tracker files the run."""
        return self._sections.logger.group

    @property
    def run_folder(self) -> Path:
        """Return the folder of a new run, ``hydra.run.dir``."""
        return self._folder_at("hydra.run.dir")

    @property
    def sweep_parameters(self) -> Mapping[str, object]:
        """Return the lists of values, by key, that a study sets in ``hydra.sweeper.params``; empty for others."""
        return self._config.hydra.sweeper.get("params") or {}

    @property
    def experiment(self) -> str:
        """Return the chosen option of ``experiment``; empty without one."""
        return str(self._config.hydra.runtime.choices.get("experiment") or "")

    @property
    def sweep_folder(self) -> Path:
        """Return the folder of a sweep or a search, ``hydra.sweep.dir``."""
        return self._folder_at("hydra.sweep.dir")

    @property
    def launcher(self) -> str:
        """Return the name of the chosen ``hydra/launcher``."""
        return str(self._config.hydra.runtime.choices["hydra/launcher"])

    @property
    def launcher_settings(self) -> Mapping[str, object]:
        """Return the settings of the chosen ``hydra/launcher``, which are its own."""
        return to_plain(self._config.hydra).get("launcher", {})

    def is_known(self, fact: str) -> bool:
        """Return whether the configuration holds this fact of the data, as that of a begun run does."""
        return fact in self._known

    def with_facts(self, facts: DatasetFacts | None = None) -> RunConfig:
        """Return the whole configuration with ``facts``, by default those that it holds.

        Raises:
            UserError: a fact is missing, or a value that refers to one breaks its rule.
        """
        return resolve_config(self._config, {} if facts is None else asdict(facts), self._built)

    def with_values(self, values: Mapping[str, object]) -> "Draft":
        """Return a draft in which ``values``, by their dotted keys, replace those of this one, checked again."""
        config = self._config.copy()
        OmegaConf.set_struct(config, False)
        for key, value in values.items():
            OmegaConf.update(config, key, value, merge=False)
        return Draft(config, self._built)

    def as_plain(self, *, is_resolved: bool = False) -> Plain:
        """Return plain containers, without Hydra's keys; unless ``is_resolved``, interpolations stay as written."""
        return to_plain(without_hydra(self._config), resolve=is_resolved)

    def print(self, part: str, *, is_resolved: bool) -> None:
        """Write a part of the configuration to stdout (see ``print_config``)."""
        print_config(self._config, part, is_resolved=is_resolved)

    def _folder_at(self, key: str) -> Path:
        try:
            return path_of(str(OmegaConf.select(self._config, key)))
        except OmegaConfBaseException as error:
            reason = str(error).splitlines()[0]
            raise UserError(f"{key}: {reason}. Write a path, or refer to a key as in runs/${{model.name}}.") from None

    def _has(self, key: str) -> bool:
        return node_at(self._config, key) is not None


def compose_draft(words: Sequence[str], built: Sequence[str] | None = None) -> Draft:
    """Compose and check the configuration of a new run from ``conf/`` and the overrides ``words``.

    Raises:
        UserError: as ``compose_config`` and ``Draft``, and for a fold of a run that is tested on another dataset.
    """
    draft = Draft(compose_config(words), built)
    _check_tested_cases(draft.data)
    return draft


def load_draft(
    run_folder: Path, trusted_modules: Sequence[str] = (), built: Sequence[str] | None = NETWORK_ALONE
) -> Draft:
    """Read and check ``config.yaml`` of a run's folder, which may come from a stranger.

    Args:
        run_folder: holds the file.
        trusted_modules: modules that the caller's user trusts; those that the file names are not trusted.
        built: the parts that the caller builds (see ``check_targets``); None for all.

    Raises:
        UserError: naming the file, if it cannot be read or a check fails.
    """
    config = _read_config(run_folder, trusted_modules)
    with _naming(RunFolder(run_folder).config):
        if built is not None:  # a training needs all keys, and knows all that it continues with
            adapt_config(config, run_folder)
        return Draft(config, built)


def load_run_config(run_folder: Path, trusted_modules: Sequence[str] = ()) -> RunConfig:
    """Return the configuration of a trained run, of which only the network may be built.

    Raises:
        UserError: as ``load_draft``, and for a missing fact of the data.
    """
    config = _read_config(run_folder, trusted_modules)
    with _naming(RunFolder(run_folder).config):
        adapt_config(config, run_folder)
        return resolve_config(config, {}, NETWORK_ALONE)


def write_run_config(config: RunConfig, run_folder: Path) -> None:
    """Write ``config.yaml``, the whole configuration, to a run's folder."""
    write_text(RunFolder(run_folder).config, yaml.safe_dump(as_plain(config), sort_keys=False))


def _check_tested_cases(data: DataConfig) -> None:
    """Raise UserError if both a fold and another dataset are named as the test cases.

    Folds of one cross-validation would all be tested on the same cases, which a comparison counts once. A run of an
    earlier version that has both still loads.
    """
    if data.fold is not None and data.test_on is not None:
        raise UserError(
            f"data.fold={data.fold} with data.test_on={data.test_on}: a fold is a part of the dataset itself to test,"
            " but data.test_on tests another dataset, the same cases in every fold. Leave one of them out; for other"
            " training cases give another data.split.seed."
        )


@contextmanager
def _naming(file: Path) -> Generator[None]:
    """Prefix the message of a UserError with the file; raise it too if the file is nested too deeply to be checked."""
    try:
        yield
    except UserError as error:
        raise UserError(f"{file}: {error}") from None
    except RecursionError:
        raise UserError(f"{file}: nested too deeply. {_RESTORE}") from None


def _nearby_runs(path: Path) -> str:
    """Return the remedy for a path that is not a run's folder: the run that it lies in, or those that it holds."""
    if around := next((folder for folder in path.parents if is_run_folder(folder)), None):
        return f"It lies in the run {around}: give that folder."
    inside = [folder.name for folder in runs_inside(path)]
    found = f" It holds {shortened(inside)}." if inside else ""
    return f"Give the folder that training printed; 'aunet runs FOLDER' lists the runs in a folder.{found}"


def _read_config(run_folder: Path, trusted_modules: Sequence[str]) -> DictConfig:
    """Return ``config.yaml`` with the keys that were added since it was written, not yet checked."""
    file = RunFolder(run_folder).config
    if not file.is_file():
        raise UserError(f"{run_folder}: not a run folder, as it has no {file.name}. {_nearby_runs(run_folder)}")
    try:
        config = OmegaConf.load(file)
    # OmegaConf asserts the types of what it reads, and Python limits the digits of whole numbers.
    except (yaml.YAMLError, OmegaConfBaseException, ValueError, AssertionError, OSError, RecursionError) as error:
        reason = " ".join(str(error).split())[:_LONGEST_REASON]
        raise UserError(f"{file} cannot be read as plain YAML: {reason}. {_RESTORE}") from None
    if not isinstance(config, DictConfig):
        raise UserError(f"{file} holds no keys. Give a run's folder as training left it.")
    config["trusted_modules"] = list(trusted_modules)
    with _naming(file):
        use_present_names(config)
        fill_added_keys(config)
        use_folder_names(config)
    return config
