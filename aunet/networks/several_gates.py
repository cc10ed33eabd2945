"""Several gates on one skip, computed one by one or, if they are the paper's on a CPU, together."""

import itertools
from collections.abc import Sequence
from typing import TypeGuard

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm  # pyright: ignore[reportPrivateUsage]

from aunet.networks.blocks import ConvolutionUnit
from aunet.networks.gates import GateFactory, GridGate
from aunet.networks.joint_gates import gate_jointly
from aunet.networks.layers import Layers, PerAxis, initialize_as_released, is_channels_last, keep_layout_in_backward

# With fewer voxels the operations on weights cost more than fewer passes over memory save.
_FEWEST_VOXELS = 1024
_PLAIN = (nn.Conv2d, nn.Conv3d, nn.BatchNorm2d, nn.BatchNorm3d, nn.ReLU, nn.Identity)


class SeveralGates(nn.Module):
    """One or more gates on the same skip, their outputs combined by a 1x1 convolution unit."""

    def __init__(
        self,
        layers: Layers,
        skip_channels: int,
        gating_channels: int,
        stride: PerAxis = 2,
        gate: GateFactory = GridGate,
        num_gates: int = 2,
    ) -> None:
        super().__init__()
        self.gates = nn.ModuleList(gate(layers, skip_channels, gating_channels, stride) for _ in range(num_gates))
        self.combination = ConvolutionUnit(layers, skip_channels * num_gates, skip_channels, kernel_size=1)
        initialize_as_released(self.combination)

    def forward(self, skip: Tensor, gating: Tensor) -> tuple[Tensor, Tensor]:
        """Return the gated skip (B, F, *spatial) and its coefficients (B, M, *spatial), by gating (B, G, *coarser)."""
        gates = [gate for gate in self.gates if _is_of_the_paper(gate)]
        if len(gates) == len(self.gates) and self._can_join(gates, skip, gating):
            return gate_jointly(gates, self.combination, skip, gating)
        gated, coefficients = zip(*(gate(skip, gating) for gate in self.gates), strict=True)
        features = torch.cat([keep_layout_in_backward(part) for part in gated], dim=1)
        return self.combination(features), torch.cat(coefficients, dim=1)

    def _can_join(self, gates: Sequence[GridGate], skip: Tensor, gating: Tensor) -> bool:
        """Return whether ``gate_jointly`` computes what the modules would; a hook on one of them expects it to run."""
        if not _is_eager_on_a_cpu(skip, gating):
            return False
        ratio = tuple(fine / coarse for fine, coarse in zip(skip.shape[2:], gating.shape[2:], strict=True))
        return (
            skip.numel() >= _FEWEST_VOXELS * skip.shape[1]
            and all(gate.theta.stride == ratio for gate in gates)
            and all(type(module) in _PLAIN for module in self.modules() if not any(True for _ in module.children()))
            and self.training == torch.is_grad_enabled()
            and all(_is_affine(unit, self.training) for unit in (*(gate.output for gate in gates), self.combination))
            and not any(_has_hooks(module) for child in self.children() for module in child.modules())
        )


def _is_of_the_paper(gate: nn.Module) -> TypeGuard[GridGate]:
    return (
        type(gate) is GridGate
        and gate.is_additive
        and gate.nonlinearity is torch.relu
        and not gate.is_normalized_over_space
        and gate.psi.out_channels == 1
        and isinstance(gate.output, nn.Sequential)
    )


def _is_affine(unit: nn.Module, is_training: bool) -> bool:
    """Return whether a convolution and a batch norm begin ``unit``, which an inference engine folds into one."""
    convolution, norm = itertools.islice(unit.children(), 2)
    if not isinstance(convolution, nn.Conv2d | nn.Conv3d) or convolution.bias is None:
        return False
    if isinstance(norm, _BatchNorm):
        is_plain = norm.affine and norm.track_running_stats and norm.momentum is not None
        return is_plain and norm.training == is_training
    return isinstance(norm, nn.Identity) and not is_training


def _is_eager_on_a_cpu(skip: Tensor, gating: Tensor) -> bool:
    """Return whether both are channels-last maps with values, of the type in which the network computes."""
    if torch.compiler.is_compiling() or torch.jit.is_tracing():
        return False
    is_cast = torch.is_autocast_enabled("cpu")
    dtype = torch.get_autocast_dtype("cpu") if is_cast else torch.float32
    return all(
        type(maps) is Tensor and maps.device.type == "cpu" and maps.dtype == dtype and is_channels_last(maps)
        for maps in (skip, gating)
    )


def _has_hooks(module: nn.Module) -> bool:
    """Return whether ``module`` has hooks of its own, for which torch has no public question."""
    return bool(
        module._forward_hooks  # pyright: ignore[reportPrivateUsage]
        or module._forward_pre_hooks  # pyright: ignore[reportPrivateUsage]
        or module._backward_hooks  # pyright: ignore[reportPrivateUsage]
        or module._backward_pre_hooks  # pyright: ignore[reportPrivateUsage]
    )
