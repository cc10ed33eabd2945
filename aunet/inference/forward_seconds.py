"""How long networks take for one forward pass, measured in turn so that a busy machine slows all of them alike."""

import math
import time
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn


def forward_rounds(
    networks: Sequence[nn.Module],
    images: Sequence[Tensor],
    rounds: int,
    *,
    fewest: int = 1,
    seconds: float = math.inf,
) -> Iterator[list[float]]:
    """Yield the seconds of one forward pass of each network on its image (B, C, H, W, D), a list per round.

    Without gradients, in evaluation mode and in the plain memory format, which the networks keep. A pass before the
    first round warms each of them up. From ``fewest`` rounds on, none begins after ``seconds``.
    """
    for network, image in zip(networks, images, strict=True):
        network.eval().to(memory_format=torch.contiguous_format)  # pyright: ignore[reportCallIssue]
        _forward_seconds(network, image)
    start = time.perf_counter()
    for number in range(rounds):
        if number >= fewest and time.perf_counter() - start >= seconds:
            return
        yield [_forward_seconds(network, image) for network, image in zip(networks, images, strict=True)]


def device_name(device: torch.device) -> str:
    """The device for a reader: the GPU's name, or the CPU with its number of threads."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{device.type.upper()} with {torch.get_num_threads()} threads"


def _forward_seconds(network: nn.Module, image: Tensor) -> float:
    wait_for(image.device)
    start = time.perf_counter()
    with torch.inference_mode():
        network(image)
    wait_for(image.device)
    return time.perf_counter() - start


def wait_for(device: torch.device) -> None:
    """Wait until a GPU has done what was asked of it; others have by then."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
