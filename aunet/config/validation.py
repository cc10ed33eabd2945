"""Checks of a configuration against the schema: only known keys, every value of its type and within its rule."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass
from functools import cache
from types import NoneType, UnionType
from typing import Any, cast, get_args, get_origin, get_type_hints

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import ConfigKeyError, ConfigTypeError, KeyValidationError, OmegaConfBaseException

from aunet.config.rules import Rule
from aunet.config.schema import RunConfig
from aunet.errors import UserError
from aunet.messages import did_you_mean


def convert_types(config: DictConfig) -> DictConfig:
    """Return ``config`` with every value converted to the schema's type, interpolations kept.

    Raises:
        UserError: for an unknown key, with the key it may have meant, or a value of another type.
    """
    _check_groups(config)
    _check_containers(config)
    try:
        return cast(DictConfig, OmegaConf.merge(_schema(), config))
    except ConfigKeyError as error:
        key = str(error.full_key)
        remedy = _package_remedy(config, key) or did_you_mean(key, list_known_keys())
        raise UserError(f"{key}: there is no such key.{remedy}") from None
    except KeyValidationError as error:
        group, _, name = str(error.full_key).rpartition(".")
        raise UserError(
            f"{group}: {name} is not a name. Write names first, then values, as in '{group}={{spleen: 1}}'."
        ) from None
    except OmegaConfBaseException as error:
        key = str(error.full_key)
        value = OmegaConf.select(config, key, throw_on_resolution_failure=False)
        raise UserError(f"{key}={_shown(value)}: {key.partition('[')[0]} must be {type_of_key(key)}.") from None


def list_known_keys() -> list[str]:
    """Return every dotted key of the schema."""
    return [key for key, _, _ in _schema_entries(RunConfig)]


def list_unknown_keys(config: DictConfig) -> list[str]:
    """Return the dotted keys of ``config`` that the schema lacks; free containers, as of a network, hold any."""
    known = {key: type_ for key, type_, _ in _schema_entries(RunConfig)}
    groups = ["", *(key for key, type_ in known.items() if is_dataclass(type_))]
    unknown: list[str] = []
    for group in groups:
        node = node_at(config, group) if group else config
        names = map(str, node) if isinstance(node, DictConfig) else ()
        keys = (f"{group}.{name}" if group else name for name in names)
        unknown += [key for key in keys if key not in known and key != "hydra"]
    return unknown


def node_at(config: DictConfig, group: str) -> object:
    """Return the node of a group; None if it refers to nothing, or its own group is a list or a single value."""
    try:
        return OmegaConf.select(config, group, throw_on_missing=False, throw_on_resolution_failure=False)
    except ConfigTypeError:
        return None


def check_rules(values: Mapping[str, object]) -> None:
    """Raise UserError for a key without a value, and for the first value that breaks its rule.

    ``values`` are plain containers, resolved and typed.
    """
    for key, _, rule in _schema_entries(RunConfig):
        value = _at(values, key)
        if value == "???":
            raise UserError(f"{key} has no value. Give it {type_of_key(key)}: {key}=…")
        is_split = isinstance(value, list) and not (rule and rule.is_of_list)
        entries: Sequence[object] = cast(list[object], value) if is_split else [value]
        for entry in entries:
            if rule is not None and entry is not None and not _obeys(entry, rule):
                subject = "each entry" if is_split else "it"
                raise UserError(f"{key}={_shown(value)}: {subject} must be {rule.words}.")


@cache
def _schema() -> DictConfig:
    """Return the schema as a configuration, which takes 10 ms to build; ``merge`` copies it without changing it."""
    return OmegaConf.structured(RunConfig)


def _package_remedy(config: DictConfig, key: str) -> str:
    """Return the remedy if a part of the network landed beside it because its YAML file names no package."""
    group, _, part = key.partition(".")
    if group != "model" or node_at(config, f"{key}._target_") is None:
        return ""
    return f" A file of conf/model/{part}/ begins with the line '# @package model.network.{part}', above any other."


def _check_groups(config: DictConfig) -> None:
    """Raise UserError for a word in place of a group of keys (``trainer=fast`` if trainer has no options)."""
    for name, type_ in get_type_hints(RunConfig).items():
        value = "???" if OmegaConf.is_missing(config, name) else node_at(config, name)
        if is_dataclass(type_) and name in config and not OmegaConf.is_dict(value):
            raise UserError(f"{name}={_shown(value)}: {name} is a group of keys. Give one of them: {name}.<key>=….")


def _check_containers(config: DictConfig) -> None:
    """Raise UserError for a list or keys where a single value is needed, or the reverse.

    OmegaConf takes some of them, such as a list within a list of numbers, and names no key for others.
    """
    plain: Any = OmegaConf.to_container(config)
    for key, type_, _ in _schema_entries(RunConfig):
        value = _at_or_missing(plain, key)
        if not _has_containers_of(type_, value):
            raise UserError(f"{key}={_shown(value)}: {key} must be {type_of_key(key)}.")


def _has_containers_of(type_: object, value: object) -> bool:
    """Return whether lists and keys of ``value`` are where ``type_`` has them; text may be an interpolation."""
    arguments = get_args(type_)
    if type_ is Any or value is None or isinstance(value, str):
        return True
    if isinstance(value, list):
        entries = cast(list[object], value)
        lists = [member for member in (type_, *arguments) if get_origin(member) is list]
        return any(all(_has_containers_of(get_args(member)[0], entry) for entry in entries) for member in lists)
    members = arguments if isinstance(type_, UnionType) else (type_,)
    has_keys = any(get_origin(member) is dict or is_dataclass(member) for member in members)
    has_single = any(
        get_origin(member) is None and not is_dataclass(member) for member in members if member is not NoneType
    )
    return has_keys if isinstance(value, dict) else has_single


def _obeys(value: object, rule: Rule) -> bool:
    try:
        return rule.holds(value)
    except (ArithmeticError, AttributeError, TypeError, ValueError):  # of a value that the rule does not know
        return False


def _schema_entries(schema: type, prefix: str = "") -> Iterator[tuple[str, object, Rule | None]]:
    """Yield dotted key, type and rule of every key below ``schema``, groups included."""
    types = get_type_hints(schema)
    for entry in fields(schema):
        key, type_ = prefix + entry.name, types[entry.name]
        yield key, type_, entry.metadata.get("rule")
        if is_dataclass(type_):
            yield from _schema_entries(cast(type, type_), key + ".")


def _at(values: Mapping[str, object], key: str) -> object:
    group, _, rest = key.partition(".")
    return _at(cast(Mapping[str, object], values[group]), rest) if rest else values[group]


def _at_or_missing(values: object, key: str) -> object:
    """Return the value at ``key``; None if it or its group is missing."""
    for name in key.split("."):
        values = cast(dict[str, object], values).get(name) if isinstance(values, dict) else None
    return values


_WORDS = {
    "int": "a whole number",
    "float": "a number",
    "str": "text",
    "bool": "true or false",
    "dict": "keys with values such as {name: 1}",
    "NoneType": "null",
    "Any": "a value",
}


def type_of_key(key: str) -> str:
    """Return the type of the schema's ``key`` in words (``a whole number``); for a list's entry, the list's type."""
    types = {name: type_ for name, type_, _ in _schema_entries(RunConfig)}
    type_ = types.get(key.partition("[")[0])
    members = getattr(type_, "__args__", (type_,)) if getattr(type_, "__origin__", None) is None else (type_,)
    return " or ".join(_words(member) for member in members)


def _words(type_: object) -> str:
    name = getattr(getattr(type_, "__origin__", None) or type_, "__name__", "")
    if name == "list":
        return f"a list in brackets, each {_words(get_args(type_)[0])}"
    return _WORDS.get(name, "a group of keys")


def _shown(value: object) -> str:
    plain = OmegaConf.to_container(value) if OmegaConf.is_config(value) else value
    return "null" if plain is None else str(plain)
