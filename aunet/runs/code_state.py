"""The code of a run: the commit of the checkout, and the changes since."""

import logging
import subprocess
from dataclasses import dataclass
from pathlib import Path

from aunet.files import replaced_atomically

_log = logging.getLogger(__name__)
_LARGEST_PATCH_BYTES = 2 * 2**20


@dataclass(frozen=True)
class CodeState:
    """Commit of the checkout that holds this code, with ``+changes`` if files differ from it, and the difference.

    ``commit`` is None outside a checkout; ``patch`` is input for ``git apply``, empty if nothing differs.
    """

    commit: str | None
    patch: bytes


def read_code_state(source: Path = Path(__file__)) -> CodeState:
    """Return the state of the checkout in which ``source`` is a tracked file."""
    folder = source.parent
    try:
        _git(folder, "ls-files", "--error-unmatch", source.name)
        commit = _git(folder, "rev-parse", "HEAD").decode().strip()
        patch = _git(folder, "diff", "--binary", "--no-color", "--no-ext-diff", "--no-textconv", "HEAD")
    except (OSError, subprocess.CalledProcessError):
        return CodeState(None, b"")
    return CodeState(commit + ("+changes" if patch else ""), patch)


def keep_patch(folder: Path, patch: bytes) -> str | None:
    """Write ``patch`` to ``changes.patch`` and return the file's name; None if it is empty or too large.

    The patch of an earlier part of a run stays: other changes get a number (``changes_2.patch``).
    """
    if len(patch) > _LARGEST_PATCH_BYTES:
        _log.warning("The code differs from its commit by %.1f MiB: too much to keep.", len(patch) / 2**20)
    if not patch or len(patch) > _LARGEST_PATCH_BYTES:
        return None
    path, number = folder / "changes.patch", 1
    while path.is_file() and path.read_bytes() != patch:
        number += 1
        path = folder / f"changes_{number}.patch"
    with replaced_atomically(path) as temporary:
        temporary.write_bytes(patch)
    return path.name


def _git(folder: Path, *words: str) -> bytes:
    return subprocess.run(["git", "-C", str(folder), *words], capture_output=True, check=True).stdout
