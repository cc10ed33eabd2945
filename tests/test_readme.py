"""What the README shows works as it stands there."""

import re
import shutil
import sys
from collections.abc import Generator
from pathlib import Path

import pytest
import torch

from aunet.build.model import build_network
from aunet.config.composition import compose_config, resolve_config

FACTS = {
    "in_channels": 2,
    "num_classes": 3,
    "class_names": ["background", "ball", "box"],
    "modality": "mr",
    "spacing": [1.0, 1.0, 1.0],
    "patch_size": [16, 16, 16],
    "batch_size": 1,
}


def files_shown(text: str) -> dict[str, str]:
    """The code blocks that name their file in a comment on top."""
    blocks = re.findall(r"^```(?:python|yaml)\n(.*?)^```$", text, flags=re.DOTALL | re.MULTILINE)
    named = ((re.match(r"(?:# @.*\n)?# (\S+\.(?:py|yaml))\b", block), block) for block in blocks)
    return {match[1]: block for match, block in named if match}


def command_shown(text: str, word: str) -> list[str]:
    """The words after ``python train.py`` of the command that holds ``word``."""
    [line] = [line for line in text.splitlines() if line.startswith("python train.py") and word in line]
    return line.split()[2:]


@pytest.fixture
def checkout(repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Generator[Path]:
    """A folder with ``conf/`` and, beside it, the files that the README shows."""
    shutil.copytree(repository / "conf", tmp_path / "conf")
    files = files_shown((repository / "README.md").read_text())
    assert set(files) == {"my_parts.py", "conf/model/gate/gating_only.yaml", "conf/model/block/weighed_channels.yaml"}
    for name, text in files.items():
        assert not (tmp_path / name).exists(), f"{name} is an option already"
        (tmp_path / name).write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    yield tmp_path
    sys.modules.pop("my_parts", None)


@pytest.mark.parametrize("spatial_dims", [2, 3])
def test_a_gate_and_a_block_of_ones_own_are_one_python_and_one_yaml_file(
    repository: Path, checkout: Path, spatial_dims: int
) -> None:
    words = command_shown((repository / "README.md").read_text(), "trusted_modules")
    config = compose_config([*words, "model.network.channels=[4,8,8]"], checkout / "conf")
    network = build_network(resolve_config(config, FACTS | {"spatial_dims": spatial_dims}))

    depth = 16 if spatial_dims == 3 else 1
    logits, coefficients = network.forward_with_attention(torch.randn(2, 2, 16, 16, depth))
    logits.square().mean().backward()

    parts = {type(module).__name__ for module in network.modules()}
    assert {"GatingOnly", "WeighedChannels"} <= parts
    assert not {"GridGate", "ConvolutionBlock"} & parts
    assert logits.shape == (2, 3, 16, 16, depth)
    assert coefficients[2].shape == (2, 2, 8, 8, 8 if spatial_dims == 3 else 1)
    assert 0 <= coefficients[2].min() <= coefficients[2].max() <= 1
    assert all(parameter.grad is not None for parameter in network.parameters())
