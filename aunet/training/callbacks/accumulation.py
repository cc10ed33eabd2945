"""Optimizer steps over groups of batches (``trainer.accumulate``); the last group of an epoch may be smaller."""

from pytorch_lightning import Callback, LightningModule, Trainer
from torch.optim import Optimizer


def count_steps(num_batches: int, accumulate: int) -> int:
    """Return the optimizer steps of an epoch of ``num_batches``; as in Lightning, an incomplete group makes one too."""
    return -(-num_batches // accumulate)


def makes_step(trainer: Trainer, batch_idx: int) -> bool:
    """Return whether the batch with this index in its epoch completes a group, so that the optimizer steps."""
    return trainer.is_last_batch or (batch_idx + 1) % trainer.accumulate_grad_batches == 0


class GroupMean(Callback):
    """Callback that makes the gradient of every group the mean over the batches that it has.

    Lightning divides each loss by ``accumulate``, even in the shorter group at the end of an epoch and in a group from
    which a batch with a non-finite loss was left out. The gradient is corrected before it is clipped.
    """

    def __init__(self) -> None:
        self._num_batches = 0

    def on_before_zero_grad(self, trainer: Trainer, pl_module: LightningModule, optimizer: Optimizer) -> None:
        """Begin a group."""
        self._num_batches = 0

    def on_after_backward(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Count a batch that has a gradient."""
        self._num_batches += 1

    def on_before_optimizer_step(self, trainer: Trainer, pl_module: LightningModule, optimizer: Optimizer) -> None:
        """Rescale the gradients to the mean over the group's batches, instead of a sum divided by ``accumulate``."""
        if self._num_batches in (0, trainer.accumulate_grad_batches):
            return
        for group in optimizer.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    parameter.grad.mul_(trainer.accumulate_grad_batches / self._num_batches)
