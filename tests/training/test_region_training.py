"""The loss and the patches of regions that overlap, against formulas and counts."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from nested_regions import LABELS, REGIONS, WORD, nested_scan
from torch import Tensor, nn

from aunet.build.mirror_images import check_exchanges
from aunet.build.task import build_loss, build_region_weights
from aunet.classes import IGNORED, Labels
from aunet.config.composition import compose_config, resolve_config
from aunet.config.schema import LossConfig
from aunet.data.patches.flips import choose_flips
from aunet.data.patches.random_geometry import RandomGeometry
from aunet.data.patches.sampling import PatchDataset
from aunet.data.preprocessing.steps import PreprocessedVolume
from aunet.data.store.stored_case import StoredCase, open_stored_case, write_stored_case
from aunet.errors import UserError
from aunet.inference.window_layout import Window
from aunet.training.segmentation_task import SegmentationTask
from tests.config.test_every_option import FACTS

FACTS_OF_REGIONS = FACTS | {
    "num_classes": 3,
    "class_names": list(LABELS.names),
    "regions": [list(values) for values in LABELS.regions],
}
LOSSES = sorted(path.stem for path in (Path(__file__).resolve().parents[2] / "conf" / "loss").glob("*.yaml"))


def loss_of(*words: str) -> LossConfig:
    return resolve_config(compose_config([WORD, *words]), FACTS_OF_REGIONS).loss


class FixedLogits(nn.Module):
    """A network of one parameter: the logits, whatever the image; several levels if ``num_levels`` is above 1."""

    def __init__(self, num_levels: int = 1) -> None:
        super().__init__()
        self.logits = nn.Parameter(2 * torch.randn(2, 3, 8, 8, 8, generator=torch.Generator().manual_seed(0)))
        self.num_levels = num_levels

    def forward(self, image: Tensor) -> Tensor:
        return self.logits


def batch() -> dict[str, Any]:
    label = torch.randint(0, 4, (2, 1, 8, 8, 8), generator=torch.Generator().manual_seed(1), dtype=torch.uint8)
    return {"image": torch.zeros(2, 1, 8, 8, 8), "label": label, "case_id": ["a", "b"], "key": torch.zeros(2, 2)}


def loss_of_batch(config: LossConfig, found: dict[str, Any], network: nn.Module | None = None) -> Tensor:
    unused: Any = None
    unchanged: Any = lambda batch, seed: batch  # noqa: E731
    task = SegmentationTask(
        network=network or FixedLogits(),
        loss=build_loss(config, LABELS),
        labels=LABELS,
        optimizer=unused,
        schedule=unused,
        progress=unused,
        inferer=Window((8, 8, 8)),
        augmentation=unchanged,
        seed=0,
        is_channels_last=False,
        region_weights=build_region_weights(config, LABELS),
    )
    return task._loss_of_batch(found, unchanged)  # type: ignore[arg-type]


def by_hand(logits: Tensor, label: Tensor) -> np.ndarray:
    """Soft Dice with MONAI's smoothing of 1e-5 plus binary cross-entropy, of each region."""
    losses: list[float] = []
    for channel, values in enumerate(REGIONS.values()):
        p = 1 / (1 + np.exp(-logits.detach().numpy()[:, channel].astype(np.float64)))
        y = np.isin(label.numpy()[:, 0], values).astype(np.float64)
        axes = (1, 2, 3)
        soft = 1 - (2 * (p * y).sum(axes) + 1e-5) / (p.sum(axes) + y.sum(axes) + 1e-5)
        crossed = -(y * np.log(p) + (1 - y) * np.log(1 - p)).mean()
        losses.append(float(soft.mean() + crossed))
    return np.array(losses)


def test_the_default_loss_is_soft_dice_plus_binary_cross_entropy_by_hand() -> None:
    found = loss_of_batch(loss_of(), batch())
    assert float(found.detach()) == pytest.approx(by_hand(FixedLogits().logits, batch()["label"]).mean(), rel=1e-5)


@pytest.mark.parametrize("weights", ["{enhancing: 3}", "[1, 1, 3]"])
def test_weights_are_factors_of_the_losses_of_regions(weights: str) -> None:
    found = loss_of_batch(loss_of(f"loss.class_weights={weights}"), batch())
    each = by_hand(FixedLogits().logits, batch()["label"])
    assert float(found.detach()) == pytest.approx((each * [1, 1, 3]).mean(), rel=1e-5)


@pytest.mark.parametrize("weights", ["[1, 1, 1, 3]", "{background: 2}"])
def test_regions_have_no_weight_of_a_background(weights: str) -> None:
    with pytest.raises(UserError, match=r"loss\.class_weights"):
        build_region_weights(loss_of(f"loss.class_weights={weights}"), LABELS)


def test_ignored_voxels_pass_no_gradient_to_any_region() -> None:
    network, found = FixedLogits(), batch()
    found["label"][..., :3] = IGNORED
    loss_of_batch(loss_of(), found, network).backward()
    assert network.logits.grad is not None
    assert not network.logits.grad[..., :3].any()
    assert bool(network.logits.grad[..., 3:].all())


@pytest.mark.parametrize("name", LOSSES)
def test_every_loss_falls_as_the_logits_approach_the_regions(name: str) -> None:
    words = ["loss.function.include_background=false"] if name == "dice_focal" else []
    found, network = batch(), FixedLogits()
    masks = torch.cat([found["label"] >= value for value in (1, 2, 3)], dim=1)
    before = loss_of_batch(loss_of(f"loss={name}", *words), found, network)
    before.backward()
    assert network.logits.grad is not None
    toward = torch.where(masks, -network.logits.grad, network.logits.grad)
    assert float(toward.mean()) > 0
    network.logits.data = torch.where(masks, 20.0, -20.0)
    after = loss_of_batch(loss_of(f"loss={name}", *words), found, network)
    assert float(after.detach()) < min(0.01, float(before.detach()))


def test_a_loss_with_a_sigmoid_of_the_background_is_refused() -> None:
    with pytest.raises(UserError, match=r"Set loss\.function\.include_background=false"):
        build_loss(loss_of("loss=dice_focal"), LABELS)


def test_the_network_has_a_channel_for_each_region() -> None:
    config = resolve_config(compose_config([WORD, "model=unet"]), FACTS_OF_REGIONS)
    assert config.model.network["num_classes"] == 3
    assert config.dataset.labels == LABELS


@pytest.fixture
def stored(tmp_path: Path) -> StoredCase:
    image, label = nested_scan(0, (20, 20, 20))
    (tmp_path / "case").mkdir()
    volumes = PreprocessedVolume(image[None], np.eye(4)), PreprocessedVolume(label, np.eye(4))
    write_stored_case(tmp_path / "case", "a", *volumes, num_classes=4)
    return open_stored_case("a", tmp_path / "case")


def test_patches_are_drawn_for_each_region_from_any_of_its_parts(stored: StoredCase) -> None:
    """Patches of one voxel: its value is 3 in a quarter, and in the share of 3 among the other regions."""
    dataset = PatchDataset([stored], RandomGeometry((1, 1, 1)), seed=0, labels=LABELS)
    shown = [int(dataset[0, sample]["label"]) for sample in range(600)]
    counts = np.array(stored.position_counts, float)
    of_regions = [np.where(np.isin(range(4), values), counts, 0) for values in ((0,), *LABELS.regions)]
    expected = np.mean([of / of.sum() for of in of_regions], axis=0)
    assert np.bincount(shown, minlength=4) / 600 == pytest.approx(expected, abs=0.06)


def test_flips_need_regions_that_are_alike_on_both_sides() -> None:
    names = ("background", "left_kidney", "right_kidney", "left_tumour", "right_tumour")
    flips = choose_flips("auto", (8, 8, 8), names, "ct")
    assert flips.axes[0].is_on
    check_exchanges(flips, Labels(names, ((1, 3), (2, 4), (3,), (4,))), "data.augmentation.flip_axes")
    with pytest.raises(UserError, match=r"data\.augmentation\.flip_axes: a mirror image along right-left exchanges"):
        check_exchanges(flips, Labels(names, ((1, 3), (2,), (3,), (4,))), "data.augmentation.flip_axes")


def test_annotations_of_a_region_overrule_its_marks_in_the_label_map() -> None:
    """A region that a case does not annotate costs nothing and teaches nothing, also where the label map marks it."""
    found, network = batch(), FixedLogits()
    found["annotated"] = torch.tensor([[True, True, False, True]] * 2)
    loss = loss_of_batch(loss_of(), found, network)
    loss.backward()
    assert network.logits.grad is not None
    assert float(network.logits.grad[:, 1].abs().max()) < 1e-6
    each = by_hand(network.logits, found["label"])
    assert float(loss.detach()) == pytest.approx((each[0] + each[2]) / 3, rel=1e-5)
