"""Stitched windows, judged by MONAI's inferer, by the plain forward pass and by networks that see one voxel."""

from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from monai.inferers.utils import sliding_window_inference
from scans import write_msd_task
from torch import Tensor, nn
from torch.nn import functional as F

from aunet.data.cohort.content_digest import ContentDigests
from aunet.data.patches.random_geometry import RandomGeometry
from aunet.data.patches.sampling import PatchDataset
from aunet.data.preprocessing.steps import Preprocessing
from aunet.data.sources.msd import msd_cohort
from aunet.data.store.case_store import CaseStore
from aunet.inference.sliding_window import predict_volume
from aunet.inference.window_layout import Window
from aunet.networks import AttentionUNet, GridGate, UNet
from tests.inference.tiny_networks import Neighbourhood, Pointwise


def image_of(*size: int, channels: int = 1) -> Tensor:
    return torch.randn((channels, *size), generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(
    ("size", "patch", "overlap"),
    [((48, 32, 40), (16, 16, 16), 0.5), ((36, 24, 24), (24, 24, 8), 0.5), ((64, 16, 16), (16, 16, 16), 0.25)],
)
def test_logits_are_those_of_monai(size: tuple, patch: tuple, overlap: float) -> None:
    network, image = Neighbourhood().eval(), image_of(*size)
    ours = predict_volume(network, image, Window(patch, overlap=overlap, size_multiple=(4, 4, 4))).logits
    with torch.no_grad():
        theirs = sliding_window_inference(image[None], patch, 1, network, overlap=overlap, mode="gaussian")
    assert torch.allclose(ours, torch.as_tensor(theirs)[0], atol=1e-5)


def test_a_volume_of_one_window_is_the_plain_forward_pass_bit_for_bit() -> None:
    network, image = Neighbourhood().eval(), image_of(16, 12, 20)
    with torch.no_grad():
        expected = network(image[None])[0]
    assert torch.equal(predict_volume(network, image, Window((16, 12, 20), size_multiple=(4, 4, 4))).logits, expected)


def test_a_small_volume_is_padded_evenly_with_zeros_to_the_patch() -> None:
    network, image = Neighbourhood().eval(), image_of(13, 9, 18)
    with torch.no_grad():
        padded = network(F.pad(image, (3, 3, 3, 4, 1, 2))[None])[0]
    logits = predict_volume(network, image, Window((16, 16, 24), size_multiple=(4, 4, 4))).logits
    assert torch.equal(logits, padded[:, 1:14, 3:12, 3:21])


def test_a_volume_of_few_voxels_is_predicted_in_one_pass_padded_evenly_with_zeros() -> None:
    network, image = Neighbourhood().eval(), image_of(30, 20, 24)
    with torch.no_grad():
        padded = network(F.pad(image, (0, 0, 0, 0, 1, 1))[None])[0]
    few = {"size_multiple": (4, 4, 4), "one_pass_voxels": 32 * 20 * 24}
    assert torch.equal(predict_volume(network, image, Window((16, 16, 16), **few)).logits, padded[:, 1:31])


def test_a_volume_with_a_voxel_too_many_is_predicted_in_windows() -> None:
    network, image = Neighbourhood().eval(), image_of(30, 20, 24)
    windows = predict_volume(network, image, Window((16, 16, 16), size_multiple=(4, 4, 4))).logits
    many = {"size_multiple": (4, 4, 4), "one_pass_voxels": 32 * 20 * 24 - 1}
    assert torch.equal(predict_volume(network, image, Window((16, 16, 16), **many)).logits, windows)


@pytest.mark.parametrize("network", [UNet(channels=(2, 4, 8)), AttentionUNet(channels=(2, 4, 8))])
def test_the_middle_of_a_large_image_does_not_depend_on_how_far_a_local_network_sees_past_it(network: UNet) -> None:
    assert network.is_local
    network, image = network.eval(), image_of(128, 8, 8)
    far = image.clone()
    far[:, 120:] += 5
    with torch.no_grad():
        assert torch.equal(network(image[None])[..., :32, :, :], network(far[None])[..., :32, :, :])


@pytest.mark.parametrize(
    "network",
    [
        UNet(channels=(2, 4, 8), norm="instance"),
        UNet(channels=(2, 4, 8), norm="group"),
        AttentionUNet(channels=(2, 4, 8), gate=partial(GridGate, normalization="softmax")),
        AttentionUNet(channels=(2, 4, 8), gating_source="global"),
    ],
)
def test_a_network_whose_output_changes_with_far_voxels_is_not_local(network: UNet) -> None:
    assert not network.is_local
    network, image = network.eval(), image_of(128, 8, 8)
    far = image.clone()
    far[:, 120:] += 5
    with torch.no_grad():
        assert not torch.equal(network(image[None])[..., :32, :, :], network(far[None])[..., :32, :, :])


@pytest.mark.parametrize("shape", [(20, 18, 16), (13, 30, 9), (31, 31, 31)])
def test_the_network_sees_a_small_volume_in_prediction_as_in_training(tmp_path: Path, shape: tuple) -> None:
    cohort = msd_cohort(str(write_msd_task(tmp_path / "task", num_cases=1, shape=shape)))
    preprocessing = Preprocessing(spacing=None, modality="mr", window=(0.0, 1.0))
    [case] = CaseStore(tmp_path / "store", cohort, preprocessing, ContentDigests()).prepare(cohort.cases)
    patch_size = (32, 48, 32)
    trained_on = PatchDataset([case], RandomGeometry(patch_size), seed=0)[0, 0]["image"]
    network = Pointwise()
    seen: list[Tensor] = []
    network.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0][0]))
    predict_volume(network, torch.from_numpy(case.image()).float(), Window(patch_size))
    assert len(seen) == 1
    assert torch.equal(seen[0], trained_on)


@pytest.mark.parametrize("overlap", [0.0, 0.1, 0.5, 0.8])
@pytest.mark.parametrize("size", [(5, 40, 33), (16, 16, 16), (50, 17, 70), (1, 1, 1)])
def test_a_network_that_sees_one_voxel_is_exact_whatever_the_windows(size: tuple, overlap: float) -> None:
    network, image = Pointwise(), image_of(*size)
    prediction = predict_volume(network, image, Window((16, 32, 16), overlap=overlap, size_multiple=(4, 8, 4)))
    assert torch.allclose(prediction.logits, network(image[None])[0], atol=1e-5)


@pytest.mark.parametrize("window_batch", [1, 3, 100])
def test_windows_predicted_together_give_the_same(window_batch: int) -> None:
    network, image = Pointwise(), image_of(40, 30, 20)
    one = predict_volume(network, image, Window((16, 16, 16))).logits
    num_windows = sum(network.batch_sizes)
    network.batch_sizes.clear()
    assert torch.allclose(predict_volume(network, image, Window((16, 16, 16), window_batch=window_batch)).logits, one)
    assert max(network.batch_sizes) == min(window_batch, num_windows)
    assert sum(network.batch_sizes) == num_windows


@pytest.mark.parametrize("size", [(16, 16, 16), (35, 50, 35), (23, 64, 41), (7, 130, 18)])
@pytest.mark.parametrize("level", [2, 3])
def test_each_coefficient_lies_on_the_voxels_it_says_it_covers(size: tuple, level: int) -> None:
    """With coefficients that are the mean of their cell, each must be the mean of the image over its stated place."""
    image = image_of(*size)
    prediction = predict_volume(Pointwise(), image, Window((32, 32, 32)), with_attention=True)
    found = prediction.coefficients[level]
    coefficients, cell, offset = torch.from_numpy(found.values), found.cell_size, found.offset
    assert cell == (2 ** (level - 1),) * 3
    assert all(-side < first <= 0 for first, side in zip(offset, cell, strict=True))
    behind = [
        first + cells * side - length
        for first, cells, side, length in zip(offset, coefficients.shape[1:], cell, size, strict=True)
    ]
    assert all(0 <= rest < side for rest, side in zip(behind, cell, strict=True))
    padding = [amount for pair in zip((-first for first in offset[::-1]), behind[::-1], strict=True) for amount in pair]
    means = F.avg_pool3d(F.pad(image, padding), cell)
    assert torch.allclose(coefficients, torch.cat([means, -means]), atol=1e-5)


def test_logits_are_the_same_with_and_without_attention() -> None:
    network, image = AttentionUNet(channels=(2, 4, 4, 4, 4)), image_of(40, 50, 20)
    plain = predict_volume(network, image, Window((32, 32, 32)))
    attending = predict_volume(network, image, Window((32, 32, 32)), with_attention=True)
    assert torch.equal(plain.logits, attending.logits)
    assert not plain.coefficients
    assert set(attending.coefficients) == {2, 3, 4}
    assert all(level.values.min() >= 0 and level.values.max() <= 1 for level in attending.coefficients.values())


def test_the_coefficients_of_one_window_are_those_of_the_plain_pass() -> None:
    network, image = AttentionUNet(channels=(2, 4, 4, 4, 4)).eval(), image_of(32, 16, 48)
    with torch.no_grad():
        _, expected = network.forward_with_attention(image[None])
    prediction = predict_volume(network, image, Window((32, 16, 48)), with_attention=True)
    for level, maps in expected.items():
        assert torch.equal(torch.from_numpy(prediction.coefficients[level].values), maps[0])
        assert prediction.coefficients[level].offset == (0, 0, 0)


def test_a_network_without_gates_has_no_coefficients() -> None:
    assert not predict_volume(
        nn.Conv3d(1, 2, 1), image_of(8, 8, 8), Window((8, 8, 8)), with_attention=True
    ).coefficients


def test_softmax_coefficients_of_several_windows_are_refused_and_of_one_are_given() -> None:
    network = AttentionUNet(channels=(2, 4, 4, 4, 4), gate=partial(GridGate, normalization="softmax"))
    assert predict_volume(network, image_of(16, 16, 32), Window((16, 16, 32)), with_attention=True).coefficients
    with pytest.raises(AssertionError, match="softmax"):
        predict_volume(network, image_of(16, 16, 64), Window((16, 16, 32)), with_attention=True)


def test_the_mode_of_every_part_is_as_before_also_after_an_error() -> None:
    network = Neighbourhood().train()
    network.norm.eval()
    statistics = network.norm.running_mean.clone()
    predict_volume(network, image_of(8, 8, 8), Window((8, 8, 8)))
    with pytest.raises(RuntimeError):
        predict_volume(network, image_of(8, 8, 8, channels=2), Window((8, 8, 8)))
    assert network.training
    assert network.fine.training
    assert not network.norm.training
    assert torch.equal(network.norm.running_mean, statistics)


def test_sums_are_float32_under_bfloat16_autocast_and_near_the_exact_ones() -> None:
    network, image = Neighbourhood(), image_of(40, 24, 24)
    exact = predict_volume(network, image, Window((16, 16, 16), size_multiple=(4, 4, 4))).logits
    with torch.autocast("cpu", torch.bfloat16):
        rough = predict_volume(network, image, Window((16, 16, 16), size_multiple=(4, 4, 4))).logits
    assert rough.dtype == torch.float32
    assert 0 < (rough - exact).abs().max() < 0.05


def test_a_volume_thinner_than_the_kernel_is_predicted_in_float32_under_autocast() -> None:
    """A bf16 convolution over a single slice reads memory that it never wrote, on processors with fast bf16."""
    torch.manual_seed(0)
    network, image = nn.Conv3d(1, 16, 3, padding=1), image_of(1, 16, 16)
    exact = predict_volume(network, image, Window((1, 16, 16), size_multiple=(1, 1, 1))).logits
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(predict_volume(network, image, Window((1, 16, 16), size_multiple=(1, 1, 1))).logits, exact)


def test_no_gradient_is_kept() -> None:
    assert not predict_volume(Neighbourhood(), image_of(8, 8, 8), Window((8, 8, 8))).logits.requires_grad


@pytest.mark.gpu
def test_a_gpu_gives_what_the_cpu_gives() -> None:
    network, image = Neighbourhood(), image_of(40, 24, 24)
    on_cpu = predict_volume(network, image, Window((16, 16, 16), size_multiple=(4, 4, 4))).logits
    on_gpu = predict_volume(network.cuda(), image, Window((16, 16, 16), size_multiple=(4, 4, 4))).logits
    assert on_gpu.device.type == "cpu"
    assert np.allclose(on_gpu, on_cpu, atol=1e-2)
