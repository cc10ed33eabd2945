"""Less memory for more time: a part's activations are dropped after the forward pass and recomputed in the backward.

Outputs, gradients and the running statistics of batch norms are the same as without recomputation.
"""

from collections.abc import Callable, Generator
from contextlib import contextmanager, nullcontext
from typing import TypeVar, TypeVarTuple

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm  # pyright: ignore[reportPrivateUsage]
from torch.utils.checkpoint import checkpoint

Inputs = TypeVarTuple("Inputs")
Output = TypeVar("Output")


def recompute(part: nn.Module, function: Callable[[*Inputs], Output], *inputs: *Inputs) -> Output:
    """Return ``function(*inputs)``, which runs modules of ``part``; keep only ``inputs`` for the backward pass."""
    if not (part.training and torch.is_grad_enabled()):
        return function(*inputs)
    return checkpoint(
        function, *inputs, use_reentrant=False, context_fn=lambda: (nullcontext(), frozen_statistics(part))
    )


@contextmanager
def frozen_statistics(part: nn.Module) -> Generator[None]:
    """Freeze the running statistics of ``part``'s batch norms, for a second forward pass of a batch already counted."""
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
