"""Grad-CAM of whole cases, judged by MONAI's and by networks whose answer is known."""

import numpy as np
import pytest
import torch
from monai.networks.nets.attentionunet import AttentionUnet
from monai.networks.nets.basic_unet import BasicUNet
from monai.networks.nets.unet import UNet as MonaiUNet
from monai.visualize.class_activation_maps import GradCAM
from torch import Tensor, nn

from aunet.attention.grad_cam import grad_cam, layers_of
from aunet.classes import Labels
from aunet.data.preprocessing.steps import Preprocessing
from aunet.inference.predictor import Predictor
from aunet.inference.window_layout import Window
from aunet.networks import AttentionUNet, UNet
from aunet.networks.slice_by_slice import SliceBySlice

LABELS = Labels(("background", "first", "second"))


def image_of(*size: int) -> Tensor:
    return torch.randn(1, *size, generator=torch.Generator().manual_seed(0))


def predictor_of(
    network: nn.Module, patch: tuple[int, int, int], multiple: tuple[int, int, int] = (8, 8, 8)
) -> Predictor:
    return Predictor(network, Preprocessing(None, "mr", None), LABELS, Window(patch, size_multiple=multiple))


class Everywhere(nn.Module):
    """A network that predicts class 1 everywhere, so that its predicted voxels are all voxels."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.features = nn.Sequential(
            nn.Conv3d(1, 4, 3, padding=1), nn.ReLU(), nn.MaxPool3d(2), nn.Conv3d(4, 6, 3, padding=1)
        )
        self.head = nn.Sequential(nn.ReLU(inplace=True), nn.Conv3d(6, 2, 3, padding=1), nn.Upsample(scale_factor=2))
        self.register_buffer("shift", torch.tensor([-100.0, 100.0]).view(2, 1, 1, 1))

    def forward(self, image: Tensor) -> Tensor:
        return self.head(self.features(image)) + self.shift


def test_the_map_is_that_of_monai_where_the_class_is_predicted_everywhere() -> None:
    network, image = Everywhere().eval(), image_of(16, 8, 24)
    predictor = predictor_of(network, (16, 8, 24))
    ours = grad_cam(predictor, image, predictor.predict_preprocessed(image).logits, {"features": network.features})
    network.head[0].inplace = False
    raw = {"upsampler": lambda _size: nn.Identity(), "postprocessing": lambda values: values}
    theirs = GradCAM(network, "features", **raw)(image[None].clone().requires_grad_(), class_idx=1)
    assert torch.allclose(ours["features"].over_image[0], torch.as_tensor(theirs)[0, 0].detach(), rtol=1e-4, atol=1e-7)
    assert ours["features"].over_image.abs().sum() > 0


class Pointwise(nn.Module):
    """Features and logits of each voxel alone: class 1 where the image is above 1, class 2 where it is below -1."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Conv3d(1, 2, 1)
        self.features.weight.data = torch.tensor([1.0, -1.0]).view(2, 1, 1, 1, 1)
        self.features.bias.data.zero_()

    def forward(self, image: Tensor) -> Tensor:
        return torch.cat([torch.ones_like(image), self.features(image)], dim=1)


def test_the_map_of_stitched_windows_is_that_of_a_single_window() -> None:
    image = image_of(24, 20, 32)
    windows, whole = predictor_of(Pointwise(), (16, 16, 16)), predictor_of(Pointwise(), (24, 24, 32))
    maps = [
        grad_cam(one, image, one.predict_preprocessed(image).logits, {"features": one.network.features})["features"]
        for one in (windows, whole)
    ]
    ours, theirs = (found.over_image / found.over_image.max() for found in maps)  # the padding dilutes the means
    assert torch.allclose(ours, theirs, atol=1e-4)


def test_the_map_of_a_pointwise_class_is_its_own_feature() -> None:
    image = image_of(16, 16, 16)
    predictor = predictor_of(Pointwise(), (16, 16, 16))
    found = grad_cam(
        predictor, image, predictor.predict_preprocessed(image).logits, {"features": predictor.network.features}
    )
    share = float((image > 1).float().mean())
    assert torch.allclose(found["features"].over_image[0], image[0].relu() * share, atol=1e-5)


def test_a_class_without_a_predicted_voxel_has_a_map_of_zeros() -> None:
    image = image_of(16, 16, 16).clamp(-0.5, 5)
    predictor = predictor_of(Pointwise(), (16, 16, 16))
    found = grad_cam(
        predictor, image, predictor.predict_preprocessed(image).logits, {"features": predictor.network.features}
    )
    assert found["features"].over_image[0].any()
    assert not found["features"].over_image[1].any()


@pytest.mark.parametrize(
    "network", [UNet(channels=(2, 4, 8), num_classes=3), AttentionUNet(channels=(2, 4, 8), num_classes=3)]
)
def test_maps_of_our_networks_lie_on_the_grids_of_their_levels(network: UNet) -> None:
    image = image_of(24, 16, 16)
    predictor = predictor_of(network, (16, 16, 16))
    layers = layers_of(network, image[None, :, :16])
    found = grad_cam(predictor, image, predictor.predict_preprocessed(image).logits, layers)
    assert {name: tuple(values.values.shape) for name, values in found.items()} == {
        "level 2": (2, 12, 8, 8),
        "level 3": (2, 6, 4, 4),
    }


def test_a_2d_network_has_a_map_per_slice() -> None:
    network = SliceBySlice(UNet(2, channels=(2, 4, 8), num_classes=3))
    image = image_of(16, 16, 3)
    predictor = predictor_of(network, (16, 16, 1), (4, 4, 1))
    found = grad_cam(predictor, image, predictor.predict_preprocessed(image).logits, layers_of(network, image[None]))
    assert tuple(found["level 2"].values.shape) == (2, 8, 8, 3)


@pytest.mark.parametrize(
    "network",
    [
        AttentionUnet(3, 1, 3, channels=(4, 8, 8), strides=(2, 2)),
        BasicUNet(3, 1, 3, features=(4, 4, 8, 8, 8, 4)),
        MonaiUNet(3, 1, 3, channels=(4, 8, 8), strides=(2, 2), num_res_units=1),
    ],
    ids=lambda network: type(network).__name__,
)
def test_networks_of_monai_have_a_map_at_their_coarsest_layer(network: nn.Module) -> None:
    network, image = network.eval(), image_of(48, 16, 16)
    predictor = predictor_of(network, (32, 16, 16), (16, 16, 16))
    layers = layers_of(network, image[None, :, :32])
    logits = predictor.predict_preprocessed(image).logits
    [found] = grad_cam(predictor, image, logits, layers).values()
    cells = 4 if not isinstance(network, BasicUNet) else 16
    assert found.cell_size == (cells, cells, cells)
    assert np.isfinite(found.values.numpy()).all()
