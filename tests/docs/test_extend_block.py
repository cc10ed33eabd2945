"""The block that docs/extend_block.md adds works in a network."""

import shutil
import sys
from collections.abc import Generator
from pathlib import Path

import pytest
import torch

from aunet.build.network import build_network
from aunet.config.composition import compose_config, resolve_config
from tests.docs.pages import blocks_of, write_files

FACTS = {
    "in_channels": 2,
    "num_classes": 3,
    "class_names": ["background", "ball", "box"],
    "modality": "mr",
    "spacing": [1.0, 1.0, 1.0],
    "patch_size": [16, 16, 16],
    "batch_size": 1,
}


@pytest.fixture
def folder(repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Generator[Path]:
    """Return a folder with ``conf/`` and, beside it, the files that the page shows."""
    shutil.copytree(repository / "conf", tmp_path / "conf")
    names = write_files(repository / "docs" / "extend_block.md", tmp_path)
    assert set(names) == {"my_parts.py", "conf/model/block/weighed_channels.yaml"}
    monkeypatch.syspath_prepend(tmp_path)
    yield tmp_path
    sys.modules.pop("my_parts", None)


@pytest.mark.parametrize("spatial_dims", [2, 3])
def test_a_block_of_ones_own_is_one_python_and_one_yaml_file(repository: Path, folder: Path, spatial_dims: int) -> None:
    [command] = [
        words
        for block in blocks_of(repository / "docs" / "extend_block.md")
        for words in block.commands()
        if block.language == "sh"
    ]
    config = compose_config([*command[2:], "model.network.channels=[4,8,8]"], folder / "conf")
    network = build_network(resolve_config(config, FACTS | {"spatial_dims": spatial_dims}))

    depth = 16 if spatial_dims == 3 else 1
    logits, coefficients = network.forward_with_attention(torch.randn(2, 2, 16, 16, depth))
    logits.square().mean().backward()

    parts = {type(module).__name__ for module in network.modules()}
    assert "WeighedChannels" in parts
    assert "ConvolutionBlock" not in parts
    assert logits.shape == (2, 3, 16, 16, depth)
    assert coefficients[2].shape == (2, 2, 8, 8, 8 if spatial_dims == 3 else 1)
    assert all(parameter.grad is not None for parameter in network.parameters())
