"""The U-Net of the paper's comparison; what happens at its skips makes it an Attention U-Net."""

import itertools
from collections.abc import Sequence

from torch import Tensor, nn

from aunet.errors import UserError
from aunet.networks.attention_gate import IdentitySkip
from aunet.networks.decoder import DecoderLevel
from aunet.networks.encoder import Encoder
from aunet.networks.initialization import initialize_as_released
from aunet.networks.multiscale_head import MultiscaleHead


class UNet(nn.Module):
    """U-Net with a multi-scale head; 5,888,004 parameters as it stands (the paper says 5.88 M).

    Args:
        spatial_dims: 2 or 3.
        in_channels: channels of the image.
        num_classes: classes of the logits, the background included.
        channels: width of each level, finest first; the last one is the bottleneck.
    """

    is_softmax_gate = False

    def __init__(
        self,
        spatial_dims: int = 3,
        in_channels: int = 1,
        num_classes: int = 4,
        channels: Sequence[int] = (16, 32, 64, 128, 256),
    ) -> None:
        super().__init__()
        _check_architecture(spatial_dims, channels)
        self.size_multiple = (2 ** (len(channels) - 1),) * spatial_dims
        self.encoder = Encoder(spatial_dims, in_channels, channels)
        self.gating: nn.Module = nn.Identity()
        self.skips = nn.ModuleList(IdentitySkip() for _ in channels[:-1])
        self.decoder = nn.ModuleList(
            DecoderLevel(spatial_dims, coarse, fine) for fine, coarse in itertools.pairwise(channels)
        )
        self.head = MultiscaleHead(spatial_dims, channels[:-1], num_classes)
        initialize_as_released(self)

    def forward(self, image: Tensor) -> Tensor:
        """(B, C, *spatial) -> logits (B, K, *spatial)."""
        return self.forward_with_attention(image)[0]

    def forward_with_attention(self, image: Tensor) -> tuple[Tensor, dict[int, Tensor]]:
        """(B, C, *spatial) -> logits (B, K, *spatial) and {level: coefficients (B, M, *spatial of the level)}.

        Level 1 is the full resolution; levels without a gate have no entry.
        """
        self._check_size(image)
        *skips, coarse = self.encoder(image)
        gating = self.gating(coarse)
        decoded: list[Tensor] = []
        coefficients: dict[int, Tensor] = {}
        for level in range(len(skips), 0, -1):
            skip, level_coefficients = self.skips[level - 1](skips[level - 1], gating)
            if level_coefficients is not None:
                coefficients[level] = level_coefficients
            coarse = gating = self.decoder[level - 1](coarse, skip)
            decoded.insert(0, coarse)
        return self.head(decoded), coefficients

    def _check_size(self, image: Tensor) -> None:
        size = tuple(image.shape[2:])
        if any(length % multiple for length, multiple in zip(size, self.size_multiple, strict=True)):
            padded = tuple(-(-length // m) * m for length, m in zip(size, self.size_multiple, strict=True))
            raise UserError(
                f"image of size {size}: this network takes multiples of {self.size_multiple}."
                f" Pad the image to {padded}."
            )


def _check_architecture(spatial_dims: int, channels: Sequence[int]) -> None:
    if spatial_dims not in (2, 3):
        raise UserError(f"spatial_dims={spatial_dims}: a network has 2 or 3 spatial dimensions.")
    if len(channels) < 2:
        raise UserError(f"channels={list(channels)}: a U-Net has at least two levels; give two widths or more.")
