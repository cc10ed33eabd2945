"""A step whose loss is NaN or infinite: it ends the run, or it is skipped and leaves no trace in the network."""

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from aunet.data.patches.sampling import Batch
from aunet.errors import UserError
from aunet.files import replaced_atomically
from aunet.runs.run_folder import RunFolder


class NonFiniteLossError(Exception):
    """A loss that is NaN or infinite; ``batch`` is the step's batch as it came from the loader."""

    def __init__(self, step: int, batch: Batch) -> None:
        super().__init__(f"the loss of step {step} is not finite; its cases are {names_of_cases(batch)}")
        self.step = step
        self.batch = batch


def names_of_cases(batch: Batch) -> str:
    """Return the ids of the cases of a batch, for messages."""
    return ", ".join(batch["case_id"])


def copy_buffers(network: nn.Module) -> list[Tensor]:
    """Return copies of the buffers of ``network``, such as the running statistics of batch norms."""
    return [buffer.clone() for buffer in network.buffers()]


def restore_buffers(network: nn.Module, buffers: Sequence[Tensor]) -> None:
    """Put back what ``copy_buffers`` returned: a single NaN would stay in running statistics for good."""
    for buffer, before in zip(network.buffers(), buffers, strict=True):
        buffer.copy_(before)


def save_failed_batch(error: NonFiniteLossError, folder: Path) -> UserError:
    """Save the batch whose loss is not finite, and return an error that names the remedies."""
    path = RunFolder(folder).failed_batch
    with replaced_atomically(path) as temporary:
        torch.save({"step": error.step, **error.batch}, temporary)
    return UserError(
        f"{folder}: {error}. The batch, before augmentation, is in {path.name}; the checkpoint before it stays. Look at"
        " these cases, lower optimizer.factory.lr, set trainer.precision=float32, or skip such steps in a new run with"
        " trainer.on_nonfinite=skip."
    )
