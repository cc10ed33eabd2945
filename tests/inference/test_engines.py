"""Engines run the same network: their logits are those of plain torch."""

import importlib.util
import json
import logging
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from aunet.classes import Labels
from aunet.data.io.volume import Volume
from aunet.data.preprocessing.steps import Preprocessing
from aunet.errors import UserError
from aunet.inference import engine_choice
from aunet.inference.engine_choice import EngineChoice, Measured, fastest_that_agrees
from aunet.inference.engines import ENGINES, Engine, check_engine, fold_batch_norms
from aunet.inference.predictor import Predictor
from aunet.inference.window_layout import Window
from aunet.networks import AttentionUNet
from tests.inference.tiny_networks import Neighbourhood


@pytest.fixture(scope="module")
def network() -> AttentionUNet:
    """Return a gated network whose batch norms have seen data."""
    torch.manual_seed(2)
    network = AttentionUNet(channels=(4, 8, 8), num_classes=3)
    for _ in range(3):
        network(torch.randn(2, 1, 16, 16, 16) * 3 + 1)
    return network.eval()


def windows(batch: int = 1) -> Tensor:
    return torch.randn((batch, 1, 16, 12, 20), generator=torch.Generator().manual_seed(0))


def test_folded_batch_norms_leave_the_logits_and_the_network_unchanged(network: AttentionUNet) -> None:
    folded = fold_batch_norms(network)
    with torch.no_grad():
        assert torch.allclose(folded(windows()), network(windows()), atol=1e-4)
    assert not any(isinstance(module, nn.BatchNorm3d) for module in folded.modules())
    assert any(isinstance(module, nn.BatchNorm3d) for module in network.modules())


@pytest.mark.parametrize(
    "name",
    ["torch", pytest.param("openvino", marks=pytest.mark.slow), pytest.param("onnxruntime", marks=pytest.mark.slow)],
)
def test_an_engine_returns_the_logits_of_the_network(name: str, network: AttentionUNet) -> None:
    engine = ENGINES[name](network, "float32")
    with torch.no_grad():
        for batch in (1, 2):
            assert torch.allclose(engine(windows(batch)), network(windows(batch)), atol=1e-3)


SIGNAL_AFTER_TWO_ENGINES = """
import gc, signal
import torch
from onnx import TensorProto, helper
from aunet.inference.engines import OpenVinoEngine

ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 1, 4, 4, 4]) for name in "xy"]
graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "relu", ends[:1], ends[1:])
model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
windows = torch.randn(1, 1, 4, 4, 4)
engines = [OpenVinoEngine(torch.nn.Identity(), "float32", {windows.shape: model.SerializeToString()}) for _ in range(2)]
for engine in engines:
    assert torch.equal(engine(windows), windows.relu())
while engines:
    del engines[0]  # the older one first
    gc.collect()
del engine
gc.collect()
signal.signal(signal.SIGINT, lambda *_: print("handled"))
signal.raise_signal(signal.SIGINT)
"""


@pytest.mark.slow
def test_a_process_that_released_engines_still_handles_ctrl_c() -> None:
    pytest.importorskip("openvino")
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    words = [sys.executable, "-c", SIGNAL_AFTER_TWO_ENGINES]
    done = subprocess.run(words, capture_output=True, text=True, check=False, env=environment)
    assert (done.returncode, done.stdout) == (0, "handled\n"), done.stderr


@pytest.mark.parametrize(("name", "extra"), [("openvino", "openvino"), ("onnxruntime", "onnx")])
def test_an_engine_that_is_not_installed_names_its_extra(
    name: str, extra: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(UserError, match=rf"inference\.engine={name}: .*pip install 'aunet\[{extra}\]'"):
        check_engine(name, torch.device("cpu"))


def test_an_engine_for_the_processor_is_refused_on_a_gpu() -> None:
    with pytest.raises(UserError, match="it computes on the CPU"):
        check_engine("onnxruntime", torch.device("cuda"))


class _Drawn(Engine):
    """An engine that takes as long and errs as often as the test says."""

    name = "openvino"

    def __init__(self, wrong_every: int) -> None:
        super().__init__(nn.Identity(), "float32")
        self._wrong_every = wrong_every

    def __call__(self, windows: Tensor) -> Tensor:
        logits = torch.stack([-windows[:, 0], windows[:, 0]], dim=1)
        flat = logits.view(-1)
        half = len(flat) // 2
        flat[: half : self._wrong_every].neg_()
        flat[half :: self._wrong_every].neg_()
        return logits


class _Sign(nn.Module):
    def forward(self, windows: Tensor) -> Tensor:
        return torch.cat([-windows, windows], dim=1)


@pytest.mark.parametrize(("wrong_every", "chosen"), [(1001, "openvino"), (999, "torch")])
def test_auto_takes_a_faster_engine_only_if_it_agrees_in_999_of_1000_voxels(
    wrong_every: int, chosen: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    patch = torch.randn(1, 1, 20, 20, 100)
    monkeypatch.setattr(engine_choice, "_candidates", lambda *_: iter([_Drawn(wrong_every)]))
    monkeypatch.setattr(engine_choice, "_seconds", lambda engine, _: 1.0 if engine.name == "torch" else 0.25)
    with caplog.at_level(logging.INFO, logger="aunet"):
        found = fastest_that_agrees(_Sign(), patch, has_bf16=False, models={})
    assert found.engine == chosen
    [line] = [record.getMessage() for record in caplog.records]
    assert "openvino float32 0.25 s per patch, 99.90 % equal labels" in line
    assert "torch float32 1 s per patch, 100.00 % equal labels" in line


def test_a_choice_is_measured_once_for_a_machine_and_a_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    measured: list[int] = []

    def measure(*_: object) -> Measured:
        measured.append(1)
        return Measured("torch", "bf16", 0.5, 0.9995)

    monkeypatch.setattr(engine_choice, "fastest_that_agrees", measure)
    choice = EngineChoice("auto", file=tmp_path / "engines.json", run="first")
    for _ in range(2):
        assert choice.resolve(Neighbourhood(), windows()).precision == "bf16"
    assert len(measured) == 1
    replace(choice, run="second").resolve(Neighbourhood(), windows())
    assert len(measured) == 2
    [entry, _] = json.loads((tmp_path / "engines.json").read_text()).values()
    assert entry == {"engine": "torch", "precision": "bf16", "seconds": 0.5, "equal_labels": 0.9995}
    (tmp_path / "engines.json").write_text("{damaged")
    choice.resolve(Neighbourhood(), windows())
    assert len(measured) == 3


def test_a_prediction_by_an_engine_has_the_labels_of_the_network() -> None:
    volume = Volume(np.random.default_rng(0).normal(50, 10, (21, 34, 17)).astype(np.float32), np.eye(4))
    arguments = Neighbourhood(), Preprocessing(None, "mr", None), Labels(("background", "one", "two"))
    window = Window((16, 16, 16), size_multiple=(4, 4, 4))
    plain = Predictor(*arguments, window).predict_volume([volume]).label
    engine = Predictor(*arguments, window, engine=EngineChoice("torch")).predict_volume([volume]).label
    assert (plain == engine).mean() > 0.999


class NormFirst(nn.Sequential):
    """Parts that run in another order than they are listed."""

    def forward(self, image: Tensor) -> Tensor:
        """Apply the norm, then the convolution."""
        convolution, norm = self
        return convolution(norm(image))


def test_only_norms_that_follow_a_convolution_of_their_own_are_folded() -> None:
    shared = nn.Conv3d(2, 2, 1)
    network = nn.ModuleList([NormFirst(nn.Conv3d(2, 2, 1), nn.BatchNorm3d(2))])
    network += [nn.Sequential(shared, nn.BatchNorm3d(2)), nn.Sequential(shared)]
    folded = fold_batch_norms(network)
    assert sum(isinstance(module, nn.BatchNorm3d) for module in folded.modules()) == 2


class Choosing(nn.Module):
    """A network that looks at values, which no exporter can follow."""

    def forward(self, image: Tensor) -> Tensor:
        """Return the image or its negative."""
        return image if float(image.mean()) > 0 else -image


@pytest.mark.filterwarnings("ignore")
def test_a_named_engine_that_cannot_run_the_network_is_one_message() -> None:
    patch = torch.zeros(1, 1, 4, 4, 4)
    engine = EngineChoice("onnxruntime").resolve(Choosing(), patch)
    with pytest.raises(UserError, match=r"inference\.engine=onnxruntime: it cannot run this network"):
        engine(patch)


@pytest.mark.parametrize("name", [pytest.param("openvino", marks=pytest.mark.slow), "onnxruntime"])
def test_an_engine_keeps_few_shapes(name: str) -> None:
    pytest.importorskip(name)
    network = Neighbourhood().eval()
    engine = ENGINES[name](network, "float32")
    for size in (8, 10, 12):
        image = torch.randn(1, 1, size, 8, 8)
        with torch.no_grad():
            assert torch.allclose(engine(image), network(image), atol=1e-3)
    assert len(engine._compiled) == len(engine._models) == 2
