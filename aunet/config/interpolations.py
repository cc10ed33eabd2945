"""The interpolations that a configuration may hold: references to its own keys, and resolvers that read nothing else.

OmegaConf's ``oc.env`` would carry environment secrets into run folders and trackers, and ``oc.decode`` and
``oc.create`` evaluate text a second time; a run folder from a stranger could hold any of them.
"""

from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, cast

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import InterpolationResolutionError
from omegaconf.grammar.gen.OmegaConfGrammarParser import OmegaConfGrammarParser
from omegaconf.grammar_parser import parse

from aunet.errors import UserError

ALLOWED_RESOLVERS = ("recipe_of_root", "now", "oc.select")


def recipe_of_root(root: str | None) -> str:
    """Return the recipe of a dataset: that for scans if their folder is given, else the phantom's.

    Examples:
        >>> recipe_of_root(None)
        'phantom'
    """
    return "scans" if root else "phantom"


OmegaConf.register_new_resolver("recipe_of_root", recipe_of_root, replace=True)


def strings_in(value: object, key: str = "") -> Iterator[tuple[str, str]]:
    """Yield every string below ``value`` with its dotted key, such as ``data.classes[2].name``."""
    if isinstance(value, str):
        yield key, value
    elif isinstance(value, Mapping):
        for name, child in cast(Mapping[object, object], value).items():
            yield from strings_in(child, f"{key}.{name}" if key else str(name))
    elif isinstance(value, Sequence):
        for index, child in enumerate(cast(Sequence[object], value)):
            yield from strings_in(child, f"{key}[{index}]")


def check_interpolations(config: DictConfig) -> None:
    """Raise UserError, before any resolver is called, for one outside ``ALLOWED_RESOLVERS``."""
    for key, text in strings_in(OmegaConf.to_container(config, resolve=False)):
        if "${" in text:
            _check_text(key, text)


@contextmanager
def named_references() -> Generator[None]:
    """Raise UserError for a reference to nothing in the block."""
    try:
        yield
    except InterpolationResolutionError as error:
        reason = str(error).splitlines()[0]
        raise UserError(f"{error.full_key}: {reason}. Refer to a key that exists, as in ${{data.name}}.") from None


def _check_text(key: str, text: str) -> None:
    for name in _resolver_names(parse(text)):
        if name not in ALLOWED_RESOLVERS:
            raise UserError(
                f"{key}: {text!r} calls the resolver {name!r}, which is not allowed. Write the value itself, "
                f"refer to another key as in ${{data.name}}, or use {' or '.join(ALLOWED_RESOLVERS)}."
            )


def _resolver_names(tree: Any) -> Iterator[str]:
    """Yield the names of the resolvers that a parsed text calls, at any depth; an interpolated name as written."""
    if isinstance(tree, OmegaConfGrammarParser.InterpolationResolverContext):
        name: Any = tree.resolverName()
        yield name.getText()
    for child in tree.getChildren() if hasattr(tree, "getChildren") else ():
        yield from _resolver_names(child)
