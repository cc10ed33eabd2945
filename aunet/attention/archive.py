"""Files of an attention recording: coefficients and pictures of some epochs, statistics of all.

attention/statistics.csv                     a row per epoch, case, level and map
attention/volumes/<case_id>/epoch_0012.npz   coefficients in 8 bits
attention/scans/<case_id>.npz                the image and label below them, for the viewer of the report
attention/pictures/<case_id>/epoch_0012.png  picture of the coefficients
attention/film_<case_id>.png                 epochs side by side
"""

import csv
import io
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

from aunet.attention.film import Frame
from aunet.errors import UserError
from aunet.files import write_text
from aunet.inference.coefficient_files import read_coefficients, write_coefficients
from aunet.inference.coefficients import LevelCoefficients
from aunet.reporting.pictures.planes import LabelledScan
from aunet.reporting.viewer.stored_scan import store_scan, write_scan
from aunet.runs.epoch_rows import read_epochs, read_rows_before
from aunet.runs.inner_folders import AttentionFolder


class AttentionArchive:
    """The folder ``attention/`` of a run, with volumes and pictures of at most ``max_epochs_kept`` epochs."""

    def __init__(self, folder: Path, max_epochs_kept: int) -> None:
        if max_epochs_kept < 2:
            raise UserError(
                f"attention.max_epochs_kept={max_epochs_kept}: the first and the last epoch are kept; give 2 or more."
            )
        self._folder = AttentionFolder(folder)
        self._max_epochs_kept = max_epochs_kept

    def picture_path(self, case_id: str, epoch: int) -> Path:
        """Return the path of the picture of a case and epoch."""
        return self._folder.picture(case_id, epoch)

    def film_path(self, case_id: str) -> Path:
        """Return the path of the contact sheet of a case."""
        return self._folder.film(case_id)

    def write_scan(self, case_id: str, scan: LabelledScan) -> None:
        """Write the image and label that the coefficients of a case lie on, unless an earlier epoch has."""
        if not (path := self._folder.scan(case_id)).is_file():
            write_scan(path, store_scan(scan))

    def write_volumes(self, case_id: str, epoch: int, levels: Sequence[LevelCoefficients]) -> None:
        """Write the coefficients of one case and epoch, rounded to 1/255 of each map's largest value."""
        write_coefficients(self._folder.volume(case_id, epoch), levels)

    def read_volumes(self, case_id: str, epoch: int) -> list[LevelCoefficients]:
        """Read what ``write_volumes`` wrote, finest level first."""
        return read_coefficients(self._folder.volume(case_id, epoch))

    def read_frames(self, case_id: str, epochs: Sequence[int]) -> list[Frame]:
        """Read the coefficients of a case at ``epochs``, for a film."""
        return [Frame(epoch, self.read_volumes(case_id, epoch)) for epoch in epochs]

    def replace_statistics(self, epoch: int, rows: Sequence[Mapping[str, float | str]]) -> None:
        """Write the ``rows`` of ``epoch``, replacing those that an interrupted run left of this and later epochs."""
        earlier = read_rows_before(self._folder.statistics, epoch)
        table = io.StringIO()
        writer = csv.DictWriter(table, fieldnames=list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows([*earlier, *({name: _cell(value) for name, value in row.items()} for row in rows)])
        write_text(self._folder.statistics, table.getvalue())

    def recorded_epochs(self) -> list[int]:
        """Return all epochs with statistics, in order."""
        return sorted(set(read_epochs(self._folder.statistics)))

    def kept_epochs(self) -> list[int]:
        """Return the epochs with volumes and pictures, in order."""
        return sorted({AttentionFolder.epoch_of(path) for path in self._folder.volumes})

    def remove_surplus(self) -> None:
        """Delete volumes and pictures beyond the limit, and those of epochs that have no statistics (any more)."""
        kept = set(epochs_to_keep(self.recorded_epochs(), self._max_epochs_kept))
        for path in (*self._folder.volumes, *self._folder.pictures):
            if AttentionFolder.epoch_of(path) not in kept:
                path.unlink()


def epochs_to_keep(epochs: Sequence[int], limit: int) -> list[int]:
    """Return at most ``limit`` of ``epochs`` (ascending), always with the first and the last.

    Every epoch is kept at first, then every 2nd, 4th, ... as their number grows. The stride only doubles, so an epoch
    kept now was kept at all earlier times: no deleted epoch is missed later.
    """
    step = _stride(len(epochs), limit)
    return [epoch for number, epoch in enumerate(epochs) if number % step == 0 or number == len(epochs) - 1]


def _stride(count: int, limit: int) -> int:
    """Return the smallest power of two that leaves at most ``limit`` of ``count`` epochs, the last one included."""
    step = 1
    while (count - 2) // step + 2 > limit:
        step *= 2
    return step


def _cell(value: float | str) -> float | str:
    """Format a number with six significant digits, NaN as an empty cell; return text unchanged."""
    if isinstance(value, float):
        return "" if math.isnan(value) else f"{value:.6g}"
    return value
