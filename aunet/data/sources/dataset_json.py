"""The ``dataset.json`` with which the Decathlon and nnU-Net describe a dataset."""

from pathlib import Path

from aunet.data.sources.listed_paths import listed_path, nearby_root
from aunet.errors import UserError
from aunet.files import JsonObject, read_json


def read_dataset_json(file: Path) -> JsonObject:
    """Read the JSON object in ``file``; raise UserError if it is missing, unreadable or not a JSON object."""
    if not file.is_file():
        near = nearby_root(file.parent, lambda folder: (folder / file.name).is_file())
        raise UserError(
            f"{file}: not found. data.root must be the unpacked folder of a dataset, with dataset.json.{near}"
        )
    content = read_json(file, "Unpack the dataset again.")
    if not isinstance(content, dict):
        raise UserError(f"{file}: holds no JSON object. Unpack the dataset again.")
    return content


def file_named_in(file: Path, name: object) -> Path:
    """Return the file that ``name`` in ``file`` means: relative to its folder and, links followed, inside it.

    A dataset may come from a stranger, so the files that it names must be its own.
    """
    folder = file.parent
    if not isinstance(name, str) or not name or "\0" in name:
        raise UserError(f"{file}: {name!r} is not a path. Paths in it are text, relative to {folder}.")
    try:
        listed = listed_path(name, folder, str(file))
        path = listed.resolve()
        is_inside = path.is_relative_to(folder.resolve())
        is_file = is_inside and (path.is_file() or path.is_dir())
    except (OSError, RuntimeError):
        raise UserError(f"{file}: {name} is a link that leads to itself. Put the file in its place.") from None
    if not is_inside:
        raise UserError(f"{file}: {name} lies outside {folder}. Paths in it must stay inside that folder.")
    if not is_file:
        raise UserError(f"{file}: {name} is listed but not there. Unpack the dataset again.")
    return listed
