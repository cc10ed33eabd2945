"""``aunet train --cfg``: the configuration of a run on stdout, as YAML, instead of the run."""

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from aunet.errors import UserError

if TYPE_CHECKING:
    from omegaconf import DictConfig, DictKeyType, ListConfig

# The parts that Hydra's own --cfg prints; plain --cfg prints the values that the run would use.
_PARTS = ("job", "hydra", "all")
_PLAIN = "values"


def split_cfg(words: Sequence[str]) -> tuple[str | None, bool, list[str]]:
    """Take ``--cfg``, ``--cfg job`` (also ``-c job``, ``--cfg=job``) and ``--resolve`` out of ``words``.

    Returns:
        The part to print (None: nothing), whether to replace interpolations, and the other words.
    """
    rest, part, is_resolved = list[str](), None, False
    remaining = list(words)
    while remaining:
        word = remaining.pop(0)
        name, equals, value = word.partition("=")
        if word == "--resolve":
            is_resolved = True
        elif name not in ("--cfg", "-c"):
            rest.append(word)
        elif equals:
            part = value
        else:
            part = remaining.pop(0) if remaining[:1] and remaining[0] in _PARTS else _PLAIN
    if part not in (None, _PLAIN, *_PARTS):
        raise UserError(f"--cfg={part}: it must be one of {', '.join(_PARTS)}, or be left out.")
    return part, is_resolved or part == _PLAIN, rest


def print_config(config: "DictConfig", part: str, *, is_resolved: bool) -> None:
    """Write ``config`` to stdout: the run's own keys, Hydra's, or all; values that depend on the data stay open."""
    from omegaconf import OmegaConf

    keys = [str(key) for key in config if part == "all" or (key == "hydra") == (part == "hydra")]
    shown: DictConfig = OmegaConf.masked_copy(config, keys)
    if is_resolved:
        shown = OmegaConf.create({key: _known_value(config, key) for key in keys})
    sys.stdout.write(OmegaConf.to_yaml(shown))


def _known_values(node: object) -> object:
    """Return ``node`` as plain containers, with every interpolation replaced whose value is already known."""
    from omegaconf import DictConfig, ListConfig

    if isinstance(node, DictConfig):
        return {str(key): _known_value(node, key) for key in node}
    return [_known_value(node, index) for index in range(len(node))] if isinstance(node, ListConfig) else node


def _known_value(node: "DictConfig | ListConfig", key: "DictKeyType") -> object:
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    if OmegaConf.is_missing(node, key):
        return "???"
    parent: Any = node
    try:
        return _known_values(parent[key])
    except OmegaConfBaseException:
        plain: Any = OmegaConf.to_container(node, resolve=False)
        return plain[key]
