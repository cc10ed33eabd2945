"""Initial weights from another run: matched by name and shape, and along the classes by the classes' names."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from aunet.errors import UserError
from aunet.messages import shortened
from aunet.runs.run_folder import checkpoint_of_run, run_of_checkpoint
from aunet.runs.tensor_files import UnreadableTensorsError, read_tensors

_log = logging.getLogger(__name__)

Weights = Mapping[str, Tensor]
# Prefixes that wrappers add to names: our training task and 2D networks on volumes, torch's data parallel.
_PREFIXES = ("network.", "module.")
_MOST_NAMED = 4
_WEIGHTS = "Give a run's folder, or a .ckpt, .pt or .safetensors file that holds a state dict."


@dataclass(frozen=True)
class SourceWeights:
    """Tensors by name, the path of their file, and the classes for which they were trained, if known."""

    path: Path
    tensors: Weights
    class_names: tuple[str, ...] | None


@dataclass(frozen=True)
class Transfer:
    """A network's tensors by name: as in the source, in part (shared classes), or left at their initial values."""

    source: str
    matched: list[str] = field(default_factory=list[str])
    by_class: list[str] = field(default_factory=list[str])
    left: list[str] = field(default_factory=list[str])
    unused: list[str] = field(default_factory=list[str])

    def as_record(self) -> dict[str, object]:
        """Return the values for the run's record."""
        return asdict(self)

    def log(self) -> None:
        """Log one line, and a warning if anything did not match."""
        total = len(self.matched) + len(self.by_class) + len(self.left)
        parts = f", {len(self.by_class)} for the classes both know" if self.by_class else ""
        _log.info("Weights of %s: %d of %d tensors match%s.", self.source, len(self.matched), total, parts)
        if self.left or self.unused:
            left, unused = (shortened(names, _MOST_NAMED) or "nothing" for names in (self.left, self.unused))
            _log.warning("Left at their start: %s. Not used: %s.", left, unused)


def read_weights(source: Path) -> SourceWeights:
    """Read the tensors of a run's folder (its best checkpoint), a checkpoint, a state dict or a .safetensors file.

    Only tensors and plain values are read. Raises UserError for anything else.
    """
    path = checkpoint_of_run(source) if source.is_dir() else source
    if not path.is_file():
        raise UserError(f"init={source}: no such file or folder. {_WEIGHTS}")
    try:
        content: Any = load_file(path) if path.suffix == ".safetensors" else read_tensors(path)
    except (OSError, ValueError, SafetensorError, UnreadableTensorsError) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise UserError(
            f"init={source}: {path} cannot be read as tensors and plain values ({reason}). {_WEIGHTS}"
        ) from None
    tensors = content.get("state_dict", content) if isinstance(content, Mapping) else {}
    named = {_plain_name(name): value for name, value in tensors.items() if isinstance(value, Tensor)}
    return SourceWeights(path, named, _class_names(path))


def transfer_weights(
    network: nn.Module, source: SourceWeights, class_names: Sequence[str], class_blocks: Mapping[str, Sequence[int]]
) -> Transfer:
    """Load the matching tensors of ``source`` into ``network``.

    Args:
        network: its weights are changed in place.
        source: as ``read_weights`` returns them.
        class_names: those of the channels of the network's logits.
        class_blocks: {tensor: number of blocks of ``num_classes`` entries along each axis, 0 if its length does not
            depend on the classes}; tensors without such an axis have no entry.

    Raises:
        UserError: no tensor matches in name and shape.
    """
    result = Transfer(str(source.path))
    for name, target in network.state_dict().items():
        blocks = class_blocks.get(name, (0,) * target.ndim)
        values = source.tensors.get(_plain_name(name))
        is_other_classes = any(blocks) and source.class_names not in (None, tuple(class_names))
        if values is None:
            result.left.append(name)
        elif is_other_classes and _copy_shared_classes(target, values, blocks, source.class_names or (), class_names):
            result.by_class.append(name)
        elif not is_other_classes and values.shape == target.shape:
            target.copy_(values)
            result.matched.append(name)
        else:
            result.left.append(name)
    result.unused.extend(sorted(source.tensors.keys() - {_plain_name(name) for name in network.state_dict()}))
    if not result.matched:
        raise UserError(
            f"init={source.path}: none of its {len(source.tensors)} tensors has the name and shape of one of this"
            " network. Choose the model it was trained with, or other weights."
        )
    return result


def find_class_blocks(network: nn.Module, with_one_more: nn.Module, num_classes: int) -> dict[str, tuple[int, ...]]:
    """Return the blocks of ``num_classes`` along each axis of each tensor, by comparison with one more class."""
    larger = {name: value.shape for name, value in with_one_more.state_dict().items()}
    blocks = {
        name: tuple(
            wide - length if length == num_classes * (wide - length) else 0
            for length, wide in zip(value.shape, larger[name], strict=True)
        )
        for name, value in network.state_dict().items()
    }
    return {name: along_axes for name, along_axes in blocks.items() if any(along_axes)}


def _copy_shared_classes(
    target: Tensor, values: Tensor, blocks: Sequence[int], theirs: Sequence[str], ours: Sequence[str]
) -> bool:
    """Copy the entries of shared classes; return False if there are none or the shapes do not allow it."""
    expected = [count * len(theirs) if count else length for count, length in zip(blocks, target.shape, strict=True)]
    shared = [name for name in ours if name in theirs]
    if list(values.shape) != expected or not shared:
        return False
    here = [_entries(shared, ours, count, length) for count, length in zip(blocks, target.shape, strict=True)]
    there = [_entries(shared, theirs, count, length) for count, length in zip(blocks, values.shape, strict=True)]
    target[np.ix_(*here)] = values[np.ix_(*there)].to(target)
    return True


def _entries(chosen: Sequence[str], classes: Sequence[str], num_blocks: int, length: int) -> list[int]:
    """Return the positions of ``chosen`` on an axis of ``num_blocks`` blocks of ``classes``; without blocks, all."""
    if not num_blocks:
        return list(range(length))
    return [block * len(classes) + classes.index(name) for block in range(num_blocks) for name in chosen]


def _class_names(checkpoint: Path) -> tuple[str, ...] | None:
    """Return the classes of the run that contains ``checkpoint``; None outside a run."""
    run = run_of_checkpoint(checkpoint)
    if run is None:
        return None
    try:
        facts = run.read_config()["dataset"]
        names = tuple(str(name) for name in facts["class_names"])
        return names[1:] if facts.get("regions") else names  # regions have no background
    except (UserError, KeyError, TypeError):
        return None


def _plain_name(name: str) -> str:
    """Return ``name`` without the prefixes that wrappers add."""
    while name.startswith(_PREFIXES):
        name = name.partition(".")[2]
    return name
