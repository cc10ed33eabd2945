"""The learning rate as a share of its start, by the share of the training that is done."""


def constant(progress: float) -> float:
    """Always the whole learning rate."""
    return 1.0


def polynomial(progress: float, power: float = 0.9, warmup: float = 0.0) -> float:
    """(1 - progress)**power, after a linear rise over the first ``warmup`` share of the training."""
    if progress < warmup:
        return max(progress, 1e-3 * warmup) / warmup
    return (1.0 - progress) ** power


def halving(progress: float, times: int = 3) -> float:
    """Halve ``times`` times at equal distances, however long the training is."""
    return 0.5 ** int(min(progress, 1.0 - 1e-9) * (times + 1))


def halving_every(progress: float, epochs: int, max_epochs: int) -> float:
    """Halve every ``epochs`` epochs of a training of ``max_epochs`` (released code: every 250)."""
    return 0.5 ** int(progress * max_epochs / epochs + 1e-9)


def rising(progress: float) -> float:
    """From 1/10,000 to 1,000 times the learning rate, by the same factor each step: a range test."""
    return 10.0 ** (7.0 * progress - 4.0)
