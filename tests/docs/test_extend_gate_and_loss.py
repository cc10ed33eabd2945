"""The gate and the loss that the pages docs/extend_gate.md and docs/extend_loss.md add work in a training step."""

import re
import shlex
import shutil
import sys
from collections.abc import Callable, Generator
from pathlib import Path

import pytest
import torch
from hydra.utils import instantiate
from torch.nn import functional

from aunet.build.network import build_network
from aunet.config.composition import compose_config, resolve_config
from aunet.config.schema import RunConfig

FACTS = {
    "in_channels": 2,
    "num_classes": 3,
    "class_names": ["background", "ball", "box"],
    "modality": "mr",
    "spacing": [1.0, 1.0, 1.0],
    "patch_size": [16, 16, 16],
    "batch_size": 1,
}
Compose = Callable[[str, int], RunConfig]


@pytest.fixture
def compose(repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Generator[Compose]:
    """Return a function that writes a page's files and resolves the settings of its command."""
    shutil.copytree(repository / "conf", tmp_path / "conf")
    monkeypatch.syspath_prepend(tmp_path)

    def resolve(page: str, spatial_dims: int) -> RunConfig:
        blocks = re.findall(
            r"^```(\w+)\n(.*?)^```$", (repository / "docs" / page).read_text(), re.DOTALL | re.MULTILINE
        )
        for language, text in blocks:
            if language in ("python", "yaml"):
                [name] = re.findall(r"^# (\S+\.(?:py|yaml))", text, re.MULTILINE)
                (tmp_path / name).write_text(text)
        [command] = [shlex.split(text) for language, text in blocks if language == "sh"]
        assert command[:2] == ["python", "train.py"]
        config = compose_config([*command[2:], "model.network.channels=[4,8,8]"], tmp_path / "conf")
        return resolve_config(config, FACTS | {"spatial_dims": spatial_dims})

    yield resolve
    for module in ("my_gates", "my_losses"):
        sys.modules.pop(module, None)


@pytest.mark.parametrize("spatial_dims", [2, 3])
def test_a_gate_of_ones_own_is_one_python_and_one_yaml_file(compose: Compose, spatial_dims: int) -> None:
    network = build_network(compose("extend_gate.md", spatial_dims))

    depth = 16 if spatial_dims == 3 else 1
    logits, coefficients = network.forward_with_attention(torch.randn(2, 2, 16, 16, depth))
    logits.square().mean().backward()

    parts = {type(module).__name__ for module in network.modules()}
    assert "GatingOnly" in parts
    assert "GridGate" not in parts
    assert logits.shape == (2, 3, 16, 16, depth)
    assert coefficients[2].shape == (2, 2, 8, 8, 8 if spatial_dims == 3 else 1)
    assert 0 <= coefficients[2].min() <= coefficients[2].max() <= 1
    assert all(parameter.grad is not None for parameter in network.parameters())


def test_a_loss_of_ones_own_is_one_python_and_one_yaml_file(compose: Compose) -> None:
    """Oracle: with a smoothing of 0.1, 0.9 of the cross-entropy and 0.1 of its mean over all classes."""
    settings = compose("extend_loss.md", 3)
    loss = instantiate(settings.loss.function, _convert_="all")
    logits = torch.randn(2, 3, 4, 4, 4, requires_grad=True)
    label = torch.randint(0, 3, (2, 1, 4, 4, 4), dtype=torch.uint8)

    value = loss(logits, label)
    value.backward()

    expected = 0.9 * functional.cross_entropy(logits, label[:, 0].long()) - 0.1 * logits.log_softmax(dim=1).mean()
    assert type(loss).__name__ == "SmoothedCrossEntropy"
    assert value.item() == pytest.approx(expected.item(), rel=1e-5)
    assert logits.grad is not None
    assert logits.grad.isfinite().all()
