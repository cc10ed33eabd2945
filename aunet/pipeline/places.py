"""The folders that a run writes to: checked before it begins, and for each run its own."""

import itertools
from collections.abc import Sequence
from pathlib import Path

from aunet.config.draft import Draft
from aunet.config.schema import DataConfig
from aunet.config.words import key_of, path_of
from aunet.files import check_writable


def is_folder_named(words: Sequence[str]) -> bool:
    """Return whether a command names its run's folder; otherwise that is named after the time."""
    return any(key_of(word) == "hydra.run.dir" for word in words)


def claim_folder(folder: Path) -> Path:
    """Make and return ``folder``, or the first free of ``folder_2`` … if runs that started together took it."""
    for number in itertools.count(1):
        claimed = folder if number == 1 else folder.with_name(f"{folder.name}_{number}")
        try:
            claimed.mkdir(parents=True)
        except FileExistsError:
            continue
        return claimed
    raise AssertionError  # the count does not end


def check_places(draft: Draft, folder: Path) -> None:
    """Raise UserError unless the folder of the run and that of the prepared cases can be written to."""
    check_writable(folder, f"hydra.run.dir={folder}")
    check_cache(draft.data)


def check_cache(data: DataConfig) -> None:
    """Raise UserError unless the folder of the prepared cases can be written to."""
    cache = path_of(data.cache)
    check_writable(cache, f"data.cache={cache}")
