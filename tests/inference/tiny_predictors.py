"""Predictors of small seeded networks, a scan for them, and what they predict in it as whole volumes."""

import numpy as np
import torch
from torch import Tensor

from aunet.classes import Labels
from aunet.data.io.volume import Volume
from aunet.data.preprocessing.resampling import GridMapping
from aunet.data.preprocessing.steps import Preprocessing
from aunet.inference.predictor import Predictor
from aunet.inference.window_layout import Window
from tests.inference.tiny_networks import Neighbourhood

WINDOW = Window((16, 16, 16), size_multiple=(4, 4, 4))


def noisy_scan(affine: np.ndarray | None = None, shape: tuple[int, int, int] = (20, 26, 18)) -> Volume:
    array = np.random.default_rng(0).normal(50, 10, shape).astype(np.float32)
    return Volume(array, np.eye(4) if affine is None else affine)


def seeded_network(seed: int = 3) -> Neighbourhood:
    tiny, generator = Neighbourhood(), torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in tiny.parameters():
            parameter += 0.5 * torch.randn(parameter.shape, generator=generator)
    return tiny


def tiny_predictor(
    labels: Labels, seed: int = 3, spacing: tuple[float, ...] | None = None, inferer: object = WINDOW, **more: object
) -> Predictor:
    preprocessing = Preprocessing(spacing, "mr", None)
    return Predictor(seeded_network(seed), preprocessing, labels, inferer, **more)  # type: ignore[arg-type]


def logits_at_voxels(one: Predictor, volume: Volume) -> tuple[Tensor, np.ndarray]:
    """Logits (K, H, W, D) of the whole image, resampled whole to the scan, and the voxels outside their grid."""
    prepared = one.preprocessing.image([volume])
    logits = one.predict_preprocessed(torch.from_numpy(prepared.array)).logits
    mapping = GridMapping(prepared.affine, volume.shape, volume.affine, one.preprocessing.resampling)
    first, second, third = mapping.outside(logits.shape[1:])
    outside = first[:, None, None] | second[:, None] | third
    return torch.stack([mapping.resample(values) for values in logits]), outside
