"""Weights, gradients and optimizer state shared out among the ranks (FSDP): each keeps a part of every tensor."""

from collections.abc import Callable
from typing import Any

from pytorch_lightning import Callback, LightningModule, Trainer
from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.fsdp import fully_shard


class ShardedForward(nn.Module):
    """A training's forward pass through a network that is gathered for a step, and a part again for the optimizer.

    Sharded is this module and not the network itself, so that whoever calls the network, in a validation, takes part in
    nothing that all ranks must do at once.

    Args:
        forward: (network, image) -> what the loss is of.
        network: whose weights are shared out, as one unit.
        mesh: the ranks.
    """

    def __init__(self, forward: Callable[[nn.Module, Tensor], Any], network: nn.Module, mesh: DeviceMesh) -> None:
        super().__init__()
        self._forward = forward
        self.network = network
        for parameter in network.parameters():
            parameter.data = parameter.data.contiguous()  # parts of a channels-last tensor are not supported
        fully_shard(self, mesh=mesh, reshard_after_forward=False)

    def forward(self, image: Tensor) -> Any:
        """The forward pass."""
        return self._forward(self.network, image)


class WholeForValidation(Callback):
    """Keeps the network whole on every rank during a validation, in which ranks predict cases of their own, or none.

    It goes last among the callbacks.
    """

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Gather the weights."""
        _sharded(pl_module).unshard()

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Leave each rank its part."""
        _sharded(pl_module).reshard()


def _sharded(module: Any) -> Any:
    """The sharded forward pass of a ``SegmentationTask``."""
    return module.sharded_forward
