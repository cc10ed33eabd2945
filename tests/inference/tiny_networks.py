"""Networks small enough to know what they say."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Pointwise(nn.Module):
    """Logits of two classes from each voxel alone, coefficients of level 2 and 3 from each cell alone."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.tensor([-1.5, 2.5]).reshape(2, 1, 1, 1))
        self.batch_sizes: list[int] = []
        self.window_sizes: set[tuple[int, ...]] = set()

    def forward(self, image: Tensor) -> Tensor:
        self.batch_sizes.append(len(image))
        self.window_sizes.add(tuple(image.shape[2:]))
        return image[:, :1] * self.scale + 0.25

    def forward_with_attention(self, image: Tensor) -> tuple[Tensor, dict[int, Tensor]]:
        pooled = {level: F.avg_pool3d(image, 2 ** (level - 1)) for level in (2, 3)}
        return self(image), {level: torch.cat([cells, -cells], 1) for level, cells in pooled.items()}


class Neighbourhood(nn.Module):
    """Two convolutions around a pooling, so that borders of windows and the place of the pooling grid matter."""

    size_multiple = (4, 4, 4)

    def __init__(self, in_channels: int = 1, num_classes: int = 3) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.fine = nn.Conv3d(in_channels, 4, 3, padding=1)
        self.norm = nn.BatchNorm3d(4)
        self.coarse = nn.Conv3d(4, 4, 3, padding=1)
        self.head = nn.Conv3d(4, num_classes, 1)

    def forward(self, image: Tensor) -> Tensor:
        fine = self.norm(self.fine(image)).relu()
        coarse = self.coarse(F.max_pool3d(fine, 4)).relu()
        return self.head(fine + F.interpolate(coarse, size=image.shape[2:], mode="trilinear"))


class Threshold(nn.Module):
    """Class 1 where a standardised image is above its mean, surely and everywhere the same."""

    def __init__(self) -> None:
        super().__init__()
        self.steepness = nn.Parameter(torch.tensor(4.0))

    def forward(self, image: Tensor) -> Tensor:
        return torch.cat([-self.steepness * image, self.steepness * image], dim=1)
