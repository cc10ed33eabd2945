"""How Lightning writes a checkpoint."""

from pathlib import Path
from typing import Any

import torch
from lightning_fabric.plugins import TorchCheckpointIO


class DirectFiles(TorchCheckpointIO):
    """Checkpoints written straight to their file, whose name the caller makes final.

    Lightning writes into memory, from there to a file in the system's temporary folder, and then moves that.
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None) -> None:
        """Write ``checkpoint`` to ``path``."""
        # An open file, because torch would write the name of a path, which is temporary, into the file.
        with Path(path).open("wb") as file:
            torch.save(checkpoint, file)
