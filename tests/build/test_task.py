"""Class weights for every loss, and frozen parts of any network, one line of YAML each."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn import functional

from aunet.build.network import build_network
from aunet.build.task import (
    build_loss,
    build_optimizer_factory,
    build_schedule,
    check_statistics,
    freeze_parts,
)
from aunet.classes import Labels
from aunet.config.composition import compose_config, resolve_config
from aunet.config.schema import LossConfig, OptimizerConfig
from aunet.errors import UserError
from tests.config.test_every_option import FACTS

NAMES = ("background", "ball", "box")
LABELS = Labels(NAMES)
FACTS_OF_LOSS = FACTS | {"num_classes": 3, "class_names": list(NAMES)}
LOSSES = sorted(path.stem for path in (Path(__file__).resolve().parents[2] / "conf" / "loss").glob("*.yaml"))
WEIGHTED = [name for name in LOSSES if name != "generalized_dice"]


def loss_of(*words: str) -> LossConfig:
    return resolve_config(compose_config(list(words)), FACTS_OF_LOSS).loss


def optimizer_of(*words: str) -> OptimizerConfig:
    return resolve_config(compose_config(list(words)), FACTS).optimizer


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["optimizer.factory.lr=-1"], r"torch\.optim\.AdamW with lr=-1, .*Invalid learning rate"),
        (["optimizer=sgd", "optimizer.factory.momentum=0"], "Nesterov momentum requires"),
        (["optimizer.factory.weight_decay=-1"], "weight_decay=-1: Invalid weight_decay"),
    ],
)
def test_an_optimizer_that_would_refuse_its_arguments_is_refused_before_training(
    words: list[str], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        build_optimizer_factory(optimizer_of(*words))


@pytest.mark.parametrize(
    "words", [["optimizer.schedule.power=-1"], ["optimizer=sgd_released", "optimizer.schedule.epochs=0"]]
)
def test_a_schedule_without_a_usable_share_is_refused_before_training(words: list[str]) -> None:
    with pytest.raises(UserError, match=r"optimizer\.schedule: aunet.* with .*Correct optimizer\.schedule"):
        build_schedule(optimizer_of(*words), resolve_config(compose_config([]), FACTS).trainer)


def batch() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    label = torch.randint(0, 3, (2, 1, 6, 6, 6), generator=generator)
    return torch.randn(2, 3, 6, 6, 6, generator=generator), label


@pytest.mark.parametrize("name", WEIGHTED)
def test_equal_weights_of_1_change_no_loss(name: str) -> None:
    plain = build_loss(loss_of(f"loss={name}"), LABELS)(*batch())
    weighted = build_loss(loss_of(f"loss={name}", "loss.class_weights=[1,1,1]"), LABELS)(*batch())
    assert float(weighted) == pytest.approx(float(plain), rel=1e-6)


@pytest.mark.parametrize("name", WEIGHTED)
def test_a_loss_without_weight_on_a_class_does_not_rise_with_its_weight_alone(name: str) -> None:
    """The gradient towards the logits at voxels of class 2 grows with the weight of class 2."""
    sizes: list[float] = []
    for weight in (1.0, 4.0):
        logits, label = batch()
        loss = build_loss(loss_of(f"loss={name}", f"loss.class_weights={{box: {weight}}}"), LABELS)
        loss(logits.requires_grad_(), label).backward()
        assert logits.grad is not None
        sizes.append(float(logits.grad[:, 2].abs().sum()))
    assert sizes[1] > sizes[0]


def test_weights_of_the_default_loss_are_those_of_torch_and_of_the_dice() -> None:
    logits, label = batch()
    weights = torch.tensor([0.5, 2.0, 3.0])
    loss = build_loss(loss_of("loss=dice_ce", "loss.class_weights=[0.5,2,3]"), LABELS)(logits, label)
    probabilities = logits.softmax(1)
    truth = functional.one_hot(label[:, 0], 3).movedim(-1, 1)
    both = 2 * (probabilities * truth).flatten(2).sum(2) + 1e-5
    dice = 1 - both / ((probabilities + truth).flatten(2).sum(2) + 1e-5)
    expected = (dice * weights)[:, 1:].mean() + functional.cross_entropy(logits, label[:, 0], weight=weights)
    assert float(loss) == pytest.approx(float(expected), rel=1e-5)


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("loss.class_weights=[1,2]", "2 weights for 3 classes.*background, ball, box"),
        ("loss.class_weights=[1,2,3,4]", "4 weights for 3 classes"),
        ("loss.class_weights={liver: 2}", "there is no class 'liver'"),
    ],
)
@pytest.mark.parametrize("name", ["dice_ce", "dice", "tversky"])
def test_weights_that_do_not_fit_are_refused(word: str, message: str, name: str) -> None:
    with pytest.raises(UserError, match=message):
        build_loss(loss_of(f"loss={name}", word), LABELS)


def test_the_argument_of_a_loss_is_refused_with_the_key_that_fits_every_loss() -> None:
    with pytest.raises(UserError, match=r"write loss\.class_weights"):
        build_loss(loss_of("+loss.function.weight=[1,2,3]"), LABELS)


@pytest.mark.parametrize("word", ["loss.class_weights=3", "loss.class_weights=[1,-2,1]", "loss.class_weights={box: x}"])
def test_weights_that_are_none_are_refused_by_their_rule(word: str) -> None:
    with pytest.raises(UserError, match="a weight of each class"):
        loss_of(word)


def test_a_loss_that_weights_its_classes_itself_says_so() -> None:
    with pytest.raises(UserError, match="weights the classes itself"):
        build_loss(loss_of("loss=generalized_dice", "loss.class_weights=[1,2,3]"), LABELS)


@pytest.mark.parametrize(
    ("model", "parts"),
    [
        ("attention", ["encoder"]),
        ("unet", ["encoder", "decoder"]),
        ("unet", ["encoder.levels.0"]),
        ("monai_unet", ["model.0"]),
    ],
)
@pytest.mark.parametrize("dims", [2, 3])
def test_frozen_parts_have_no_gradient_and_all_others_have_one(model: str, parts: list[str], dims: int) -> None:
    facts: Any = FACTS_OF_LOSS | {"spatial_dims": dims, "patch_size": [16, 16, 1 if dims == 2 else 16]}
    network = build_network(resolve_config(compose_config([f"model={model}"]), facts))
    freeze_parts(network, parts)
    for name, parameter in network.named_parameters():
        is_frozen = any(name.removeprefix("network.").startswith(f"{part}.") for part in parts)
        assert parameter.requires_grad != is_frozen, name


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        (["encodr"], "Did you mean encoder"),
        (["enc"], "has no such part.*Its parts are encoder"),
        (["encoder", "decoder", "head"], "nothing is left to train"),
    ],
)
def test_parts_that_cannot_be_frozen_are_refused(parts: list[str], message: str) -> None:
    network = build_network(resolve_config(compose_config(["model=unet"]), FACTS_OF_LOSS))
    with pytest.raises(UserError, match=message):
        freeze_parts(network, parts)


@pytest.mark.parametrize("norm", ["batch", "instance", "group"])
@pytest.mark.parametrize(("patches", "patch_size"), [(1, [4, 4, 4]), (2, [4, 4, 4]), (1, [8, 4, 4]), (1, [4, 4, 1])])
def test_a_norm_of_a_single_value_is_refused_where_torch_refuses_it(
    norm: str, patches: int, patch_size: list[int]
) -> None:
    dims = sum(length > 1 for length in patch_size)
    facts: Any = FACTS_OF_LOSS | {"spatial_dims": dims, "patch_size": patch_size, "batch_size": patches}
    words = ["model=unet", f"model.network.norm={norm}", "model.network.channels=[4,8,8]"]
    config = resolve_config(compose_config(words), facts)
    network = build_network(config).train()
    try:
        network(torch.randn(patches, config.dataset.in_channels, *patch_size))
    except ValueError:
        with pytest.raises(UserError, match=r"coarsest level .* has a single voxel"):
            check_statistics(network, config)
    else:
        check_statistics(network, config)


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("model.network.channels=16", r"aunet\.networks\.AttentionUNet refuses .*Write a list: channels=\[16,…\]"),
        ("model.network.strides=[[2,2,2]]", r"model\.network\.strides=\[\[2, 2, 2\]\]: these channels take 4"),
    ],
)
def test_an_argument_that_the_network_refuses_is_named_by_its_key(word: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        build_network(resolve_config(compose_config(["model=attention", word]), FACTS))
