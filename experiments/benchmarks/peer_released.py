"""The paper's Attention U-Net in torch's plain operators, layer for layer as the authors' released code builds it.

It is the contender "authors" of ``peers.py``. ``aunet.networks`` computes the same function with its own resizing, head
and initialization, which the authors' code lacks, so it cannot replace that code in a measurement of time.
Source: ozan-oktay/Attention-Gated-Networks, ``unet_CT_multi_att_dsv_3D`` without its gating convolution. The names of
the layers are the authors', so ``aunet.networks.load_official_weights`` reads the weights.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional


def _resize(features: Tensor, size: Sequence[int]) -> Tensor:
    return functional.interpolate(features, size=tuple(size), mode="trilinear", align_corners=False)


def _unit(in_channels: int, out_channels: int, kernel_size: int = 3) -> nn.Sequential:
    convolution = nn.Conv3d(in_channels, out_channels, kernel_size, padding=kernel_size // 2)
    return nn.Sequential(convolution, nn.BatchNorm3d(out_channels), nn.ReLU(inplace=True))


class ReleasedBlock(nn.Module):
    """Two units of convolution, batch norm and ReLU: (B, in, *spatial) -> (B, out, *spatial)."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.conv1 = _unit(in_channels, out_channels)
        self.conv2 = _unit(out_channels, out_channels)

    def forward(self, features: Tensor) -> Tensor:
        """Apply both units."""
        return self.conv2(self.conv1(features))


class ReleasedGate(nn.Module):
    """One grid gate: skip (B, F, *spatial), gating (B, G, *spatial / 2) -> gated skip (B, F, *spatial)."""

    def __init__(self, channels: int, gating_channels: int) -> None:
        super().__init__()
        self.theta = nn.Conv3d(channels, channels, 2, stride=2, bias=False)
        self.phi = nn.Conv3d(gating_channels, channels, 1)
        self.psi = nn.Conv3d(channels, 1, 1)
        self.W = nn.Sequential(nn.Conv3d(channels, channels, 1), nn.BatchNorm3d(channels))

    def forward(self, skip: Tensor, gating: Tensor) -> Tensor:
        """Weight the skip by coefficients in (0, 1)."""
        theta = self.theta(skip)
        score = functional.relu(theta + _resize(self.phi(gating), theta.shape[2:]), inplace=True)
        coefficients = _resize(torch.sigmoid(self.psi(score)), skip.shape[2:])
        return self.W(coefficients.expand_as(skip) * skip)


class ReleasedGates(nn.Module):
    """Two gates on one skip and the unit that combines them."""

    def __init__(self, channels: int, gating_channels: int) -> None:
        super().__init__()
        self.gate_block_1 = ReleasedGate(channels, gating_channels)
        self.gate_block_2 = ReleasedGate(channels, gating_channels)
        self.combine_gates = _unit(2 * channels, channels, kernel_size=1)

    def forward(self, skip: Tensor, gating: Tensor) -> Tensor:
        """Gate the skip twice: (B, F, *spatial) -> (B, F, *spatial)."""
        return self.combine_gates(torch.cat([self.gate_block_1(skip, gating), self.gate_block_2(skip, gating)], dim=1))


class ReleasedUpsampling(nn.Module):
    """Doubled coarse features beside the skip, then a block."""

    def __init__(self, coarse_channels: int, channels: int) -> None:
        super().__init__()
        self.conv = ReleasedBlock(coarse_channels + channels, channels)

    def forward(self, skip: Tensor, coarse: Tensor) -> Tensor:
        """Map skip (B, F, *spatial) and coarse (B, C, *spatial / 2) to (B, F, *spatial)."""
        return self.conv(torch.cat([skip, _resize(coarse, skip.shape[2:])], dim=1))


class ReleasedScores(nn.Module):
    """Class scores of one decoder level at full resolution."""

    def __init__(self, channels: int, num_classes: int, factor: int) -> None:
        super().__init__()
        scaling = nn.Upsample(scale_factor=factor, mode="trilinear")
        self.dsv = nn.Sequential(nn.Conv3d(channels, num_classes, 1), scaling)

    def forward(self, features: Tensor) -> Tensor:
        """(B, F, *spatial / factor) -> (B, K, *spatial)."""
        return self.dsv(features)


class ReleasedAttentionUNet(nn.Module):
    """Attention U-Net with two gates a skip; 6,407,018 parameters with the default sizes.

    Args:
        in_channels: channels of the image.
        num_classes: classes of the logits, the background included.
        channels: width of the five levels, finest first.
    """

    def __init__(
        self, in_channels: int = 1, num_classes: int = 4, channels: Sequence[int] = (16, 32, 64, 128, 256)
    ) -> None:
        super().__init__()
        first, second, third, fourth, bottom = channels
        self.conv1 = ReleasedBlock(in_channels, first)
        self.conv2 = ReleasedBlock(first, second)
        self.conv3 = ReleasedBlock(second, third)
        self.conv4 = ReleasedBlock(third, fourth)
        self.center = ReleasedBlock(fourth, bottom)
        self.attentionblock2 = ReleasedGates(second, third)
        self.attentionblock3 = ReleasedGates(third, fourth)
        self.attentionblock4 = ReleasedGates(fourth, bottom)
        self.up_concat4 = ReleasedUpsampling(bottom, fourth)
        self.up_concat3 = ReleasedUpsampling(fourth, third)
        self.up_concat2 = ReleasedUpsampling(third, second)
        self.up_concat1 = ReleasedUpsampling(second, first)
        self.dsv4 = ReleasedScores(fourth, num_classes, factor=8)
        self.dsv3 = ReleasedScores(third, num_classes, factor=4)
        self.dsv2 = ReleasedScores(second, num_classes, factor=2)
        self.dsv1 = nn.Conv3d(first, num_classes, 1)
        self.final = nn.Conv3d(4 * num_classes, num_classes, 1)

    def forward(self, image: Tensor) -> Tensor:
        """(B, C, *spatial) -> logits (B, K, *spatial)."""
        level1 = self.conv1(image)
        level2 = self.conv2(functional.max_pool3d(level1, 2))
        level3 = self.conv3(functional.max_pool3d(level2, 2))
        level4 = self.conv4(functional.max_pool3d(level3, 2))
        center = self.center(functional.max_pool3d(level4, 2))
        up4 = self.up_concat4(self.attentionblock4(level4, center), center)
        up3 = self.up_concat3(self.attentionblock3(level3, up4), up4)
        up2 = self.up_concat2(self.attentionblock2(level2, up3), up3)
        up1 = self.up_concat1(level1, up2)
        return self.final(torch.cat([self.dsv1(up1), self.dsv2(up2), self.dsv3(up3), self.dsv4(up4)], dim=1))
