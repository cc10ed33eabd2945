"""Which checkpoint a run goes on from."""

from pathlib import Path

import pytest
import torch

from aunet.training.checkpoints import Checkpoints


def write(path: Path) -> Path:
    torch.save({"state_dict": {"weight": torch.zeros(3)}}, path)
    return path


def test_a_new_run_has_none(tmp_path: Path) -> None:
    assert Checkpoints(tmp_path).newest() is None


def test_the_last_one_is_taken(tmp_path: Path) -> None:
    write(tmp_path / "previous.ckpt")
    last = write(tmp_path / "last.ckpt")
    assert Checkpoints(tmp_path).newest() == last


@pytest.mark.parametrize("damage", [b"", b"not a checkpoint", None], ids=["empty", "garbage", "truncated"])
def test_a_damaged_last_one_is_told_and_left_for_the_one_before(
    tmp_path: Path, damage: bytes | None, caplog: pytest.LogCaptureFixture
) -> None:
    previous, last = write(tmp_path / "previous.ckpt"), write(tmp_path / "last.ckpt")
    last.write_bytes(last.read_bytes()[:300] if damage is None else damage)
    assert Checkpoints(tmp_path).newest() == previous
    assert "last.ckpt is damaged" in caplog.text
