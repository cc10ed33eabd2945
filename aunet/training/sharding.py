"""Weights, gradients and optimizer state sharded among the ranks (FSDP): each keeps a part of every tensor."""

from collections.abc import Callable
from typing import Any

from pytorch_lightning import Callback, LightningModule, Trainer
from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh


class ShardedForward(nn.Module):
    """A training's forward pass through a network that is gathered for a step and sharded again for the optimizer.

    This module is sharded instead of the network itself, so that a direct call of the network, as in a validation, is
    not an operation in which all ranks must take part at once.

    Args:
        forward: (network, image) -> input of the loss.
        network: its weights are sharded as one unit.
        mesh: the ranks.
    """

    def __init__(
        self, forward: Callable[[nn.Module, Tensor], list[Tensor]], network: nn.Module, mesh: DeviceMesh
    ) -> None:
        from torch.distributed.fsdp import fully_shard  # takes a third of a second, and other trainings need none of it

        super().__init__()
        self._forward = forward
        self.network = network
        for parameter in network.parameters():
            parameter.data = parameter.data.contiguous()  # parts of a channels-last tensor are not supported
        fully_shard(self, mesh=mesh, reshard_after_forward=False)

    def forward(self, image: Tensor) -> list[Tensor]:
        """Run the forward pass."""
        return self._forward(self.network, image)


class WholeForValidation(Callback):
    """Callback that keeps the network whole on every rank in a validation, where ranks predict their own cases, if any.

    It goes last among the callbacks.
    """

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Gather the weights."""
        _sharded(pl_module).unshard()

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Shard the weights again."""
        _sharded(pl_module).reshard()


def _sharded(module: Any) -> Any:
    """Return the sharded forward pass of a ``SegmentationTask``."""
    return module.sharded_forward
