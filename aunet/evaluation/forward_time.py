"""Duration of one forward pass of several networks, measured in turn so that a busy machine slows all alike."""

import math
import time
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn

from aunet.messages import counted


def warm_up(networks: Sequence[nn.Module], images: Sequence[Tensor]) -> None:
    """Put the networks into evaluation mode and the plain memory format, and make a first pass of each on its image."""
    for network, image in zip(networks, images, strict=True):
        network.eval().to(memory_format=torch.contiguous_format)  # pyright: ignore[reportCallIssue]
        _forward_seconds(network, image)


def forward_rounds(
    networks: Sequence[nn.Module],
    images: Sequence[Tensor],
    rounds: int,
    *,
    fewest: int = 1,
    seconds: float = math.inf,
) -> Iterator[list[float]]:
    """Yield the seconds of one forward pass of each network on its image (B, C, H, W, D), a list per round.

    After ``fewest`` rounds, no round begins once ``seconds`` have passed. The networks are as ``warm_up`` leaves them.
    """
    start = time.perf_counter()
    for number in range(rounds):
        if number >= fewest and time.perf_counter() - start >= seconds:
            return
        yield [_forward_seconds(network, image) for network, image in zip(networks, images, strict=True)]


def device_name(device: torch.device) -> str:
    """Return the device for a reader: the GPU's name, or the CPU with its number of threads."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{device.type.upper()} with {counted(torch.get_num_threads(), 'thread')}"


def _forward_seconds(network: nn.Module, image: Tensor) -> float:
    wait_for(image.device)
    start = time.perf_counter()
    with torch.inference_mode():
        network(image)
    wait_for(image.device)
    return time.perf_counter() - start


def wait_for(device: torch.device) -> None:
    """Wait until a GPU has finished its work; do nothing for a processor."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()
