"""A channels-last network stays channels-last from the image to the last gradient."""

from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from aunet.networks import AttentionUNet
from aunet.networks.layers import channels_last, keep_layout_in_backward, lay_out_channels_last

_LAYOUTS = {4: torch.channels_last, 5: torch.channels_last_3d}
# Operations whose kernels of a processor have a slow branch for tensors that are not channels-last.
_WATCHED = ("convolution", "native_batch_norm", "upsample", "max_pool", "threshold_backward", "relu")


class OtherLayouts(TorchDispatchMode):
    """Notes the watched operations that get a feature map in another layout than channels-last."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[str] = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name = func.overloadpacket.__name__
        if name.startswith(_WATCHED):
            self.seen += [f"{name} {tuple(map.shape)}" for map in args if is_in_another_layout(map)]
        return func(*args, **(kwargs or {}))


def is_in_another_layout(value: Any) -> bool:
    if (
        not isinstance(value, torch.Tensor)
        or value.ndim not in _LAYOUTS
        or 1 in (value.shape[1], value.shape[2:].numel())
    ):
        return False
    return torch.empty_like(value).stride(1) != 1


def has_channels_last_convolution(spatial_dims: int, precision: torch.dtype) -> bool:
    """Return whether torch's own convolution keeps the layout: in bf16 a processor with AVX2 alone lacks the kernel."""
    maps = channels_last(torch.ones(2, 4, *[32] * spatial_dims, dtype=precision))
    weight = channels_last(torch.ones(4, 4, *[3] * spatial_dims, dtype=precision))
    convolve = torch.nn.functional.conv2d if spatial_dims == 2 else torch.nn.functional.conv3d
    return not is_in_another_layout(convolve(maps, weight, padding=1))


# Not float32 in 3D: for maps as small as a test's, torch may choose its own channels-first kernel instead of oneDNN's.
@pytest.mark.parametrize(("spatial_dims", "precision"), [(2, torch.float32), (2, torch.bfloat16), (3, torch.bfloat16)])
@pytest.mark.parametrize("in_channels", [1, 3])
def test_a_training_step_never_leaves_channels_last(
    spatial_dims: int, in_channels: int, precision: torch.dtype
) -> None:
    if not has_channels_last_convolution(spatial_dims, precision):
        pytest.skip(f"torch convolves {precision} of {spatial_dims} axes channels-first on this processor")
    network = AttentionUNet(spatial_dims, in_channels, num_classes=3, channels=(4, 8, 16, 32))
    lay_out_channels_last(network)
    image = channels_last(torch.randn(2, in_channels, *[32] * spatial_dims))
    with OtherLayouts() as layouts:
        with torch.autocast("cpu", precision, enabled=precision is not torch.float32):
            logits = network(image)
        logits.backward(torch.randn(logits.shape))
    assert layouts.seen == []


@pytest.mark.parametrize("shape", [(2, 1, 4, 5), (2, 1, 4, 5, 6), (1, 1, 3, 4, 5)])
def test_the_values_of_one_channel_stay_where_they_are(shape: tuple[int, ...]) -> None:
    image = torch.randn(shape)
    laid_out = channels_last(image)
    assert torch.equal(laid_out, image)
    assert laid_out.data_ptr() == image.data_ptr()
    assert laid_out.stride(1) == 1


def test_a_gradient_with_gaps_is_laid_out_like_the_features() -> None:
    features = channels_last(torch.randn(2, 4, 3, 3, 3)).requires_grad_()
    kept = keep_layout_in_backward(features * 1)
    layouts: list[bool] = []
    kept.register_hook(lambda gradient: layouts.append(gradient.is_contiguous(memory_format=torch.channels_last_3d)))
    torch.cat([kept, kept.detach()], dim=1).sum().backward()
    assert layouts == [True]
    assert torch.equal(features.grad, torch.ones_like(features))
