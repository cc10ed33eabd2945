"""Weights of other runs and files, as a start."""

import pickle
from pathlib import Path

import pytest
import torch
import yaml
from safetensors.torch import save_file
from torch import Tensor, nn

from aunet.errors import UserError
from aunet.networks import AttentionUNet
from aunet.training.transfer import SourceWeights, Transfer, find_class_blocks, read_weights, transfer_weights


def network(num_classes: int, seed: int) -> nn.Module:
    torch.manual_seed(seed)
    return AttentionUNet(num_classes=num_classes, channels=(4, 8, 8)).eval()


def load_from(trained: nn.Module, theirs: tuple[str, ...] | None, ours: tuple[str, ...]) -> tuple[nn.Module, Transfer]:
    fresh = network(len(ours), seed=1)
    blocks = find_class_blocks(fresh, network(len(ours) + 1, seed=1), len(ours))
    source = SourceWeights(Path("there"), trained.state_dict(), theirs)
    return fresh, transfer_weights(fresh, source, ours, blocks)


def logits(of: nn.Module) -> Tensor:
    torch.manual_seed(2)
    return of(torch.randn(1, 1, 8, 8, 8)).detach()


def test_the_same_classes_give_the_same_logits() -> None:
    trained = network(3, seed=0)
    fresh, result = load_from(trained, ("background", "a", "b"), ("background", "a", "b"))
    assert torch.equal(logits(fresh), logits(trained))
    assert not result.left
    assert not result.unused


def test_classes_in_another_order_give_their_logits_in_that_order() -> None:
    trained = network(3, seed=0)
    fresh, result = load_from(trained, ("background", "a", "b"), ("background", "b", "a"))
    torch.testing.assert_close(logits(fresh), logits(trained)[:, [0, 2, 1]])
    assert all(name.startswith("head.") for name in result.by_class)


def test_a_class_that_is_left_out_does_not_change_how_the_others_are_scored() -> None:
    """Up to the fusion, which weighs the scores of the class that is gone too: its weights are set to 0."""
    trained = network(3, seed=0)
    for level in trained.head.level_scores:
        level.weight.data[1] = 0
        level.bias.data[1] = 0
    fresh, _ = load_from(trained, ("background", "a", "b"), ("background", "b"))
    torch.testing.assert_close(logits(fresh), logits(trained)[:, [0, 2]])


def test_a_new_class_is_left_at_its_start() -> None:
    trained, start = network(2, seed=0), network(3, seed=1)
    fresh, result = load_from(trained, ("background", "a"), ("background", "new", "a"))
    scores, before, theirs = (module.head.level_scores[0].weight for module in (fresh, start, trained))
    assert torch.equal(scores[1], before[1])
    assert torch.equal(scores[[0, 2]], theirs)
    assert not result.left


def test_the_head_is_left_where_the_classes_are_unknown_and_their_number_differs() -> None:
    start = network(3, seed=1)
    fresh, result = load_from(network(4, seed=0), None, ("background", "a", "b"))
    assert result.left == [name for name in start.state_dict() if name.startswith("head.")]
    assert torch.equal(fresh.head.fusion.weight, start.head.fusion.weight)


def test_weights_of_another_network_are_refused() -> None:
    with pytest.raises(UserError, match="none of its 2 tensors"):
        load_from(nn.Linear(2, 2), None, ("background", "a"))


def test_every_kind_of_file_is_read_alike(tmp_path: Path) -> None:
    state = network(2, seed=0).state_dict()
    torch.save(state, tmp_path / "weights.pt")
    torch.save({"state_dict": {f"network.{name}": value for name, value in state.items()}}, tmp_path / "run.ckpt")
    save_file({f"module.{name}": value.contiguous() for name, value in state.items()}, tmp_path / "it.safetensors")
    for name in ("weights.pt", "run.ckpt", "it.safetensors"):
        source = read_weights(tmp_path / name)
        assert source.tensors.keys() == state.keys()
        assert all(torch.equal(source.tensors[key], state[key]) for key in state)
        assert source.class_names is None


def test_a_runs_folder_gives_its_best_checkpoint_and_its_classes(tmp_path: Path) -> None:
    (tmp_path / "checkpoints").mkdir()
    for name in ("best", "last"):
        torch.save({"state_dict": {f"network.{name}": torch.ones(1)}}, tmp_path / "checkpoints" / f"{name}.ckpt")
    (tmp_path / "config.yaml").write_text(yaml.safe_dump({"dataset": {"class_names": ["background", "a"]}}))
    for place in (tmp_path, tmp_path / "checkpoints" / "best.ckpt"):
        source = read_weights(place)
        assert list(source.tensors) == ["best"]
        assert source.class_names == ("background", "a")


class Trap:
    """Would write a file if it were unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> object:
        return (Path.touch, (self.path,))


def test_nothing_is_unpickled(tmp_path: Path) -> None:
    (tmp_path / "trap.pt").write_bytes(pickle.dumps({"state_dict": Trap(tmp_path / "sprung")}, protocol=2))
    torch.save({"state_dict": Trap(tmp_path / "sprung")}, tmp_path / "trap.ckpt")
    for name in ("trap.pt", "trap.ckpt"):
        with pytest.raises(UserError, match=r"cannot be read as tensors and plain values"):
            read_weights(tmp_path / name)
    assert not (tmp_path / "sprung").exists()


def test_weights_at_a_path_that_is_not_there_are_named_as_missing(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"init=.*absent\.ckpt: no such file or folder\. Give a run's folder"):
        read_weights(tmp_path / "absent.ckpt")


@pytest.mark.parametrize("name", ["text.pt", "text.safetensors"])
def test_a_file_without_weights_is_reported(name: str, tmp_path: Path) -> None:
    for broken in ("text.pt", "text.safetensors"):
        (tmp_path / broken).write_text("no weights")
    with pytest.raises(UserError, match="cannot be read"):
        read_weights(tmp_path / name)
