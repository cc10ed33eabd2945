"""The networks: torch alone is enough to use them."""

from aunet.networks.attention_unet import AttentionUNet
from aunet.networks.official_weights import load_official_weights, network_for_official_weights
from aunet.networks.unet import UNet

__all__ = ["AttentionUNet", "UNet", "load_official_weights", "network_for_official_weights"]
