"""Initial weights as the released code draws them."""

from torch import nn


def initialize_as_released(network: nn.Module) -> None:
    """Draw Kaiming normal convolutions (fan in) and batch norm scales around 1, and set batch norm shifts to 0.

    Biases of convolutions keep torch's default.
    """
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Conv3d):
            nn.init.kaiming_normal_(module.weight, mode="fan_in")
        elif isinstance(module, nn.BatchNorm2d | nn.BatchNorm3d):
            nn.init.normal_(module.weight, 1.0, 0.02)
            nn.init.zeros_(module.bias)
