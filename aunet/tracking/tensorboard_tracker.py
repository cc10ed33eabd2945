"""TensorBoard: event files in the folder ``tensorboard/`` of the run."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import yaml
from PIL import Image

from aunet.tracking.tracker import TrackedRun

if TYPE_CHECKING:
    import pandas as pd


class TensorBoardTracker:
    """A tracker with event files below ``tensorboard/`` of the run's folder; every part of an interrupted run adds one.

    Args:
        run: the run to show.
    """

    def __init__(self, run: TrackedRun) -> None:
        try:
            from torch.utils.tensorboard.writer import SummaryWriter
        except ModuleNotFoundError as error:
            raise ModuleNotFoundError(f"{error.name} is missing: pip install 'aunet[tensorboard]'") from None

        folder = run.folder / "tensorboard"
        self.description = f"tensorboard --logdir {folder}"
        self._writer = SummaryWriter(str(folder))
        self._writer.add_text("config", f"```\n{yaml.safe_dump(dict(run.settings), sort_keys=False)}```")

    def metrics(self, values: Mapping[str, float], epoch: int) -> None:
        """Write scalars, on disk at once."""
        for name, value in values.items():
            self._writer.add_scalar(name, value, epoch)
        self._writer.flush()

    def picture(self, key: str, path: Path, epoch: int | None = None) -> None:
        """Write an image."""
        with Image.open(path) as image:
            self._writer.add_image(key, np.asarray(image.convert("RGB")), epoch, dataformats="HWC")
        self._writer.flush()

    def table(self, key: str, table: "pd.DataFrame") -> None:
        """Write a table in Markdown, as text."""
        rows = [table.columns, ["---"] * len(table.columns), *table.itertuples(index=False)]
        self._writer.add_text(key, "\n".join("| " + " | ".join(map(str, row)) + " |" for row in rows))

    def keep_file(self, name: str, path: Path) -> None:
        """Do nothing: the run's folder, which contains the event files, has the file."""

    def finish(self) -> None:
        """Close the event file."""
        self._writer.close()
