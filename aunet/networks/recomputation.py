"""Memory for time: activations of a part that are forgotten after the forward pass and computed again in the backward.

What a part gives, its gradients and the running statistics of its batch norms are the same as without.
"""

from collections.abc import Callable, Generator
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm  # pyright: ignore[reportPrivateUsage]
from torch.utils.checkpoint import checkpoint


def recompute(part: nn.Module, function: Callable[..., Any], *inputs: Any) -> Any:
    """``function(*inputs)``, whose modules are ``part``'s, keeping only ``inputs`` for the backward pass."""
    if not (part.training and torch.is_grad_enabled()):
        return function(*inputs)
    return checkpoint(
        function, *inputs, use_reentrant=False, context_fn=lambda: (nullcontext(), frozen_statistics(part))
    )


@contextmanager
def frozen_statistics(part: nn.Module) -> Generator[None]:
    """Keep the running statistics of ``part``'s batch norms, for another forward pass of a batch that they count."""
    norms = [module for module in part.modules() if isinstance(module, _BatchNorm) and module.track_running_stats]
    kept = [(norm, norm.momentum, torch.as_tensor(norm.num_batches_tracked).clone()) for norm in norms]
    for norm in norms:
        norm.momentum = 0.0
    try:
        yield
    finally:
        for norm, momentum, count in kept:
            norm.momentum = momentum
            torch.as_tensor(norm.num_batches_tracked).copy_(count)
