"""The configuration of a run: composed from ``conf/`` or read from a run's folder, checked, and resolved."""

import re
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import yaml
from hydra import compose, initialize_config_dir
from hydra.core.config_loader import ConfigLoader
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException

from aunet.config.former_names import present_name
from aunet.config.history import fill_added_keys
from aunet.config.interpolations import check_interpolations, strings_in
from aunet.config.overrides import (
    check_keys,
    check_options,
    options_of,
    parse_overrides,
    split_parsed_sweep,
    with_mappings_replaced,
)
from aunet.config.trust import check_targets
from aunet.config.validation import check_rules, known_keys, typed
from aunet.errors import UserError
from aunet.runs.run_folder import RunFolder

# Parts of a configuration for ``check_targets``: those that a prediction builds, those that reading a dataset builds.
NETWORK_ALONE = ("model.network",)
SOURCE_ALONE = ("data.source",)

# Only for checking a configuration before its data are read; nothing is built from them.
_STAND_IN_FACTS: Mapping[str, Any] = {
    "in_channels": 1,
    "num_classes": 2,
    "class_names": ["background", "foreground"],
    "modality": "ct",
    "spatial_dims": 3,
    "spacing": [1.0, 1.0, 1.0],
    "patch_size": [16, 16, 16],
    "batch_size": 1,
}


def compose_config(overrides: Sequence[str], config_folder: Path | None = None) -> DictConfig:
    """Compose a run's configuration from ``conf/train.yaml`` and ``overrides``, with Hydra's own keys under ``hydra``.

    Raises:
        UserError: if an override has an unknown key, option or type, naming it and the nearest known one.
    """
    with _config_loader(config_folder) as loader:
        parsed = parse_overrides(overrides, loader)
        check_options(parsed, loader)
        try:
            composed = _compose(with_mappings_replaced(parsed, loader))
        except UserError:
            check_keys(parsed, _keys_to_choose_from(parsed, loader), loader)
            raise
    with open_dict(composed):
        hydra_keys = composed.pop("hydra")
    config = OmegaConf.create({**_plain(typed(composed)), "hydra": hydra_keys})
    _use_present_names(config)
    OmegaConf.set_struct(config, True)
    return config


def split_sweep(overrides: Sequence[str], config_folder: Path | None = None) -> list[list[str]]:
    """Return the overrides of each job of ``-m overrides``: for ``model=unet,attention`` two lists of one."""
    with _config_loader(config_folder) as loader:
        return split_parsed_sweep(parse_overrides(overrides, loader))


def parsed_overrides(overrides: Sequence[str], config_folder: Path | None = None) -> list[Override]:
    """Return the overrides as Hydra parses them; raise UserError naming the first that it refuses."""
    with _config_loader(config_folder) as loader:
        return parse_overrides(overrides, loader)


def load_run_config(
    run_folder: Path, trusted_modules: Sequence[str] = (), built: Sequence[str] | None = NETWORK_ALONE
) -> DictConfig:
    """Read and check ``config.yaml`` of a run's folder, which may come from a stranger.

    Only ``trusted_modules``, which the caller's user gave, are trusted, not those that the file names.
    ``built`` is passed to ``check_targets``.
    """
    config = _read_run_config(run_folder, trusted_modules)
    with _naming(RunFolder(run_folder).config):
        check_config(config, built)
    return config


def load_run_settings(run_folder: Path, trusted_modules: Sequence[str] = ()) -> dict[str, Any]:
    """Return the settings of a trained run as ``resolve_config`` does, of which only the network may be built.

    Raises:
        UserError: as ``load_run_config``, and for a missing fact of the dataset.
    """
    config = _read_run_config(run_folder, trusted_modules)
    with _naming(RunFolder(run_folder).config):
        return resolve_config(config, {}, NETWORK_ALONE)


@contextmanager
def _naming(file: Path) -> Generator[None]:
    """Prefix the message of a UserError with the file."""
    try:
        yield
    except UserError as error:
        raise UserError(f"{file}: {error}") from None


def _read_run_config(run_folder: Path, trusted_modules: Sequence[str]) -> DictConfig:
    """Return ``config.yaml`` with the keys that were added since it was written, not yet checked."""
    file = RunFolder(run_folder).config
    if not file.is_file():
        raise UserError(
            f"{run_folder}: not a run folder, as it has no {file.name}. Give the folder that training printed."
        )
    try:
        config = OmegaConf.load(file)
    except (yaml.YAMLError, OmegaConfBaseException, UnicodeDecodeError, OSError) as error:
        reason = " ".join(str(error).split())
        raise UserError(f"{file} cannot be read as plain YAML: {reason}") from None
    if not isinstance(config, DictConfig):
        raise UserError(f"{file} holds no keys. Give a run's folder as training left it.")
    config["trusted_modules"] = list(trusted_modules)
    _use_present_names(config)
    fill_added_keys(config)
    return config


def _use_present_names(config: DictConfig) -> None:
    """Replace the former names of targets, so that equal settings of an older and a newer run are equal text."""
    for key, text in strings_in(OmegaConf.to_container(config)):
        if key.endswith("._target_") and present_name(text) != text:
            OmegaConf.update(config, key, present_name(text))


def check_config(config: DictConfig, built: Sequence[str] | None = None) -> None:
    """Raise UserError unless all keys are known, values obey their type and rule, and targets are allowed.

    Nothing is built and, outside the allowed modules, nothing is imported. Stand-ins replace facts of the dataset that
    are not known yet. ``built`` is passed to ``check_targets``.
    """
    missing = [key for key in _STAND_IN_FACTS if OmegaConf.select(config, f"dataset.{key}") is None]
    resolve_config(config, {key: _STAND_IN_FACTS[key] for key in missing}, built)


def resolve_config(
    config: DictConfig, dataset_facts: Mapping[str, Any], built: Sequence[str] | None = None
) -> dict[str, Any]:
    """Return plain containers of ``config``, checked, with ``dataset_facts`` and every interpolation filled in.

    Build from these only, and only the parts ``built`` (see ``check_targets``): nothing else was checked.
    Hydra's own keys are left out.
    """
    own = OmegaConf.masked_copy(config, [str(key) for key in config if key != "hydra"])
    check_interpolations(own)
    complete = typed(own)
    complete["dataset"].update(dataset_facts)
    for key in sorted(OmegaConf.missing_keys(complete["dataset"])):
        raise UserError(
            f"dataset.{key} has no value. It is known once the data are read; a run's config.yaml holds it."
        )
    values = _plain(typed(OmegaConf.create(_plain(complete, resolve=True))))
    for key, text in strings_in(values):
        if "${" in text:
            raise UserError(
                f"{key}: {text!r} still holds an interpolation after its value was put in. Write it plainly."
            )
    check_rules(values)
    check_targets(values, values["trusted_modules"], built)
    return values


@contextmanager
def _config_loader(folder: Path | None) -> Generator[ConfigLoader]:
    """Yield Hydra's loader for ``folder``, or for our ``conf/``: inside the package, or beside it in a checkout."""
    package = Path(__file__).resolve().parents[1]
    folders = [folder] if folder else [package / "conf", package.parent / "conf"]
    found = next((path for path in folders if (path / "train.yaml").is_file()), None)
    if found is None:
        raise UserError(f"No train.yaml in {' or '.join(map(str, folders))}. Install aunet again, or name its folder.")
    with initialize_config_dir(version_base="1.3", config_dir=str(found.resolve())):
        yield GlobalHydra.instance().config_loader()


def _compose(overrides: Sequence[str]) -> DictConfig:
    try:
        return compose("train", overrides=list(overrides), return_hydra_config=True)
    except (HydraException, OmegaConfBaseException, yaml.YAMLError) as error:
        reason = " ".join(str(error).split())
        absent = re.match(r"Could not override '(\w+)/(\w+)'", reason)
        if absent:
            group, part = absent.groups()
            raise UserError(
                f"{group}/{part}: the chosen {group} has no {part}. Choose a {group}= that has one."
            ) from error
        raise UserError(f"The configuration cannot be composed: {reason}") from error


def _keys_to_choose_from(overrides: Sequence[Override], loader: ConfigLoader) -> set[str]:
    """Return every key of the schema and of the groups chosen by ``overrides``."""
    choices = [str(override.input_line) for override in overrides if options_of(override, loader)]
    return _dotted_keys(_plain(_compose(choices))) | set(known_keys())


def _dotted_keys(values: Mapping[str, Any], prefix: str = "") -> set[str]:
    """Return every key of nested plain containers, groups included."""
    keys = {f"{prefix}{name}" for name in values}
    for name, child in values.items():
        if isinstance(child, Mapping):
            keys |= _dotted_keys(cast(Mapping[str, Any], child), f"{prefix}{name}.")
    return keys


def _plain(config: DictConfig, resolve: bool = False) -> dict[str, Any]:
    try:
        return cast(dict[str, Any], OmegaConf.to_container(config, resolve=resolve))
    except OmegaConfBaseException as error:
        raise UserError(f"{error.full_key}: {str(error).splitlines()[0]}. Give the key it refers to a value.") from None
