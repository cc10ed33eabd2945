"""Timing of forward passes, with networks that take a known time."""

import math
import time

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from aunet.evaluation.forward_time import device_name, forward_rounds, warm_up
from aunet.messages import counted


class Sleeping(nn.Module):
    """Takes ``seconds`` per pass and writes its name down in ``calls``."""

    def __init__(self, seconds: float, calls: list[float]) -> None:
        super().__init__()
        self.seconds, self.calls = seconds, calls

    def forward(self, image: Tensor) -> Tensor:
        assert torch.is_inference_mode_enabled()
        assert not self.training
        time.sleep(self.seconds)
        self.calls.append(self.seconds)
        return image


def test_seconds_are_those_of_each_network() -> None:
    networks, images = [Sleeping(seconds, []) for seconds in (0.02, 0.06)], [torch.zeros(1), torch.zeros(1)]

    warm_up(networks, images)
    seconds = list(forward_rounds(networks, images, rounds=3))

    assert np.shape(seconds) == (3, 2)
    assert (np.array(seconds) >= [0.02, 0.06]).all()
    assert np.min(seconds, axis=0)[0] < 0.06


def test_networks_take_turns_after_a_warm_up_that_ends_their_training() -> None:
    calls: list[float] = []
    networks, images = [Sleeping(seconds, calls) for seconds in (0.0, 0.001)], [torch.zeros(1), torch.zeros(1)]

    warm_up(networks, images)
    assert calls == [0.0, 0.001]
    list(forward_rounds(networks, images, rounds=2))

    assert calls == [0.0, 0.001] * 3


@pytest.mark.parametrize(("seconds", "rounds"), [(0.0, 2), (math.inf, 4)])
def test_no_round_begins_after_the_seconds_but_for_the_fewest(seconds: float, rounds: int) -> None:
    networks, images = [Sleeping(0.0, [])], [torch.zeros(1)]
    warm_up(networks, images)
    taken = list(forward_rounds(networks, images, rounds=4, fewest=2, seconds=seconds))
    assert len(taken) == rounds


def test_the_processor_is_named_with_its_threads() -> None:
    assert device_name(torch.device("cpu")) == f"CPU with {counted(torch.get_num_threads(), 'thread')}"
