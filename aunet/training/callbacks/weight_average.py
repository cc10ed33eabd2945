"""An exponential moving average of the weights, which is validated, kept as the best checkpoint, and tested."""

from typing import Any

import torch
from pytorch_lightning import Callback, LightningModule, Trainer
from torch import Tensor, nn

_PREFIX = "network."  # of the network's tensors in a checkpoint


class WeightAverage(Callback):
    """Callback that averages weights and running statistics after each optimizer step, and validates the averages.

    average <- d average + (1 - d) weights, with d = min(decay, (1 + step) / (10 + step)), so that the random start is
    soon forgotten. A checkpoint holds the average as its ``state_dict`` and the weights of the training beside it.

    It goes first among the callbacks at the start of a validation, ``WeightsBack`` last at its end.

    Args:
        decay: share of the average that is kept at each step, in [0, 1).
    """

    def __init__(self, decay: float) -> None:
        self._decay = decay
        self._average: dict[str, Tensor] = {}
        self._step = 0

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Start the average with the initial weights."""
        self._average = {name: value.clone() for name, value in _network(pl_module).state_dict().items()}

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Move the average to the network's device."""
        device = pl_module.device
        self._average = {name: value.to(device) for name, value in self._average.items()}
        self._step = trainer.global_step

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *args: object, **kwargs: object) -> None:
        """Update the average with the new weights, once per optimizer step."""
        if trainer.global_step == self._step:
            return
        self._step = trainer.global_step
        decay = min(self._decay, (1 + self._step) / (10 + self._step))
        for name, value in _network(pl_module).state_dict().items():
            if value.is_floating_point():
                self._average[name].lerp_(value, 1 - decay)
            else:
                self._average[name].copy_(value)

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Put the average into the network."""
        self.exchange(_network(pl_module))

    def exchange(self, network: nn.Module) -> None:
        """Swap the values of ``network`` and the average."""
        with torch.no_grad():
            for name, value in network.state_dict().items():
                kept = value.clone()
                value.copy_(self._average[name])
                self._average[name].copy_(kept)

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Save the average as ``state_dict``, and the weights of the training beside it."""
        checkpoint["trained_weights"] = dict(_network(pl_module).state_dict())
        checkpoint["state_dict"] |= {_PREFIX + name: value for name, value in self._average.items()}

    def on_load_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Restore the average and the weights of the training."""
        self._average = {name: checkpoint["state_dict"][_PREFIX + name].clone() for name in self._average}
        _network(pl_module).load_state_dict(checkpoint["trained_weights"])


class WeightsBack(Callback):
    """Callback that puts the network's own weights back once all other callbacks of a validation are done."""

    def __init__(self, average: WeightAverage) -> None:
        self._average = average

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Swap the weights and the average again."""
        self._average.exchange(_network(pl_module))


def _network(module: LightningModule) -> nn.Module:
    """Return the network of a ``SegmentationTask``."""
    return module.get_submodule("network")
