"""Hydra's own keys: those that aunet obeys, and the folders of the user's YAML files (``hydra.searchpath``)."""

from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import cast

from hydra.core.config_search_path import ConfigSearchPath
from hydra.core.plugins import Plugins
from hydra.plugins.search_path_plugin import SearchPathPlugin

from aunet.config.words import key_of, parse_word, path_of
from aunet.errors import UserError
from aunet.messages import did_you_mean

SEARCH_PATH = "hydra.searchpath"
OBEYED = (
    *("hydra.run.dir", "hydra.sweep.dir", "hydra.job.name", SEARCH_PATH, "hydra.sweeper.params"),
    *("hydra/launcher", "hydra.launcher"),
)
# Keys that a YAML file may set as well, and their values if nobody does. Others are refused as words only.
_UNUSED: Mapping[str, tuple[object, ...]] = {
    "mode": (None, "RUN"),
    "sweep.subdir": ("${hydra.job.num}",),
    "job.chdir": (None, False),
    "job.env_set": ({},),
    "job.env_copy": ([],),
    "output_subdir": (".hydra",),
    "verbose": (False,),
    "callbacks": ({},),
}
_own_folders: ContextVar[tuple[str, ...]] = ContextVar("own_folders", default=())


class OwnFolders(SearchPathPlugin):
    """The part of Hydra's search path that ``searching`` sets; it precedes the folders of aunet."""

    def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
        """Put the user's folders first, in their order."""
        for folder in reversed(_own_folders.get()):
            search_path.prepend(provider="own", path=folder)


@contextmanager
def searching(folders: Sequence[str]) -> Generator[None]:
    """Let Hydra look for YAML files in ``folders`` first, until the block ends."""
    Plugins.instance().register(OwnFolders)
    token = _own_folders.set(tuple(folders))
    try:
        yield
    finally:
        _own_folders.reset(token)


def split_search_path(overrides: Sequence[str], values: Sequence[object]) -> tuple[list[str], list[str]]:
    """Return the folders that ``hydra.searchpath`` names, as URLs, and the other overrides.

    Args:
        overrides: words of a command.
        values: the parsed values of those words whose key is ``hydra.searchpath``.

    Raises:
        UserError: there is no such folder.
    """
    folders: list[str] = []
    for value in values:
        if not isinstance(value, list):
            raise UserError(f"{SEARCH_PATH}={value}: it must be a list in brackets, such as [/my/settings].")
        folders += [_url(str(text)) for text in cast(list[object], value)]
    return folders, [text for text in overrides if key_of(text) != SEARCH_PATH]


def _url(text: str) -> str:
    if text.startswith("pkg://"):
        return text
    folder = path_of(text.removeprefix("file://"))
    if not folder.is_dir():
        raise UserError(
            f"{SEARCH_PATH} or --config-dir: {folder}: no such folder. Give one with YAML files, such as"
            " data/mine.yaml."
        )
    return f"file://{folder.absolute()}"


def check_hydra_words(overrides: Sequence[str]) -> None:
    """Raise UserError for the first word that sets a key of Hydra's that aunet does not use."""
    for text in overrides:
        key = parse_word(text).key
        is_obeyed = key in OBEYED or key.startswith("hydra.launcher.") or key.startswith("hydra.sweeper.params.")
        if key.startswith(("hydra.", "hydra/")) and not is_obeyed:
            raise _unused(text, key)


def check_hydra_values(hydra: Mapping[str, object]) -> None:
    """Raise UserError for the first of Hydra's keys that a YAML file sets though aunet does not use it."""
    for key, usual in _UNUSED.items():
        value: object = hydra
        for name in key.split("."):
            value = value.get(name) if isinstance(value, Mapping) else None
        if value not in usual:
            raise _unused(f"hydra.{key}={value}", f"hydra.{key}")


def _unused(text: str, key: str) -> UserError:
    return UserError(
        f"{text}: aunet does not use {key}.{did_you_mean(key, OBEYED)} Leave it out; of Hydra's keys, aunet obeys"
        f" {', '.join(OBEYED)}."
    )
