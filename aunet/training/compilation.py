"""torch.compile for the forward pass of the training, tried before the training begins."""

import logging
import warnings
from collections.abc import Callable

import torch
from torch import Tensor, nn

from aunet.networks.hard_gate import BernoulliDraw

_log = logging.getLogger(__name__)

Forward = Callable[[Tensor], list[Tensor]]


def compiled(network: nn.Module, forward: Forward, image: Tensor, autocast_type: torch.dtype | None) -> Forward | None:
    """Return ``forward`` compiled; None, with a warning, if a step with it fails.

    Args:
        network: network that ``forward`` runs; its weights and statistics and torch's random state are restored.
        forward: image -> logits that have a loss.
        image: (B, C, *spatial) in the training's size and memory format, on its device.
        autocast_type: the training's; None without autocast.
    """
    if any(isinstance(module, BernoulliDraw) for module in network.modules()):
        return _give_up("gates that are drawn by the score function cannot be compiled")
    kept = {name: value.clone() for name, value in network.state_dict().items()}
    is_training = network.training
    try:
        with warnings.catch_warnings(action="ignore"), torch.random.fork_rng(devices=_gpus(image)):
            torch.compiler.reset()  # forget earlier failures
            function: Forward = torch.compile(forward, dynamic=False)
            network.train()
            with torch.autocast(image.device.type, autocast_type, enabled=autocast_type is not None):
                logits = function(image)
            torch.stack([level.float().mean() for level in logits]).sum().backward()
    except Exception as error:  # noqa: BLE001 -- a compiler fails in countless ways; the run continues without it
        return _give_up(str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__)
    finally:
        network.load_state_dict(kept)
        network.zero_grad()
        network.train(is_training)
    return function


def _give_up(reason: str) -> None:
    _log.warning("trainer.compile=true: not compiled, as %s; the run continues without.", reason)


def _gpus(image: Tensor) -> list[torch.device]:
    return [image.device] if image.device.type == "cuda" else []
