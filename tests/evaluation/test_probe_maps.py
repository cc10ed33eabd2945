"""Maps of a case: which is compared with which, and measured for which organ."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from aunet.attention.case_map import CaseMap, resized
from aunet.attention.map_similarity import similarity
from aunet.attention.probed_network import GateKey
from aunet.classes import Labels
from aunet.data.cohort.case import Case
from aunet.data.io.volume import Volume
from aunet.data.preprocessing.region import Box
from aunet.evaluation import probe_maps
from aunet.evaluation.probe_cases import ProbeCase
from aunet.evaluation.probe_maps import compare_maps, localise_coefficients, localise_grad_cam, reinitialised
from aunet.networks import AttentionUNet

LABELS = Labels(("background", "organ", "other", "none here"))


def case_map(values: Tensor, cell: int = 1) -> CaseMap:
    """Return maps over the whole image, without padding."""
    inside = (slice(0, values.shape[1]), slice(0, values.shape[2]), slice(0, values.shape[3]))
    return CaseMap(values, inside, (cell,) * 3, (0, 0, 0))


@pytest.fixture
def case() -> ProbeCase:
    """Return a case of patient p, organ 1 in one corner and organ 2 in another; class 3 is not annotated."""
    label = np.zeros((4, 4, 4), dtype=np.int64)
    label[:2, :2, :2], label[2:, 2:, 2:] = 1, 2
    source = Case("a", (Path("a.nii"),), None, group="p", annotated=frozenset({0, 1, 2}))
    image = torch.randn(1, 4, 4, 4, generator=torch.manual_seed(0))
    return ProbeCase(source, image, label, np.eye(4), Volume(label, np.eye(4)), Box((0, 0, 0), (4, 4, 4)))


def test_maps_of_the_same_gate_are_compared_by_the_mean_of_their_channels_in_order(case: ProbeCase) -> None:
    draw = torch.Generator().manual_seed(1)
    own = {GateKey(3, 1): torch.rand(1, 2, 2, 2, generator=draw), GateKey(2, 2): torch.rand(2, 4, 4, 4, generator=draw)}
    other = {key: torch.rand(3, 2, 2, 2, generator=draw) for key in (GateKey(2, 2), GateKey(3, 1), GateKey(4, 1))}
    rows = list(compare_maps(case, *({key: case_map(map_) for key, map_ in of.items()} for of in (own, other)), "x"))

    assert [(row["level"], row["gate"], row["case_id"], row["changed"]) for row in rows] == [
        (2, 2, "a", "x"),
        (3, 1, "a", "x"),
    ]
    stretched = resized(other[GateKey(2, 2)].mean(dim=0, keepdim=True), (4, 4, 4))[0]
    expected = similarity(own[GateKey(2, 2)].mean(dim=0).numpy(), stretched.numpy())
    assert rows[0]["rank_correlation"] == expected.rank_correlation
    assert rows[0]["ssim"] == pytest.approx(expected.ssim)


def test_coefficients_are_measured_for_each_annotated_organ(case: ProbeCase) -> None:
    first = torch.zeros(2, 4, 4, 4)
    first[0, :2, :2, :2] = 1.0  # on organ 1 alone
    flat = torch.full((1, 2, 2, 2), 0.25)
    maps = {GateKey(2, 1): case_map(first), GateKey(3, 2): case_map(flat, 2)}
    rows = list(localise_coefficients(case, maps, LABELS, "run"))

    assert [(row["layer"], row["gate"], row["class"]) for row in rows] == [
        ("level 2", 1, "organ"),
        ("level 2", 1, "other"),
        ("level 3", 2, "organ"),
        ("level 3", 2, "other"),
    ]
    assert all((row["model"], row["map"], row["case_id"], row["patient"]) == ("run", "coefficients", "a", "p")
               for row in rows)  # fmt: skip
    assert [row["pointing"] for row in rows] == [1, 0, 1 / 8, 1 / 8]
    assert [row["energy"] for row in rows] == [1, 0, 1 / 8, 1 / 8]
    assert rows[0]["auc"] == 1


def test_grad_cam_of_a_layer_has_a_map_per_organ(case: ProbeCase, monkeypatch: pytest.MonkeyPatch) -> None:
    maps = torch.zeros(3, 4, 4, 4)
    maps[0, 0, 0, 0] = maps[1, 0, 0, 0] = 1.0  # on organ 1 in both
    logits = torch.zeros(4, 4, 4, 4)
    asked: list[Any] = []

    def grad_cam(*arguments: Any) -> dict[str, CaseMap]:
        asked.extend(arguments)
        return {"level 2": case_map(maps)}

    monkeypatch.setattr(probe_maps, "grad_cam", grad_cam)
    predictor: Any = SimpleNamespace(predict_preprocessed=lambda image: SimpleNamespace(logits=logits + image.sum()))
    layers: dict[str, torch.nn.Module] = {"level 2": torch.nn.Identity()}
    rows = list(localise_grad_cam(case, predictor, layers, LABELS, "run"))

    assert [(row["map"], row["layer"], row["gate"], row["class"]) for row in rows] == [
        ("Grad-CAM", "level 2", None, "organ"),
        ("Grad-CAM", "level 2", None, "other"),
    ]
    assert [(row["pointing"], row["energy"]) for row in rows] == [(1, 1), (0, 0)]
    assert asked[0] is predictor
    assert asked[1] is case.image
    assert torch.equal(asked[2], logits + case.image.sum())
    assert asked[3] is layers


def test_the_weights_of_one_level_alone_are_drawn_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probe_maps, "GateProbe", lambda predictor: predictor)
    torch.manual_seed(0)
    own, fresh = (AttentionUNet(2, channels=(2, 4, 8)) for _ in range(2))
    predictor: Any = SimpleNamespace(network=own)
    before = {name: value.clone() for name, value in own.state_dict().items()}
    found: Any = reinitialised(predictor, fresh, 2)
    changed = found.network.state_dict()

    assert predictor.network is own
    assert all(torch.equal(value, before[name]) for name, value in own.state_dict().items())
    taken = {name for name, value in changed.items() if not torch.equal(value, before[name])}
    assert all(torch.equal(changed[name], fresh.state_dict()[name]) for name in taken)
    places = {".".join(name.split(".")[: 3 if name.startswith("encoder") else 2]) for name in taken}
    assert places == {"encoder.levels.1", "skips.1", "decoder.1"}
