"""The paper's gates of one skip computed together on a CPU: ``SeveralGates`` in fewer passes over memory.

A gated skip waits for memory: each gate writes a product, a convolution and a norm of full size, and their
concatenation is convolved and normalized again. Yet output transforms, norms and combination are affine in
p = (a_1 x, ..., a_M x), the skip x of a voxel times each of its M coefficients, and a batch norm of W p + b needs only
the mean and the covariance S of p:

    A = [C_1 diag(s_1) W_1, ..., C_M diag(s_M) W_M],  s_m = gamma_m / sqrt(diag(W_m S_mm W_m^T) + epsilon)
    output = relu(diag(s) A (p - mean) + beta),       s = gamma / sqrt(diag(A S A^T) + epsilon)

So p is the only large map between skip and output. In training all biases and shifts but the last cancel, and their
gradients are 0. In evaluation running statistics replace those of p. Times: `experiments/benchmarks/README.md`.

Letters: N voxels of the batch, F channels of the skip, G of the gating signal, M gates. A unit is a 1x1 convolution
with the batch norm after it; its weights are those of both, the convolution's as (out, in).
"""

from collections.abc import Sequence
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.autograd import Function
from torch.autograd.function import once_differentiable
from torch.autograd.graph import saved_tensors_hooks

from aunet.networks.gates import GridGate
from aunet.networks.linear_resizing import resize_linearly

# A product of bf16 matrices is rounded to bf16, so moments are added in float32 over products of so many rows.
_ROWS_PER_PRODUCT = 512


class _Unit(NamedTuple):
    """The weights of a 1x1 convolution (out, in) and (out), and of the batch norm after it, both (out)."""

    weight: Tensor
    bias: Tensor
    scale: Tensor
    shift: Tensor


def gate_jointly(
    gates: Sequence[GridGate], combination: nn.Sequential, skip: Tensor, gating: Tensor
) -> tuple[Tensor, Tensor]:
    """Return the gated skip (B, F, *spatial) and its coefficients (B, M, *spatial), by gating (B, G, *coarser).

    ``aunet.networks.several_gates`` checks that gates and tensors fit: channels-last, of bf16 or float32.
    """
    units = [*(cast(nn.Sequential, gate.output) for gate in gates), combination]
    with torch.autocast("cpu", enabled=False):
        coefficients = _coefficients(gates, skip, gating)
        rows, row_coefficients = _as_rows(skip), _as_rows(coefficients).to(skip.dtype)
        if combination.training:
            weights = [weight for unit in units for weight in (*unit[0].parameters(), *unit[1].parameters())]
            norms = [unit[1] for unit in units]
            gated = _GatedRows.apply(rows, row_coefficients, norms, *weights)  # pyright: ignore[reportUnknownVariableType]
        else:
            gated = _apply(_multiply(rows, row_coefficients), *_fold_running_statistics(units))
    return _as_maps(gated, skip.shape), coefficients


def _coefficients(gates: Sequence[GridGate], skip: Tensor, gating: Tensor) -> Tensor:
    """Return the coefficients (B, M, *spatial), float32: additive scores of a convolution of patches, and a sigmoid."""
    patches, grid = _as_patches(skip, gates[0].theta.stride)
    theta = torch.cat([_as_matrix(gate.theta.weight) for gate in gates])
    phi = torch.cat([_as_matrix(gate.phi.weight) for gate in gates])
    psi = torch.block_diag(*(_as_matrix(gate.psi.weight) for gate in gates))
    phi_bias = torch.cat([torch.as_tensor(gate.phi.bias) for gate in gates])
    psi_bias = torch.cat([torch.as_tensor(gate.psi.bias) for gate in gates])
    hidden = torch.addmm(phi_bias.to(skip), _as_rows(gating), phi.to(skip).T)
    hidden = torch.addmm(hidden, patches, theta.to(skip).T).relu_()
    scores = torch.addmm(psi_bias.to(skip), hidden, psi.to(skip).T).float()
    return resize_linearly(_as_maps(scores.sigmoid(), (skip.shape[0], len(gates), *grid)), skip.shape[2:])


class _GatedRows(Function):
    """Coefficients times skip, output transforms, combination and ReLU, the norms in training: (N, F) -> (N, F)."""

    @staticmethod
    def forward(
        ctx: Any, skip: Tensor, coefficients: Tensor, norms: Sequence[nn.BatchNorm3d], *weights: Tensor
    ) -> Tensor:
        """Gate the rows of skip (N, F) by coefficients (N, M), and count the batch in the running statistics."""
        products = _multiply(skip, coefficients)
        moments = (_inner_products(coefficients, skip).flatten(), _inner_products(products, products))
        # The graph of the weights alone, run backward below. It is small enough to be kept where levels are recomputed,
        # and a backward pass inside another one could not recompute it.
        with torch.enable_grad(), saved_tensors_hooks(_unchanged, _unchanged):
            small = [one.detach().requires_grad_() for one in (*moments, *weights)]
            matrix, shift = _fold_batch(small[0], small[1], _as_units(small[2:]), norms, len(skip))
        gated = _apply(products, matrix.detach(), shift.detach())
        ctx.save_for_backward(skip, coefficients, products, gated)
        ctx.small, ctx.folded = small, (matrix, shift)
        return gated

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:  # pyright: ignore
        """Return the gradients of skip, coefficients and weights."""
        skip, coefficients, products, gated = ctx.saved_tensors
        width, end = skip.shape[1], products.shape[1]
        matrix = ctx.folded[0].detach()
        both = torch.cat([products, torch.ops.aten.threshold_backward(gradient, gated, 0)], dim=1)
        gradient = both[:, end:]
        of_folded = ((gradient.T @ products).to(matrix), gradient.sum(0).to(matrix))
        with torch.enable_grad():  # of a sum: torch compares the sizes of gradients by sympy, which it would load
            total = sum((one * of_one).sum() for one, of_one in zip(ctx.folded, of_folded, strict=True))
        of_sums, of_squares, *of_weights = torch.autograd.grad(
            total, ctx.small, retain_graph=True, materialize_grads=True
        )
        # of p: the derivatives of its sums, of its squares and of the output, the last two in one product of matrices
        constant, linear = of_sums.to(skip), torch.cat([of_squares + of_squares.T, matrix]).to(skip)
        ones, summands = skip.new_ones(width, 1), torch.empty_like(skip)
        of_skip, of_coefficients = skip, torch.empty_like(coefficients)
        for number, coefficient in enumerate(coefficients.split(1, dim=1)):
            part = slice(number * width, (number + 1) * width)
            of_product = torch.addmm(constant[part], both, linear[:, part])
            torch.mul(of_product, skip, out=summands)
            # assigned: with out=, torch 2.8 leaves half of a bf16 column as it was
            of_coefficients[:, number : number + 1] = summands @ ones
            of_skip = of_skip.addcmul_(of_product, coefficient) if number else of_product.mul_(coefficient)
        return of_skip, of_coefficients, None, *of_weights


def _unchanged(tensor: Tensor) -> Tensor:
    return tensor


def _multiply(skip: Tensor, coefficients: Tensor) -> Tensor:
    """Return the products (N, M F) of skip (N, F) and each of the coefficients (N, M)."""
    num_gates, width = coefficients.shape[1], skip.shape[1]
    products = skip.new_empty(len(skip), num_gates * width)
    for number in range(num_gates):  # one product of three axes takes twice as long
        part = products[:, number * width : (number + 1) * width]
        torch.mul(skip, coefficients[:, number : number + 1], out=part)
    return products


def _apply(products: Tensor, matrix: Tensor, shift: Tensor) -> Tensor:
    """Return relu(matrix p + shift) for each row p of products (N, M F): (N, F)."""
    return torch.addmm(shift.to(products), products, matrix.to(products).T).relu_()


def _inner_products(first: Tensor, second: Tensor) -> Tensor:
    """Return first^T second (A, B) for rows (N, A) and (N, B), float32 for bf16."""
    if first.dtype != torch.bfloat16:
        return first.T @ second
    size = _ROWS_PER_PRODUCT
    num_parts = len(first) // size
    parts = (rows[: num_parts * size].view(num_parts, size, rows.shape[1]) for rows in (first, second))
    rest, rest_of_second = (rows[num_parts * size :].float() for rows in (first, second))
    return torch.bmm(next(parts).transpose(1, 2), next(parts)).float().sum(0) + rest.T @ rest_of_second


def _fold_batch(
    sums: Tensor, squares: Tensor, units: Sequence[_Unit], norms: Sequence[nn.BatchNorm3d], count: int
) -> tuple[Tensor, Tensor]:
    """Return matrix (F, M F) and shift (F) for ``count`` rows p, and count them in the running statistics.

    ``sums`` (M F) are those of p, ``squares`` (M F, M F) those of p p^T.
    """
    mean = sums / count
    covariance = squares / count - mean[:, None] * mean
    *outputs, combination = units
    width, blocks = len(combination.shift), list[Tensor]()
    center = combination.bias.detach()
    for number, (unit, norm) in enumerate(zip(outputs, norms[:-1], strict=True)):
        part = slice(number * width, (number + 1) * width)
        variance = ((unit.weight @ covariance[part, part]) * unit.weight).sum(1).clamp_min(0)
        share = combination.weight[:, part]
        blocks.append(share * (unit.scale * (variance + norm.eps).rsqrt()) @ unit.weight)
        _count_batch(norm, unit.weight @ mean[part] + unit.bias, variance, count)
        center = center + share @ unit.shift
    matrix = torch.cat(blocks, dim=1)
    variance = ((matrix @ covariance) * matrix).sum(1).clamp_min(0)
    _count_batch(norms[-1], center, variance, count)
    matrix = (combination.scale * (variance + norms[-1].eps).rsqrt())[:, None] * matrix
    return matrix, combination.shift - matrix @ mean


def _fold_running_statistics(units: Sequence[nn.Sequential]) -> tuple[Tensor, Tensor]:
    """Return matrix (F, M F) and shift (F) of output transforms and combination in evaluation."""
    *outputs, (combination, shift) = map(_fold_unit, units)
    blocks: list[Tensor] = []
    for share, (matrix, constant) in zip(combination.chunk(len(outputs), dim=1), outputs, strict=True):
        blocks.append(share @ matrix)
        shift = shift + share @ constant
    return torch.cat(blocks, dim=1), shift


def _fold_unit(unit: nn.Sequential) -> tuple[Tensor, Tensor]:
    """Return matrix (out, in) and shift (out) of a unit in evaluation; its norm may be folded in already."""
    convolution, norm = unit[0], unit[1]
    matrix, bias = torch.as_tensor(convolution.weight).flatten(1), torch.as_tensor(convolution.bias)
    if isinstance(norm, nn.Identity):
        return matrix, bias
    assert isinstance(norm, nn.BatchNorm2d | nn.BatchNorm3d)
    mean, variance = torch.as_tensor(norm.running_mean), torch.as_tensor(norm.running_var)
    scale = norm.weight * (variance + norm.eps).rsqrt()
    return scale[:, None] * matrix, scale * (bias - mean) + norm.bias


@torch.no_grad()
def _count_batch(norm: nn.BatchNorm3d, mean: Tensor, variance: Tensor, count: int) -> None:
    """Update the running statistics as ``nn.BatchNorm3d`` does, with the variance over n - 1."""
    momentum = norm.momentum
    assert momentum is not None
    torch.as_tensor(norm.num_batches_tracked).add_(1)
    torch.as_tensor(norm.running_mean).lerp_(mean, momentum)
    torch.as_tensor(norm.running_var).lerp_(variance * (count / (count - 1)), momentum)


def _as_units(weights: Sequence[Tensor]) -> list[_Unit]:
    fours = (weights[first : first + 4] for first in range(0, len(weights), 4))
    return [_Unit(weight.flatten(1), *others) for weight, *others in fours]


def _as_rows(maps: Tensor) -> Tensor:
    """Return maps (B, C, *spatial) as rows (N, C), without a copy if they are channels-last."""
    return maps.movedim(1, -1).flatten(0, -2)


def _as_maps(rows: Tensor, shape: Sequence[int]) -> Tensor:
    """Return rows (N, C) as channels-last maps of ``shape`` (B, C, *spatial)."""
    return rows.view(shape[0], *shape[2:], shape[1]).movedim(-1, 1)


def _as_patches(maps: Tensor, stride: Sequence[int]) -> tuple[Tensor, list[int]]:
    """Return the adjacent patches of maps (B, C, *spatial) as rows (cells, voxels * C), and the size of their grid."""
    grid = [length // step for length, step in zip(maps.shape[2:], stride, strict=True)]
    sides = [side for pair in zip(grid, stride, strict=True) for side in pair]
    axes = range(1, 2 * len(grid) + 1)
    split = maps.movedim(1, -1).reshape(maps.shape[0], *sides, maps.shape[1])
    return split.permute(0, *axes[::2], *axes[1::2], -1).flatten(len(grid) + 1).flatten(0, len(grid)), grid


def _as_matrix(kernel: Tensor) -> Tensor:
    """Return a kernel (out, in, *patch) as a matrix (out, voxels * in), which multiplies a row of ``_as_patches``."""
    return kernel.movedim(1, -1).flatten(1)
