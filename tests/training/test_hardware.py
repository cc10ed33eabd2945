"""Precision and layout follow from what the hardware can, or from what is set."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.optim import SGD, Adadelta, Adam, AdamW, Optimizer

from aunet.errors import UserError
from aunet.training.hardware import choose_for_hardware, choose_for_prediction, fused_where_possible


@pytest.fixture
def processor_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)


@pytest.mark.usefixtures("processor_only")
@pytest.mark.parametrize(("has_bf16", "precision"), [(True, "bf16"), (False, "float32")])
def test_a_processor_computes_in_bf16_where_it_multiplies_it(
    has_bf16: bool, precision: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: has_bf16)
    choice = choose_for_hardware("auto", "auto", "auto")
    assert (choice.precision, choice.is_channels_last) == (precision, True)
    assert "cpu" in choice.description


@pytest.mark.skipif(not Path("/proc/cpuinfo").is_file(), reason="the oracle is Linux's list of features")
def test_bf16_is_what_the_processor_lists() -> None:
    features = Path("/proc/cpuinfo").read_text(encoding="utf-8").split()
    assert torch.cpu._is_avx512_bf16_supported() == ("avx512_bf16" in features)


@pytest.mark.usefixtures("processor_only")
def test_settings_of_the_user_are_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: True)
    choice = choose_for_hardware("float32", False, "auto")
    assert (choice.precision, choice.is_channels_last, choice.lightning_precision) == ("float32", False, "32-true")


@pytest.mark.usefixtures("processor_only")
@pytest.mark.parametrize(
    ("variable", "limit", "precision"),
    [
        ("ONEDNN_MAX_CPU_ISA", "AVX2", "float32"),
        ("ONEDNN_MAX_CPU_ISA", "avx512_core_vnni", "float32"),
        ("DNNL_MAX_CPU_ISA", "AVX2", "float32"),
        ("ONEDNN_MAX_CPU_ISA", "AVX512_CORE_BF16", "bf16"),
        ("ONEDNN_MAX_CPU_ISA", "ALL", "bf16"),
    ],
)
def test_bf16_is_not_chosen_if_the_user_limits_onednn_to_processors_without_it(
    monkeypatch: pytest.MonkeyPatch, variable: str, limit: str, precision: str
) -> None:
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: True)
    monkeypatch.setenv(variable, limit)
    assert choose_for_hardware("auto", "auto", "auto").precision == precision


@pytest.mark.usefixtures("processor_only")
def test_fp16_is_refused_for_training_without_a_gpu_and_replaced_for_prediction() -> None:
    with pytest.raises(UserError, match="only CUDA GPUs train in fp16"):
        choose_for_hardware("fp16", "auto", "auto")
    assert (
        choose_for_prediction("fp16", "auto", None).precision == choose_for_hardware("auto", "auto", "auto").precision
    )


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: True)


@pytest.mark.usefixtures("gpu")
def test_a_gpu_trains_in_fp16_without_a_fused_optimizer() -> None:
    choice = choose_for_hardware("fp16", "auto", "auto")
    assert (choice.device, choice.lightning_precision, choice.is_fused) == ("cuda", "16-mixed", False)
    assert choice.autocast_type == torch.float16


@pytest.mark.usefixtures("gpu")
def test_deterministic_training_on_a_gpu_is_refused_with_its_operations() -> None:
    with pytest.raises(UserError, match=r"upsampling.*cross-entropy"):
        choose_for_hardware("auto", "auto", "auto", is_deterministic=True)


@pytest.mark.usefixtures("gpu")
def test_tf32_is_reported_if_it_rounds() -> None:
    assert "(TF32)" in choose_for_hardware("float32", "auto", "auto").description
    assert "(TF32)" not in choose_for_hardware("float32", "auto", "auto", is_tf32=False).description
    assert "(TF32)" not in choose_for_hardware("bf16", "auto", "auto").description


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
