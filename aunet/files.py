"""Files that exist completely or not at all: written beside their place, then renamed into it."""

import glob
import json
import os
import re
import shutil
from collections.abc import Generator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any, cast
from uuid import uuid4

from aunet.errors import UserError, is_disk_full
from aunet.machine import lock_file

_REMAINDER = re.compile(r"\.[0-9a-f]{8}-.+")
# An object of JSON as it was read; whoever uses a value checks it.
JsonObject = dict[str, Any]


@contextmanager
def replaced_atomically(path: Path) -> Generator[Path]:
    """Yield a temporary file path in the folder of ``path``; on success the file written there replaces ``path``.

    The temporary name keeps the suffixes of ``path``, for writers that choose a format by them.
    On an error, Ctrl-C or a full disk the old file stays and the temporary one is removed.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{uuid4().hex[:8]}-{path.name}")
    try:
        with _errors_named(path):
            yield temporary
            _flush_to_disk(temporary)
            temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def remove_remainders(*paths: Path) -> None:
    """Delete what killed processes left of writing ``paths`` by ``replaced_atomically``; for holders of a lock."""
    for path in paths:
        for remainder in path.parent.glob(f".????????-{glob.escape(path.name)}"):
            remainder.unlink(missing_ok=True)


def remove_all_remainders(folder: Path) -> None:
    """Delete what killed processes left of writing files and folders in and below ``folder``; for holders of a lock."""
    for remainder in folder.rglob(".????????-*"):
        if _REMAINDER.fullmatch(remainder.name):
            shutil.rmtree(remainder) if remainder.is_dir() else remainder.unlink(missing_ok=True)


@contextmanager
def folder_created_atomically(folder: Path) -> Generator[Path]:
    """Yield a temporary folder beside ``folder``, which it becomes on success.

    If another process was faster and ``folder`` exists by then, its content is kept: both wrote the same.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = folder.with_name(f".{uuid4().hex[:8]}-{folder.name}")
    temporary.mkdir()
    try:
        with _errors_named(folder):
            yield temporary
            _flush_files_in(temporary)
            _rename_unless_present(temporary, folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


@contextmanager
def folder_replaced_atomically(folder: Path) -> Generator[Path]:
    """Yield a temporary folder beside ``folder``, which it replaces on success; on an error the old one stays."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = folder.with_name(f".{uuid4().hex[:8]}-{folder.name}")
    replaced = temporary.with_name(f"{temporary.name}-replaced")
    temporary.mkdir()
    try:
        with _errors_named(folder):
            yield temporary
            _flush_files_in(temporary)
            if folder.exists():
                folder.rename(replaced)
            temporary.rename(folder)
    finally:
        for rest in (temporary, replaced):
            shutil.rmtree(rest, ignore_errors=True)


@contextmanager
def held_alone(lock: Path) -> Generator[None]:
    """Wait until no other process or thread holds ``lock``, a file made for this; a process that dies releases it.

    The lock only saves duplicate work: if the file system cannot lock, nobody waits.
    """
    lock.parent.mkdir(parents=True, exist_ok=True)
    with lock.open("wb") as file:
        with suppress(OSError):
            lock_file(file.fileno(), is_waiting=True)
        yield


def check_writable(folder: Path, name: str) -> None:
    """Raise UserError, beginning with ``name``, unless files can be written to ``folder``, which may be new."""
    nearest = next(path for path in (folder, *folder.absolute().parents) if os.path.exists(path))  # noqa: PTH110
    if not nearest.is_dir():
        raise UserError(f"{name}: {nearest} is a file. Give a folder, which may be new.")
    if not (os.access(nearest, os.W_OK | os.X_OK) and _takes_files(nearest)):
        raise UserError(f"{name}: {nearest} is not writable. Change its permissions, or give another folder.")


def _takes_files(folder: Path) -> bool:
    """Return whether a file can be made in ``folder``: root may write anywhere, but /proc and such take none."""
    try:
        with TemporaryFile(dir=folder):
            return True
    except OSError as error:
        return is_disk_full(error)  # which is another fault, with a message of its own


def write_text(path: Path, text: str) -> None:
    """Replace the content of ``path`` by ``text`` (UTF-8) in one step."""
    with replaced_atomically(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_bytes(path: Path, content: bytes) -> None:
    """Replace the content of ``path`` by ``content`` in one step."""
    with replaced_atomically(path) as temporary:
        temporary.write_bytes(content)


def write_json(path: Path, content: Mapping[str, object]) -> None:
    """Replace the content of ``path`` by ``content`` as indented JSON; raise ValueError for NaN, which JSON lacks."""
    write_text(path, json.dumps(content, indent=2, allow_nan=False) + "\n")


def read_json(file: Path, remedy: str) -> Any:
    """Read ``file``, with or without a byte order mark; raise UserError, ending in ``remedy``, if it is not JSON."""
    try:
        text = file.read_text(encoding="utf-8-sig")
        content: Any = json.loads(text)
        if "\\ud" in text.lower():  # perhaps half a character, which no file or terminal takes
            json.dumps(content, ensure_ascii=False).encode()
        return content
    except OSError as error:
        raise UserError(f"{file}: cannot be read ({error.strerror}). {remedy}") from None
    except (ValueError, RecursionError) as error:
        raise UserError(f"{file}: not valid JSON ({error}). {remedy}") from None


def read_json_object(file: Path, remedy: str) -> JsonObject:
    """Read ``file`` as ``read_json`` does; raise UserError, ending in ``remedy``, unless it holds one JSON object."""
    content = read_json(file, remedy)
    if not isinstance(content, dict):
        raise UserError(f"{file}: not a JSON object. {remedy}")
    return cast(JsonObject, content)


def read_json_if_sound(file: Path) -> JsonObject:
    """Return the JSON object in ``file``; empty if the file is missing, half-written or damaged."""
    try:
        return read_json_object(file, "")
    except UserError:
        return {}


@contextmanager
def _errors_named(path: Path) -> Generator[None]:
    """Name ``path`` in an error that names no file: one of writing to an open file, as on a full disk, names none."""
    try:
        yield
    except OSError as error:
        if error.errno is not None and error.filename is None:
            error.filename = str(path)
        raise


def _rename_unless_present(temporary: Path, folder: Path) -> None:
    try:
        temporary.rename(folder)
    except OSError:
        if not folder.is_dir():
            raise


def _flush_files_in(folder: Path) -> None:
    for path in folder.rglob("*"):
        if path.is_file():
            _flush_to_disk(path)


def _flush_to_disk(path: Path) -> None:
    with path.open("r+b") as file:  # Windows flushes no file that is open for reading only
        os.fsync(file.fileno())
