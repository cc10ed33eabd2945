"""The networks: torch alone is enough to use them."""

from aunet.networks.attention_unet import AttentionUNet
from aunet.networks.blocks import ConvolutionBlock, ConvolutionUnit, InceptionUnit, RecurrentUnit
from aunet.networks.gates import GridGate
from aunet.networks.hard_gate import HardGate
from aunet.networks.heads import DeepSupervisionHead, MultiscaleHead, SingleHead
from aunet.networks.layers import Layers
from aunet.networks.official_weights import load_official_weights, network_for_official_weights
from aunet.networks.open_gate import OpenGate
from aunet.networks.several_gates import SeveralGates
from aunet.networks.unet import UNet

__all__ = [
    "AttentionUNet",
    "ConvolutionBlock",
    "ConvolutionUnit",
    "DeepSupervisionHead",
    "GridGate",
    "HardGate",
    "InceptionUnit",
    "Layers",
    "MultiscaleHead",
    "OpenGate",
    "RecurrentUnit",
    "SeveralGates",
    "SingleHead",
    "UNet",
    "load_official_weights",
    "network_for_official_weights",
]
