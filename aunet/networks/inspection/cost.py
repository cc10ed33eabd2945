"""The cost of a network on one batch, part by part, measured without computing or allocating anything.

The network runs on tensors that have a size, a type and a graph for the backward pass but no values (torch's
``FakeTensorMode``), so the batch may be larger than this machine could hold.
"""

import copy
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeCopyMode, FakeTensorMode
from torch.autograd.graph import saved_tensors_hooks
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils.flop_counter import FlopCounterMode
from torch.utils.hooks import RemovableHandle

from aunet.networks.gates import IdentitySkip
from aunet.networks.inspection.features import first_tensor, hooked
from aunet.networks.unet import UNet

ELSEWHERE = "elsewhere"
"""Name of the part for operations and parameters outside all others."""

Parts = Mapping[str, Sequence[nn.Module]]


@dataclass
class PartCost:
    """The cost of one part of a network.

    Attributes:
        name: such as "encoder 1"; the first word names the group it belongs to.
        size: of its output features, (*spatial); empty if it has none.
        channels: of those features.
        parameters: number of them.
        flop: of the forward pass, in convolutions and matrix products; one multiply-add counts as two.
        kept_bytes: of the activations kept for the backward pass, each counted in the part that first keeps it.
    """

    name: str
    size: tuple[int, ...] = ()
    channels: int = 0
    parameters: int = 0
    flop: int = 0
    kept_bytes: int = 0


def measure_cost(network: nn.Module, in_channels: int, patch_size: Sequence[int], batch_size: int) -> list[PartCost]:
    """Return the cost of each part of ``network`` in order, then the total, for a float32 training step's forward pass.

    Counting ends at the logits; the loss is not included.
    """
    without_values = FakeTensorMode()
    with FakeCopyMode(without_values):
        network = copy.deepcopy(network).train()
    parts = parts_of(network)
    meter = _Meter(network, [*parts, ELSEWHERE])
    with without_values, meter.watching(parts), meter.flop_counter, saved_tensors_hooks(meter.keep, _not_run_backward):
        logits = network(torch.empty(batch_size, in_channels, *patch_size))
    for name, modules in parts.items():
        meter.costs[name].parameters = _count_parameters(modules)
    kept_bytes = sum(cost.kept_bytes for cost in meter.costs.values())
    total = PartCost("total", parameters=_count_parameters([network]), flop=meter.flop, kept_bytes=kept_bytes)
    _note_features(total, logits)
    return [*_with_rest(meter.costs, total), total]


def forward_gflop(network: nn.Module, in_channels: int, patch_size: Sequence[int]) -> float | None:
    """Return the GFLOP of the forward pass of one patch, a multiply-add counted as 2.

    None if they cannot be counted without computing, as for a network whose layers depend on the values.
    """
    try:
        # Of two patches: batch norm refuses a batch of one whose lowest level is a single voxel.
        return measure_cost(network, in_channels, patch_size, 2)[-1].flop / 2e9
    except (RuntimeError, ValueError, TypeError, NotImplementedError):
        return None


def parts_of(network: nn.Module) -> Parts:
    """Return name and modules of the parts of ``network`` in running order; a part's last module yields its features.

    Our U-Nets are split into levels, level 1 being the full resolution. Other networks are split into their top-level
    modules, or, if they wrap a single module, into the modules of that one.
    """
    if isinstance(network, UNet):
        return _unet_parts(network)
    children = list(network.named_children())
    while len(children) == 1 and any(True for _ in children[0][1].children()):
        children = list(children[0][1].named_children())
    return {name: (module,) for name, module in children}


def _unet_parts(network: UNet) -> Parts:
    encoder, num_skips = network.encoder, len(network.skips)
    pairs = zip(encoder.pooling, encoder.levels, strict=True)
    parts: dict[str, Sequence[nn.Module]] = {f"encoder {level}": pair for level, pair in enumerate(pairs, start=1)}
    if any(True for _ in network.gating.parameters()):
        parts["gating"] = (network.gating,)
    for level, skip in enumerate(network.skips, start=1):
        if not isinstance(skip, IdentitySkip):
            parts[f"skip {level}"] = (skip,)
    for level in range(num_skips, 0, -1):
        parts[f"decoder {level}"] = (network.decoder[level - 1],)
    return parts | {"head": (network.head,)}


class _Meter:
    """A meter that charges the part that was entered last; the tensors of ``network`` itself cost nothing."""

    def __init__(self, network: nn.Module, names: Sequence[str]) -> None:
        self.costs = {name: PartCost(name) for name in names}
        self.flop_counter = FlopCounterMode(display=False)
        self._current = self.costs[ELSEWHERE]
        self._flop_at_entry: list[int] = []
        # Storages are kept alive, because a new one could take over the identity of a freed one.
        self._known = {
            StorageWeakRef(tensor.untyped_storage()): tensor.untyped_storage()
            for tensor in (*network.parameters(), *network.buffers())
        }

    @property
    def flop(self) -> int:
        """Return the operations counted so far."""
        return self.flop_counter.get_total_flops()

    @contextmanager
    def watching(self, parts: Parts) -> Generator[None]:
        """Watch when each part is entered and left."""
        hooks: list[RemovableHandle] = []
        for name, modules in parts.items():
            for module in modules:
                hooks.append(module.register_forward_pre_hook(lambda *_, cost=self.costs[name]: self._enter(cost)))
                hooks.append(module.register_forward_hook(lambda _, __, output: self._leave(output)))
        with hooked(hooks):
            yield

    def keep(self, tensor: Tensor) -> None:
        """Count a tensor that is kept for the backward pass, unless its storage is known already."""
        storage = tensor.untyped_storage()
        if StorageWeakRef(storage) not in self._known:
            self._known[StorageWeakRef(storage)] = storage
            self._current.kept_bytes += storage.nbytes()

    def _enter(self, cost: PartCost) -> None:
        self._current = cost
        self._flop_at_entry.append(self.flop)

    def _leave(self, output: object) -> None:
        self._current.flop += self.flop - self._flop_at_entry.pop()
        _note_features(self._current, output)


def _with_rest(costs: Mapping[str, PartCost], total: PartCost) -> list[PartCost]:
    """Return the parts, and one more for the rest if they do not add up to ``total``."""
    *parts, rest = costs.values()
    rest.parameters = total.parameters - sum(part.parameters for part in parts)
    rest.flop = total.flop - sum(part.flop for part in parts)
    return [*parts, rest] if rest.parameters or rest.flop or rest.kept_bytes else parts


def _count_parameters(modules: Sequence[nn.Module]) -> int:
    return sum(parameter.numel() for parameter in nn.ModuleList(modules).parameters())


def _note_features(cost: PartCost, output: object) -> None:
    """Record size and channels of the first tensor in ``output`` (B, C, *spatial)."""
    features = first_tensor(output)
    if features is not None:
        cost.size, cost.channels = tuple(features.shape[2:]), features.shape[1]


def _not_run_backward(kept: object) -> Tensor:
    raise AssertionError("nothing is run backward here")
