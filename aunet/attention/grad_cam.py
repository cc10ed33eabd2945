"""Grad-CAM of a segmentation network for whole cases: the contrast to the coefficients of a gate.

Selvaraju et al. 2017 for a classifier; for a segmentation, Vinogradova et al. 2020: the score of a class is the sum of
its logits over the voxels predicted as the class. A class's map is relu(sum_c w_c A_c), with features A of one layer
and w_c the mean over space of the score's gradient with respect to A_c. The sums run over all windows of a case, each
with its weight in the stitched prediction, so a case has one map per class, whatever its windows.

MONAI's GradCAM sums a class's logits over the whole image, one class and one image at a time; it is not used because it
knows neither windows nor predicted voxels.
"""

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from copy import copy

import torch
from torch import Tensor, nn

from aunet.attention.case_map import CaseMap, case_map
from aunet.attention.probed_network import layout_of
from aunet.inference.predictor import Predictor
from aunet.inference.window_layout import WindowLayout
from aunet.networks import UNet
from aunet.networks.inspection.cost import first_tensor
from aunet.networks.slice_by_slice import as_volumes, unwrap

Layers = Mapping[str, nn.Module]


def layers_of(network: nn.Module, image: Tensor) -> dict[str, nn.Module]:
    """Return the layers whose Grad-CAM is scored, by name.

    For our U-Nets they are the encoder's levels but the first, so that each level's map lies on the grid of the gate at
    this level. For other networks it is the last layer to run on the coarsest grid, for an ``image`` (1, C, H, W, D).
    """
    inner = unwrap(network)
    if isinstance(inner, UNet):
        return {f"level {level}": module for level, module in enumerate(inner.encoder.levels, start=1) if level > 1}
    name, module = _coarsest_layer(network, image)
    return {name: module}


def grad_cam(predictor: Predictor, image: Tensor, logits: Tensor, layers: Layers) -> dict[str, CaseMap]:
    """Return the maps (classes, ...) of each layer for the foreground classes of ``image`` (C, H, W, D).

    ``logits`` (K, H, W, D) are the stitched prediction of ``image``. The map of a class without a predicted voxel is 0.
    """
    layout = layout_of(predictor, image)
    weights = _channel_weights(predictor, image, predictor.target.label_map(logits), layers)
    stitcher = copy(predictor)
    stitcher.network = _ClassActivation(predictor.network, layers, weights)
    maps = stitcher.predict_preprocessed(layout.pad(image), with_attention=True).coefficients
    return {
        name: case_map(torch.from_numpy(maps[key].values).relu(), layout) for key, name in enumerate(layers, start=1)
    }


def _channel_weights(predictor: Predictor, image: Tensor, predicted: Tensor, layers: Layers) -> dict[str, Tensor]:
    """Return w (classes, channels) of each layer, from a backward pass per class and window, in float32."""
    layout, device, labels = layout_of(predictor, image), predictor.device, predictor.labels
    num_classes = len(labels.foreground)
    padded = layout.pad(image.to(device))
    total_importance = _total_importance(layout).to(device)
    classes = layout.pad(predicted[None].to(device))[0]
    sums: dict[str, Tensor] = {}
    cells: dict[str, int] = {}
    for corner in layout.corners:
        window = layout.cut(padded, corner)[None]
        importance = layout.weights(corner).to(device)
        share = importance / layout.cut(total_importance, corner)  # of the window in the stitched value of its voxels
        with torch.enable_grad(), ExitStack() as hooks:
            features = {name: _kept(module, hooks) for name, module in layers.items()}
            logits = predictor.network(window.requires_grad_()).float()
            for index, _ in labels.foreground:
                counted = labels.mask(layout.cut(classes[None], corner), index) * share
                if not counted.any():
                    continue
                inputs = [kept[0] for kept in features.values()]
                gradients = torch.autograd.grad(
                    (logits[:, index - labels.first_output] * counted).sum(), inputs, retain_graph=True
                )
                for name, gradient in zip(layers, gradients, strict=True):
                    total = sums.setdefault(name, torch.zeros(num_classes, gradient.shape[1], device=device))
                    total[index - 1] += _over_space(gradient).sum(dim=(0, 2))
            for name, kept in features.items():
                cells[name] = cells.get(name, 0) + _over_space(kept[0])[:, 0].numel()
                sums.setdefault(name, torch.zeros(num_classes, kept[0].shape[1], device=device))
    return {name: total / cells[name] for name, total in sums.items()}


def _total_importance(layout: WindowLayout) -> Tensor:
    """Return the sum (1, *padded_size) of the weights that all windows have in each voxel."""
    total = torch.zeros(1, *layout.padded_size)
    for corner in layout.corners:
        layout.cut(total, corner).add_(layout.weights(corner))
    return total


def _kept(module: nn.Module, hooks: ExitStack) -> list[Tensor]:
    """Return a list that will hold the features of ``module`` after a forward pass, as long as ``hooks`` are open."""
    kept: list[Tensor] = []

    def keep(_module: nn.Module, _inputs: object, output: object) -> Tensor | None:
        features = first_tensor(output)
        assert features is not None
        kept.append(features)
        return features.clone() if features is output else None  # an activation that follows may work in place

    hooks.enter_context(module.register_forward_hook(keep))
    return kept


def _over_space(features: Tensor) -> Tensor:
    """Flatten (B, C, *spatial) -> (B, C, cells)."""
    return features.flatten(2)


class _ClassActivation(nn.Module):
    """A network whose "coefficients" are sum_c w_c A_c: {number of the layer: (B, classes, *cells)}."""

    def __init__(self, network: nn.Module, layers: Layers, weights: Mapping[str, Tensor]) -> None:
        super().__init__()
        self.network: Callable[[Tensor], Tensor] = network
        self._layers = layers
        self._weights = weights

    def forward(self, image: Tensor) -> Tensor:
        """Return the network's logits (B, K, H, W, D)."""
        return self.network(image)

    def forward_with_attention(self, image: Tensor) -> tuple[Tensor, dict[int, Tensor]]:
        """Return logits and the maps of each layer, numbered from 1, before the ReLU."""
        with ExitStack() as hooks:
            features = {name: _kept(module, hooks) for name, module in self._layers.items()}
            logits = self.network(image)
        maps: dict[int, Tensor] = {}
        for key, (name, [kept]) in enumerate(features.items(), start=1):
            with torch.autocast(kept.device.type, enabled=False):
                values = torch.einsum("kc,bc...->bk...", self._weights[name], kept.float())
            maps[key] = values if values.ndim == image.ndim else as_volumes(values, image)
        return logits, maps


def _coarsest_layer(network: nn.Module, image: Tensor) -> tuple[str, nn.Module]:
    """Return the last module to run whose features have the fewest cells of all that have the image's axes."""
    found: list[tuple[int, str, nn.Module]] = []

    def note(name: str, module: nn.Module, output: object) -> None:
        features = first_tensor(output)
        if features is not None and features.ndim == image.ndim:
            found.append((features.shape[2:].numel(), name, module))

    with torch.no_grad(), ExitStack() as hooks:
        for name, module in network.named_modules():
            hooks.enter_context(
                module.register_forward_hook(lambda of, _inputs, output, name=name: note(name, of, output))
            )
        network(image)
    fewest = min(cells for cells, _, _ in found)
    _, name, module = [entry for entry in found if entry[0] == fewest][-1]
    return name, module
