"""Precision and layout follow from what the hardware can, or from what is set."""

import pytest
import torch

from aunet.training.hardware_choice import choose_for_hardware


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
def test_what_is_set_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": True})
    choice = choose_for_hardware("float32", False, "auto")
    assert (choice.precision, choice.is_channels_last, choice.lightning_precision) == ("float32", False, "32-true")
