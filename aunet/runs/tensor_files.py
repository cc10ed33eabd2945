"""Reading of files of tensors that torch wrote, without executing anything that they hold."""

from pathlib import Path
from typing import Any

import torch


class UnreadableTensorsError(Exception):
    """A file that cannot be read as tensors and plain values.

    Attributes:
        is_foreign: whether it is sound, but holds objects of other kinds.
    """

    def __init__(self, reason: str, *, is_foreign: bool = False) -> None:
        super().__init__(reason)
        self.is_foreign = is_foreign


def read_tensors(path: Path, device: str = "cpu") -> Any:
    """Return what torch saved in ``path``: tensors, on ``device``, and plain values.

    Raises:
        UnreadableTensorsError: the file is damaged, or holds objects that only executing it would restore.
    """
    try:
        return torch.load(path, map_location=device, weights_only=True)
    # Damaged pickles end in errors of any kind, as torch's reader trusts the order of their instructions.
    except Exception as error:  # noqa: BLE001
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise UnreadableTensorsError(reason, is_foreign="Unsupported global" in str(error)) from None
