"""What each level of the encoder and the decoder is made of."""

from torch import nn

from aunet.networks.dimensions import BATCH_NORM, CONVOLUTION


class ConvolutionUnit(nn.Sequential):
    """Convolution, batch norm, ReLU; the size stays: (B, in, *spatial) -> (B, out, *spatial)."""

    def __init__(self, spatial_dims: int, in_channels: int, out_channels: int, kernel_size: int = 3) -> None:
        super().__init__(
            CONVOLUTION[spatial_dims](in_channels, out_channels, kernel_size, padding=kernel_size // 2),
            BATCH_NORM[spatial_dims](out_channels),
            nn.ReLU(inplace=True),
        )


class DoubleConvolution(nn.Sequential):
    """Two convolution units, the block of every level of the paper's networks."""

    def __init__(self, spatial_dims: int, in_channels: int, out_channels: int) -> None:
        super().__init__(
            ConvolutionUnit(spatial_dims, in_channels, out_channels),
            ConvolutionUnit(spatial_dims, out_channels, out_channels),
        )
