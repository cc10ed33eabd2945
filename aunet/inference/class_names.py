"""The file ``class_names.json`` in a folder of predicted label maps, which names their values."""

import json
from pathlib import Path

from aunet.classes import Labels
from aunet.errors import UserError
from aunet.files import write_json
from aunet.runs.run_folder import CLASS_NAMES


def write_class_names(folder: Path, labels: Labels) -> None:
    """Write the names in the order of their values; of regions also the values of which each consists."""
    regions = {name: list(labels.values_of(index)) for index, name in labels.foreground} if labels.regions else {}
    write_json(folder / CLASS_NAMES, {"class_names": list(labels.names)} | ({"regions": regions} if regions else {}))


def read_class_names(folder: Path) -> Labels | None:
    """Read the names that ``write_class_names`` wrote; None if it wrote nothing."""
    file = folder / CLASS_NAMES
    if not file.is_file():
        return None
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        names, regions = tuple(str(name) for name in content["class_names"]), content.get("regions", {})
        return Labels(names, tuple(tuple(int(value) for value in regions[name]) for name in names[1:] if regions))
    except (OSError, ValueError, KeyError, TypeError, RecursionError, UserError) as error:
        raise UserError(f"{file}: does not list the classes ({error}). Predict again, or give --classes.") from None
