"""The one grammar of Hydra words, ``key=value``, wherever the command line or a job takes them.

Hydra's own grammar applies to values. Beyond it, a text that Hydra refuses only because of its characters is quoted for
it: accents anywhere, and blanks, =, brackets and the like in the path of a file or folder. ``~`` at the start of a path
is the user's home wherever the path is used (see ``path_of``).
"""

import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from aunet.errors import UserError

# Keys whose value is the path of a file or folder.
PATH_KEYS = (
    *("resume", "extend", "init", "data.root", "data.cache", "data.fixes", "data.split.file", "data.region"),
    *("hydra.run.dir", "hydra.sweep.dir"),
)

_WORD = re.compile(r"\s*(?P<sign>\+\+|\+|~)?(?P<key>[^=]*?)\s*(?:=(?P<written>.*))?", re.DOTALL)
_SETTING = re.compile(r"(\+\+|\+|~)?[A-Za-z_]\w*([./@]\w+)*=")
# What Hydra reads as this text itself. A ~ inside quotes is one too, as ``path_of`` expands it later.
_PLAIN_PATH = re.compile(r"[A-Za-z_/.][\w/.:@%?*+\\-]*", re.ASCII)
_QUOTED = re.compile(r"""(['"])(.*)\1""", re.DOTALL)
# Characters by which Hydra structures a value; a text without them means itself.
_STRUCTURE = frozenset(",=[]{}()'\"$\\")


@dataclass(frozen=True)
class Word:
    """One override: its ``text``, its sign (``+``, ``++``, ``~`` or none), its key, and what follows the ``=``."""

    text: str
    sign: str
    key: str
    written: str | None

    @property
    def value(self) -> str | None:
        """Return the value as text without its quotes; None for ``null`` and for a word without ``=``."""
        return None if self.written is None or self.written.strip() == "null" else unquote(self.written)


def parse_word(text: str) -> Word:
    """Parse one word; a word without ``=`` is all key."""
    match = _WORD.fullmatch(text)
    assert match is not None  # the pattern takes any text
    return Word(text, match["sign"] or "", match["key"], match["written"])


def key_of(text: str) -> str:
    """Return the key of a word: ``seed`` of ``+seed=1``."""
    return parse_word(text).key


def last_value(words: Iterable[str], key: str) -> str | None:
    """Return the value of the last word with ``key``, as Hydra takes it; None if there is none or it is ``null``."""
    values = [word.value for word in map(parse_word, words) if word.key == key]
    return values[-1] if values else None


def check_paths(words: Iterable[str]) -> None:
    """Raise UserError for the first word whose value should be a path and is empty: ``.`` was not meant."""
    for word in map(parse_word, words):
        if word.key in PATH_KEYS and word.sign != "~" and word.value is not None and not word.value.strip():
            raise UserError(
                f"{word.text}: the path is empty, as if a shell variable were not set. Give a path, or"
                f" {word.key}=null for none."
            )


def is_setting(text: str) -> bool:
    """Return whether a word among files is a setting: written as one, and not the path of a file that exists."""
    return _SETTING.match(text) is not None and not _exists(Path(text))


def names_dataset(words: Iterable[str]) -> bool:
    """Return whether any of the words is a setting of a dataset, ``data=`` or ``data.…=``, rather than a file."""
    return any(is_setting(text) and re.match(r"data(\.|$)", key_of(text)) for text in words)


def path_of(text: str) -> Path:
    """Return the path that a value means: ``~`` is the user's home.

    Raises:
        UserError: it is empty, this user has no home, or no path can have such a name.
    """
    if not text.strip():
        raise UserError(f"{text!r}: the path is empty, as if a shell variable were not set. Give a path.")
    try:
        is_possible = b"\0" not in os.fsencode(text)
    except UnicodeEncodeError:
        is_possible = False
    if not is_possible:
        raise UserError(f"{text!r}: holds a character that no path can have. Write the path anew.")
    try:
        return Path(text).expanduser()
    except RuntimeError:
        raise UserError(f"{text}: this user has no home folder. Write the whole path instead of ~.") from None


def unquote(text: str) -> str:
    """Return what a value means as text: without the quotes around it, if any, and the backslashes that escape them."""
    match = _QUOTED.fullmatch(text.strip())
    if match is None:
        return text
    quote, inner = match.groups()
    return re.sub(rf"(\\+)(?={quote}|\Z)", lambda found: "\\" * (len(found[1]) // 2), inner)


def quote(text: str) -> str:
    r"""Return ``text`` as a quoted value of Hydra's grammar, which means exactly it.

    Examples:
        >>> print(quote("/scans/Müller, A"), quote("it's"))
        '/scans/Müller, A' 'it\'s'
    """
    escaped = re.sub(r"(\\*)('|\Z)", lambda found: found[1] * 2 + (r"\'" if found[2] else ""), text)
    return f"'{escaped}'"


def for_hydra(text: str) -> str:
    """Return a word as Hydra takes it: a value that it would refuse or split, but that means itself, is quoted.

    That is a text with accents, and the value of one of ``PATH_KEYS``. With a comma or ``glob(...)``, though, it is a
    sweep unless a file or folder has this very name.
    """
    word = parse_word(text)
    if word.written is None or word.sign == "~":
        return text
    written = word.written.strip()
    is_text = not written.isascii() and not _STRUCTURE & set(written)
    is_path = word.key in PATH_KEYS and _means_a_path(written)
    return f"{word.sign}{word.key}={quote(written)}" if is_text or is_path else text


def without_keys(words: Iterable[str], keys: Sequence[str]) -> list[str]:
    """Return the words with another key than ``keys``."""
    return [text for text in words if key_of(text) not in keys]


def _means_a_path(written: str) -> bool:
    """Return whether an unquoted value is a path that Hydra would not read as this text."""
    if written in ("", "null", "???") or "${" in written or _QUOTED.fullmatch(written):
        return False
    is_sweep = "," in written or re.match(r"(choice|glob|range|interval|shuffle|sort|tag)\(", written)
    return not _PLAIN_PATH.fullmatch(written) and (not is_sweep or _exists(path_of(written)))


def _exists(path: Path) -> bool:
    """Return whether ``path`` exists; one that cannot, as it is too long, does not."""
    try:
        return path.exists()
    except OSError:
        return False
