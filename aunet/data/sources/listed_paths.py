"""Paths that a table or ``dataset.json`` lists, which may come from another system."""

import re
import unicodedata
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import TypeVar

from aunet.data.io.dicom_files import is_folder_of_files
from aunet.errors import UserError

_WINDOWS = re.compile(r"[A-Za-z]:[\\/]|\\\\")
_FORMS = ("NFC", "NFD")
_SLICER_ENDING = ".seg"
_Files = TypeVar("_Files")


def plain_name(name: str) -> str:
    """Return a name with composed accents (NFC), as systems store one and the same name in two forms."""
    return unicodedata.normalize("NFC", name)


def without_slicer_ending(files: Mapping[str, _Files], known: Collection[str] = ()) -> dict[str, _Files]:
    """Return ``files`` by their names, less the ending .seg of 3D Slicer's segmentations.

    ``case.seg.nrrd`` is the label map of the scan ``case``, unless that has another one or ``case.seg`` is ``known``.
    """
    plain = {name: name.removesuffix(_SLICER_ENDING) for name in files}
    return {name if name in known or plain[name] in files else plain[name]: found for name, found in files.items()}


def listed_path(name: str, folder: Path, place: str) -> Path:
    """Return the path that ``name`` means, relative to ``folder`` unless it is absolute; it need not exist.

    Backslashes and the other form of accents are tried if the path as written does not exist.

    Raises:
        UserError: naming ``place``, for an absolute path of Windows that does not exist here.
    """
    slashed = name.replace("\\", "/")
    names = [name, *(unicodedata.normalize(form, text) for text in (name, slashed) for form in _FORMS), slashed]
    paths = [folder / Path(text).expanduser() for text in dict.fromkeys(names)]
    if found := next((path for path in paths if _exists(path)), None):
        return found
    if _WINDOWS.match(name):
        raise UserError(
            f"{place}: {name} is a path of Windows, which is not there. Write it relative to {folder}, with slashes:"
            " images/case.nii.gz."
        )
    return paths[-1] if "\\" in name else paths[0]


def nearby_root(root: Path, is_root: Callable[[Path], bool]) -> str:
    """Return the remedy if the folder around ``root``, or one in it, is the dataset's; empty if none is."""
    try:
        near = [root.resolve().parent, *sorted(path for path in root.iterdir() if path.is_dir())]
        found = next((path for path in near if is_root(path)), None)
    except OSError:  # a folder that may not be read
        return ""
    return "" if found is None else f" Did you mean data.root={found}?"


def is_inside(path: Path, folder: Path, place: str, name: str) -> bool:
    """Return whether ``path``, links followed, lies in ``folder``; raise UserError for a link that leads to itself."""
    try:
        return path.resolve().is_relative_to(folder.resolve())
    except (OSError, RuntimeError, ValueError):
        raise UserError(f"{place}: {name} is a link that leads to itself. Put the file in its place.") from None


def _exists(path: Path) -> bool:
    try:
        return path.exists() or is_folder_of_files(path)
    except (OSError, ValueError):
        return False
