"""Precision and layout follow from what the hardware can, or from what is set."""

import pytest
import torch

from aunet.errors import UserError
from aunet.training.hardware import choose_for_hardware, choose_for_prediction


@pytest.fixture
def processor_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)


@pytest.mark.usefixtures("processor_only")
@pytest.mark.parametrize(
    ("flags", "precision"),
    [({"avx512_bf16": True}, "bf16"), ({"amx_bf16": True}, "bf16"), ({"avx512_f": True}, "float32"), ({}, "float32")],
)
def test_a_processor_computes_in_bf16_where_it_multiplies_it(
    flags: dict[str, bool], precision: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: flags)
    choice = choose_for_hardware("auto", "auto", "auto")
    assert (choice.precision, choice.is_channels_last) == (precision, True)
    assert "cpu" in choice.description


@pytest.mark.usefixtures("processor_only")
def test_settings_of_the_user_are_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": True})
    choice = choose_for_hardware("float32", False, "auto")
    assert (choice.precision, choice.is_channels_last, choice.lightning_precision) == ("float32", False, "32-true")


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
