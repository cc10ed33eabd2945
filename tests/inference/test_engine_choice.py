"""Which engines `auto` tries, how it measures them, and when it measures them again."""

import json
import logging
import time
from collections.abc import Callable
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from aunet.inference import engine_choice
from aunet.inference.engine_choice import EngineChoice, Measured, fastest_that_agrees
from aunet.inference.engines import Engine, OnnxModels, TorchEngine, UnusableEngineError

BEST = Measured("torch", "bf16", 0.5, 0.9995)


def patch(*size: int) -> Tensor:
    return torch.randn((1, 1, *(size or (4, 4, 4))), generator=torch.Generator().manual_seed(0))


class Signs(nn.Module):
    """Class 1 where the image is above 0."""

    def forward(self, image: Tensor) -> Tensor:
        return torch.cat([-image, image], dim=1)


@pytest.mark.parametrize(
    ("has_bf16", "installed", "expected"),
    [
        (False, ("openvino", "onnxruntime"), [("openvino", "float32"), ("onnxruntime", "float32")]),
        (
            True,
            ("openvino", "onnxruntime"),
            [("torch", "bf16"), ("openvino", "float32"), ("openvino", "bf16"), ("onnxruntime", "float32")],
        ),
        (True, ("onnxruntime",), [("torch", "bf16"), ("onnxruntime", "float32")]),
        (False, ("openvino",), [("openvino", "float32")]),
        (False, (), []),
    ],
)
def test_every_installed_engine_is_tried_in_each_of_its_precisions(
    has_bf16: bool, installed: tuple[str, ...], expected: list[tuple[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[Engine] = []

    def measure(engine: Engine, *_: object) -> None:
        tried.append(engine)

    monkeypatch.setattr(engine_choice, "is_installed", lambda name: name in installed)
    monkeypatch.setattr(engine_choice, "_measure", measure)
    models: OnnxModels = {}
    chosen = fastest_that_agrees(Signs(), patch(), has_bf16, models)

    assert [(engine.name, engine.precision) for engine in tried] == expected
    assert all(engine._models is models for engine in tried if engine.name != "torch")
    assert (chosen.engine, chosen.precision, chosen.equal_labels) == ("torch", "float32", 1.0)


class Failing(Engine):
    name = "openvino"

    def __call__(self, windows: Tensor) -> Tensor:
        raise UnusableEngineError(self.name, ValueError("no such operation\nand more"))


def test_an_engine_that_cannot_run_the_network_is_left_out_with_a_warning(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(engine_choice, "_candidates", lambda *_: iter([Failing(nn.Identity(), "float32")]))
    with caplog.at_level(logging.INFO, logger="aunet"):
        chosen = fastest_that_agrees(Signs(), patch(), has_bf16=False, models={})
    assert chosen.engine == "torch"
    warning, line = (record.getMessage() for record in caplog.records)
    assert warning == "Engine openvino cannot run this network (no such operation); it is left out."
    assert line.startswith("Engine: torch float32 ")
    assert "others" not in line


def test_the_seconds_are_the_best_of_two_runs_after_a_first_one(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([0.0, 3.0, 10.0, 11.5])
    monkeypatch.setattr(engine_choice, "_candidates", lambda *_: iter(()))
    monkeypatch.setattr(time, "perf_counter", lambda: next(clock))
    assert fastest_that_agrees(Signs(), patch(), has_bf16=False, models={}).seconds == 1.5


def test_a_gpu_runs_torch_in_the_precision_asked_for() -> None:
    engine = EngineChoice("auto", "bf16").resolve(Signs(), patch().to("meta"))
    assert isinstance(engine, TorchEngine)
    assert engine.precision == "bf16"


@pytest.fixture
def count(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    """Return the arguments of every measurement, each of which finds ``BEST``."""
    measured: list[tuple[Any, ...]] = []

    def measure(*arguments: Any) -> Measured:
        measured.append(arguments)
        return BEST

    monkeypatch.setattr(engine_choice, "fastest_that_agrees", measure)
    return measured


def test_what_is_measured_is_the_network_on_the_patch(count: list[tuple[Any, ...]]) -> None:
    network, image = Signs(), patch()
    choice = EngineChoice("auto", has_bf16=True)
    engine = choice.resolve(network, image)
    assert count == [(network, image, True, {}, choice.target)]
    assert (engine.name, engine.precision) == ("torch", "bf16")
    assert choice.resolve(network, image).precision == "bf16"  # nothing is remembered without a file
    assert len(count) == 2


def another_version(package: str) -> Callable[..., tuple[EngineChoice, Tensor]]:
    """Return a change of the version of one package."""

    def change(choice: EngineChoice, monkeypatch: pytest.MonkeyPatch) -> tuple[EngineChoice, Tensor]:
        monkeypatch.setattr(engine_choice, "version", lambda name: "99" if name == package else version(name))
        return choice, patch()

    return change


@pytest.mark.parametrize(
    "change",
    [
        lambda choice, _: (replace(choice, run="other"), patch()),
        lambda choice, _: (replace(choice, has_bf16=True), patch()),
        lambda choice, _: (choice, patch(4, 4, 8)),
        lambda choice, monkeypatch: monkeypatch.setattr("platform.node", lambda: "elsewhere") or (choice, patch()),
        lambda choice, monkeypatch: monkeypatch.setattr("torch.get_num_threads", lambda: 77) or (choice, patch()),
        another_version("torch"),
        another_version("openvino"),
        another_version("onnxruntime"),
    ],
    ids=["run", "bf16", "size", "machine", "threads", "torch", "openvino", "onnxruntime"],
)
def test_another_run_machine_or_size_is_measured_anew_and_all_are_remembered(
    change: Callable[..., tuple[EngineChoice, Tensor]],
    count: list[object],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    choice = EngineChoice("auto", file=tmp_path / "engines.json")
    choice.resolve(Signs(), patch())
    other, image = change(choice, monkeypatch)
    for _ in range(2):
        other.resolve(Signs(), image)
    assert len(count) == 2
    assert len(json.loads((tmp_path / "engines.json").read_text())) == 2


@pytest.mark.parametrize(
    "damage",
    [
        {"engine": "tensorrt"},
        {"precision": "float8"},
        {"seconds": "0.5"},
        {"equal_labels": None},
        {"more": 1},
        {"engine": "openvino"},
    ],
    ids=lambda damage: next(iter(damage)),
)
def test_a_choice_that_is_damaged_or_no_longer_installed_is_measured_again(
    damage: dict[str, object], count: list[object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine_choice, "is_installed", lambda name: name == "torch")
    file = tmp_path / "engines.json"
    choice = EngineChoice("auto", file=file)
    choice.resolve(Signs(), patch())
    [(key, entry)] = json.loads(file.read_text()).items()
    for content in ({key: entry | damage}, {key: [1]}, {key: {**entry, "seconds": 1}}):
        file.write_text(json.dumps(content))
        choice.resolve(Signs(), patch())
        assert json.loads(file.read_text()) == {key: entry}
    assert len(count) == 4


def test_a_remembered_choice_is_logged_and_a_folder_that_cannot_be_written_costs_another_measurement(
    count: list[object], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    choice = EngineChoice("auto", file=tmp_path / "engines.json")
    with caplog.at_level(logging.INFO, logger="aunet"):
        for _ in range(2):
            choice.resolve(Signs(), patch())
    assert caplog.messages == [
        "Engine: torch bf16 0.5 s per patch, 99.95 % equal labels, as measured before on this machine."
    ]
    (tmp_path / "file").write_text("")
    assert replace(choice, file=tmp_path / "file" / "engines.json").resolve(Signs(), patch()).precision == "bf16"
    assert len(count) == 2
