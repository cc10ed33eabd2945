"""The bytes of pictures that a tracker may hold, counted in the run's folder so that a resumed run counts on."""

import logging
from pathlib import Path

from aunet.files import read_json_if_sound, write_json

_log = logging.getLogger(__name__)


class MediaBudget:
    """The limit of all pictures of one tracker together.

    Args:
        name: of the tracker.
        limit: in bytes.
        file: JSON with the bytes of each tracker so far; made with the first picture.
    """

    def __init__(self, name: str, limit: float, file: Path) -> None:
        self._name = name
        self._limit = limit
        self._file = file
        self._is_full = False

    def take(self, size: int) -> bool:
        """Count a picture of ``size`` bytes and return True; return False if it and all later ones do not fit."""
        if self._is_full:
            return False
        counted = read_json_if_sound(self._file)
        before = counted.get(self._name)
        total = size + (before if isinstance(before, int) else 0)
        if total > self._limit:
            self._is_full = True
            _log.warning(
                "%s holds as many pictures as logger.media_mib allows; further ones are only in the run's folder.",
                self._name,
            )
            return False
        write_json(self._file, {**counted, self._name: total})
        return True
