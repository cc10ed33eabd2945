"""Training through drawn gates: the score-function estimate of the gradient of the expected loss.

With draws a of probability p(a) the gradient of the expected loss E[L(a)] is E[grad L + (L - baseline) grad log p(a)],
for any baseline that does not depend on the draw. Here it is the mean loss of the step's other draws (Mnih and Rezende
2016).
"""

from collections.abc import Callable, Generator
from contextlib import contextmanager, nullcontext

import torch
from torch import Tensor, nn

from aunet.networks.hard_gate import BernoulliDraw
from aunet.networks.recomputation import frozen_statistics


def expected_loss(network: nn.Module, draw_loss: Callable[[], Tensor]) -> Tensor:
    """Return the mean loss of several draws of ``network``'s gates, with the gradient of its expectation.

    The running statistics of ``network``'s batch norms count the first draw alone, so that a step is one batch.

    Args:
        network: with drawn gates or without; without, the loss is computed once.
        draw_loss: runs a forward pass and returns its loss, a scalar.
    """
    gates = [module for module in network.modules() if isinstance(module, BernoulliDraw)]
    if not gates:
        return draw_loss()
    losses: list[Tensor] = []
    log_probabilities: list[Tensor] = []
    num_draws = max(gate.num_draws for gate in gates)
    for number in range(num_draws):
        with nullcontext() if number == 0 else frozen_statistics(network), _recorded_draws(gates) as draws:
            losses.append(draw_loss())
        log_probabilities.append(torch.stack([BernoulliDraw.log_probability(*draw) for draw in draws]).sum())
    loss, log_probability = torch.stack(losses), torch.stack(log_probabilities)
    baseline = (loss.sum() - loss) / (num_draws - 1)
    score_term = ((loss - baseline).detach() * log_probability).mean()
    return loss.mean() + score_term - score_term.detach()


@contextmanager
def _recorded_draws(gates: list[BernoulliDraw]) -> Generator[list[tuple[Tensor, Tensor]]]:
    """Yield a list that collects the scores and the draw of every gate within this context.

    Nothing is computed from them here: a level that is recomputed in the backward pass would not find it again.
    """
    recorded: list[tuple[Tensor, Tensor]] = []

    def record(gate: nn.Module, scores: tuple[Tensor, ...], draw: Tensor) -> None:
        recorded.append((scores[0], draw))

    handles = [gate.register_forward_hook(record) for gate in gates]
    try:
        yield recorded
    finally:
        for handle in handles:
            handle.remove()
