"""Fused steps where torch has them and the user did not choose."""

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from torch.optim import SGD, Adadelta, Adam, AdamW, Optimizer

from aunet.training.fused_optimizer import fused_where_possible


def steps(factory: Callable[..., Optimizer]) -> torch.Tensor:
    torch.manual_seed(0)
    parameter = torch.nn.Parameter(torch.randn(50))
    optimizer = factory([parameter])
    for _ in range(5):
        parameter.grad = parameter.detach().sin()
        optimizer.step()
    return parameter.detach()


@pytest.mark.parametrize("optimizer", [AdamW, Adam, partial(SGD, momentum=0.9, nesterov=True)])
def test_a_fused_step_is_the_plain_one(optimizer: Callable[..., Optimizer]) -> None:
    factory: Callable[..., Any] = partial(optimizer, lr=0.1, weight_decay=0.01)
    fused = fused_where_possible(factory)
    assert fused([torch.nn.Parameter(torch.zeros(1))]).defaults["fused"] is True
    torch.testing.assert_close(steps(fused), steps(factory))


@pytest.mark.parametrize("choice", [{"fused": False}, {"foreach": True}])
def test_the_users_choice_stays(choice: dict[str, bool]) -> None:
    factory = partial(AdamW, lr=0.1, **choice)
    assert fused_where_possible(factory) is factory


def test_an_optimizer_without_a_fused_step_is_left_alone() -> None:
    factory = partial(Adadelta, lr=0.1)
    assert fused_where_possible(factory) is factory
