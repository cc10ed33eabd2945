"""The configuration of a run composed from ``conf/``, and its resolution into typed sections."""

import re
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import cast

import yaml
from hydra import compose, initialize_config_dir
from hydra.core.config_loader import ConfigLoader
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException

from aunet.config.history import present_name
from aunet.config.hydra_keys import (
    SEARCH_PATH,
    check_hydra_values,
    check_hydra_words,
    searching,
    split_search_path,
)
from aunet.config.interpolations import check_interpolations, named_references, strings_in
from aunet.config.overrides import (
    check_keys,
    check_options,
    options_of,
    parse_overrides,
    parse_values,
    split_parsed_sweep,
    with_mappings_replaced,
)
from aunet.config.schema import Plain, RunConfig
from aunet.config.trust import check_targets
from aunet.config.validation import check_rules, convert_types, list_known_keys, type_of_key
from aunet.config.words import check_paths, key_of, quote
from aunet.errors import UserError


def compose_config(overrides: Sequence[str], config_folder: Path | None = None) -> DictConfig:
    """Compose a run's configuration from ``conf/train.yaml`` and ``overrides``, with Hydra's own keys under ``hydra``.

    Raises:
        UserError: if an override has an unknown key, option or type, naming it and the nearest known one.
    """
    check_hydra_words(overrides)
    check_paths(overrides)
    own_folders, words = _split_search_path(overrides)
    with _config_loader(config_folder, own_folders) as loader:
        parsed = parse_overrides(words, loader)
        check_options(parsed, loader)
        try:
            composed = _compose(with_mappings_replaced(parsed, loader))
        except UserError:
            check_keys(parsed, _list_keys(parsed, loader), loader)
            raise
    with open_dict(composed):
        hydra_keys = composed.pop("hydra")
    check_hydra_values(to_plain(hydra_keys))
    config = OmegaConf.create({**to_plain(convert_types(composed)), "hydra": hydra_keys})
    use_present_names(config)
    _pass_on_folders(config, own_folders)
    OmegaConf.set_struct(config, True)
    return config


def split_sweep(overrides: Sequence[str], config_folder: Path | None = None) -> list[list[str]]:
    """Return the overrides of each job of ``-m overrides``: for ``model=unet,attention`` two lists of one.

    Examples:
        >>> split_sweep(["model=unet,attention", "seed=0"])
        [['model=unet', 'seed=0'], ['model=attention', 'seed=0']]
    """
    own_folders, words = _split_search_path(overrides)
    with _config_loader(config_folder, own_folders) as loader:
        jobs = split_parsed_sweep(parse_overrides(words, loader))
    return [[*job, *(text for text in overrides if text not in words)] for job in jobs]


def parsed_overrides(overrides: Sequence[str], config_folder: Path | None = None) -> list[Override]:
    """Return the overrides as Hydra parses them; raise UserError naming the first that it refuses."""
    own_folders, words = _split_search_path(overrides)
    with _config_loader(config_folder, own_folders) as loader:
        return parse_overrides(words, loader)


def use_present_names(config: DictConfig) -> None:
    """Replace the former names of targets, so that equal settings of an older and a newer run are equal text."""
    for key, text in strings_in(OmegaConf.to_container(config)):
        if key.endswith("._target_") and present_name(text) != text:
            OmegaConf.update(config, key, present_name(text))


def _pass_on_folders(config: DictConfig, own_folders: Sequence[str]) -> None:
    """Let the words of ``data.test_on`` find the user's YAML files too, unless they name folders themselves."""
    words: Sequence[str] | None = OmegaConf.select(config, "data.test_on", throw_on_resolution_failure=False)
    if words and own_folders and SEARCH_PATH not in map(key_of, words):
        config.data.test_on = [*words, f"{SEARCH_PATH}=[{','.join(map(quote, own_folders))}]"]


def resolve_config(
    config: DictConfig, dataset_facts: Mapping[str, object], built: Sequence[str] | None = None
) -> RunConfig:
    """Return the typed sections of ``config``, checked, with ``dataset_facts`` and every interpolation filled in.

    Build from these only, and only the parts ``built`` (see ``check_targets``): nothing else was checked. Outside the
    allowed modules nothing is imported. Hydra's own keys are left out.

    Raises:
        UserError: for an unknown key, a missing value, one that breaks its type or rule, or a target not allowed.
    """
    own = without_hydra(config)
    check_interpolations(own)
    complete = convert_types(own)
    complete["dataset"].update(dataset_facts)
    with named_references():
        missing_facts = sorted(OmegaConf.missing_keys(complete["dataset"]))
    for key in missing_facts:
        raise UserError(
            f"dataset.{key} has no value. It is known once the data are read; a run's config.yaml holds it."
        )
    resolved = _fill_in(complete)
    values = to_plain(resolved)
    for key, text in strings_in(values):
        if "${" in text:
            raise UserError(
                f"{key}: {text!r} still holds an interpolation after its value was put in. Write it plainly."
            )
    check_rules(values)
    # OmegaConf's mark of a missing value, within a list or keys; others may refer to the shortest key
    if missing := sorted((key for key, text in strings_in(values) if text == "???"), key=len):
        raise UserError(f"{missing[0]} has no value. Give it one, or leave it out.")
    check_targets(values, resolved.trusted_modules, built)
    return cast(RunConfig, OmegaConf.to_object(resolved))


def _fill_in(config: DictConfig) -> DictConfig:
    """Return the typed ``config`` with the value of each interpolation in its place, which changes ``config``."""
    try:
        OmegaConf.resolve(config)
    except OmegaConfBaseException:  # converting again takes seven times as long, and names the key
        return convert_types(OmegaConf.create(to_plain(config, resolve=True)))
    return config


def without_hydra(config: DictConfig) -> DictConfig:
    """Return ``config`` without Hydra's own keys: itself if it has none, else a copy, which takes longer."""
    if "hydra" not in config:
        return config
    return OmegaConf.masked_copy(config, [str(key) for key in config if key != "hydra"])


@contextmanager
def _config_loader(folder: Path | None, own_folders: Sequence[str]) -> Generator[ConfigLoader]:
    """Yield Hydra's loader for ``folder``, or for our ``conf/``: inside the package, or beside it in a checkout.

    Files of ``own_folders`` (URLs) precede those.
    """
    package = Path(__file__).resolve().parents[1]
    folders = [folder] if folder else [package / "conf", package.parent / "conf"]
    found = next((path for path in folders if (path / "train.yaml").is_file()), None)
    if found is None:
        raise UserError(f"No train.yaml in {' or '.join(map(str, folders))}. Install aunet again, or name its folder.")
    with searching(own_folders), initialize_config_dir(version_base="1.3", config_dir=str(found.resolve())):
        yield GlobalHydra.instance().config_loader()


def _split_search_path(overrides: Sequence[str]) -> tuple[list[str], list[str]]:
    given = [text for text in overrides if key_of(text) == SEARCH_PATH]
    return split_search_path(overrides, list(parse_values(given).values()))


def _compose(overrides: Sequence[str]) -> DictConfig:
    try:
        return compose("train", overrides=list(overrides), return_hydra_config=True)
    # Hydra raises ValueError for ~model=1, RecursionError for one that is nested too deeply; OmegaConf asserts types.
    except (
        HydraException,
        OmegaConfBaseException,
        yaml.YAMLError,
        ValueError,
        AssertionError,
        RecursionError,
    ) as error:
        reason = " ".join(str(error).split())
        absent = re.match(r"Could not override '(\w+)/(\w+)'", reason)
        if absent:
            group, part = absent.groups()
            raise UserError(
                f"{group}/{part}: the chosen {group} has no {part}. Choose a {group}= that has one."
            ) from error
        if present := re.match(r"Could not append to config. An item is already at '([^']+)'", reason):
            raise UserError(f"+{present[1]}: this key exists already. Write {present[1]}=… without the +.") from error
        if mistyped := re.match(r"Error merging override ([\w./]+)=(.*)", reason):
            key, value = mistyped.groups()
            kind = "text" if key.startswith("hydra.") else type_of_key(key)
            raise UserError(f"{key}={value}: {key} must be {kind}.") from error
        if null := re.match(r"Could not delete from config. '([^']+)' does not exist", reason):
            raise UserError(
                f"~{null[1]}: this key has no value to remove. To unset it, write {null[1]}=null."
            ) from error
        raise UserError(f"The configuration cannot be composed: {reason}") from error
    except OSError as error:  # OmegaConf's, for a file of one word, which it does not name; others have a number
        if error.errno is not None:
            raise
        raise UserError(
            f"The configuration cannot be composed: one of its YAML files holds no keys ({error}). Write `key: value`"
            " on each of its lines."
        ) from error


def _list_keys(overrides: Sequence[Override], loader: ConfigLoader) -> set[str]:
    """Return every key of the schema and of the groups chosen by ``overrides``."""
    choices = [str(override.input_line) for override in overrides if options_of(override, loader)]
    return _dotted_keys(to_plain(_compose(choices))) | set(list_known_keys())


def _dotted_keys(values: Mapping[str, object], prefix: str = "") -> set[str]:
    """Return every key of nested plain containers, groups included."""
    keys = {f"{prefix}{name}" for name in values}
    for name, child in values.items():
        if isinstance(child, Mapping):
            keys |= _dotted_keys(cast(Mapping[str, object], child), f"{prefix}{name}.")
    return keys


def to_plain(config: DictConfig, resolve: bool = False) -> Plain:
    """Return plain containers; unless ``resolve``, interpolations stay as written."""
    try:
        return cast(Plain, OmegaConf.to_container(config, resolve=resolve))
    except OmegaConfBaseException as error:
        raise UserError(f"{error.full_key}: {str(error).splitlines()[0]}. Give the key it refers to a value.") from None
