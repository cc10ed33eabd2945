"""Learning-rate schedules: share of the training done -> share of the initial learning rate."""


def constant(progress: float) -> float:
    """Return 1: the learning rate stays as it is."""
    return 1.0


def polynomial(progress: float, power: float = 0.9, warmup: float = 0.0) -> float:
    """Return (1 - progress)**power, after a linear rise over the first ``warmup`` share of the training.

    Examples:
        >>> polynomial(0.5, power=1.0)
        0.5
    """
    if progress < warmup:
        return max(progress, 1e-3 * warmup) / warmup
    return (1.0 - progress) ** power


def halving(progress: float, times: int = 3) -> float:
    """Halve the learning rate ``times`` times at equal intervals, however long the training is."""
    return 0.5 ** int(min(progress, 1.0 - 1e-9) * (times + 1))


def halving_every(progress: float, epochs: int, max_epochs: int) -> float:
    """Halve the learning rate every ``epochs`` epochs of a training of ``max_epochs`` (released code: every 250).

    Examples:
        >>> halving_every(0.5, epochs=250, max_epochs=1000)
        0.25
    """
    return 0.5 ** int(progress * max_epochs / epochs + 1e-9)


def rising(progress: float) -> float:
    """Rise from 1/10,000 to 1,000 times the learning rate, by the same factor each step: a range test."""
    return 10.0 ** (7.0 * progress - 4.0)
