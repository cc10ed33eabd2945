"""Randomness as a function of (seed, epoch, sample), not as a state: workers and interruptions change nothing."""

from enum import IntEnum

import numpy as np


class Purpose(IntEnum):
    """The purpose of a draw; two purposes never share a stream."""

    CASE_ORDER = 0
    PATCH = 1
    AUGMENTATION = 2
    VOXELS = 4
    NETWORK = 5
    GEOMETRY = 6


def generator(purpose: Purpose, seed: int, *keys: int) -> np.random.Generator:
    """Return the random generator that belongs to these keys, always in the same state.

    Examples:
        >>> first, second = (generator(Purpose.PATCH, 0, 3, 7).random() for _ in range(2))
        >>> first == second
        True
    """
    return np.random.default_rng([int(purpose), seed, *keys])


def network_seed(seed: int, epoch: int, batch: int, rank: int) -> int:
    """Return the seed of a network's own draws, such as dropout, for one batch of an epoch on one rank."""
    return int(generator(Purpose.NETWORK, seed, epoch, batch, rank).integers(2**32))


def transform_seed(seed: int, epoch: int, sample: int) -> int:
    """Return a seed in 0..2**32-1 for the MONAI transforms of one sample, for ``Randomizable.set_random_state``."""
    return int(generator(Purpose.AUGMENTATION, seed, epoch, sample).integers(2**32))
