"""Interventions on maps, and on whole cases by networks whose dependence on their gate is known."""

from collections.abc import Mapping

import numpy as np
import pytest
import torch
from scipy import ndimage
from torch import Tensor

from aunet.attention.case_map import case_map
from aunet.attention.interventions import CONTROL, INTERVENTIONS, GateKind, GateMap, intervene
from aunet.attention.probed_network import (
    CasePrediction,
    GateKey,
    GateProbe,
    RememberingProbe,
    gates_of,
    kind_of,
    layout_of,
)
from aunet.classes import Labels
from aunet.commands import probe as command
from aunet.data.preprocessing.steps import Preprocessing
from aunet.errors import UserError
from aunet.inference.predictor import Predictor
from aunet.inference.window_layout import Window
from aunet.metrics.overlap import dice
from aunet.networks import AttentionUNet, Layers, UNet
from aunet.networks.linear_resizing import resize_linearly
from aunet.networks.slice_by_slice import SliceBySlice
from tests.attention.hand_made_gates import Ignored, OnlyPath
from tests.networks.model_options import OURS, settings_of, small_network

KEY = GateKey(1, 1)


def random(*size: int, seed: int = 0) -> Tensor:
    return torch.rand(size, generator=torch.Generator().manual_seed(seed))


def gate_map(own: Tensor, size: tuple[int, int, int], **others: object) -> GateMap:
    layout = Window(size, 0.5, (8, 8, 8)).lay_out(size)
    return GateMap(case_map(own, layout), **{"donor": None, "spacing": (1.0, 1.0, 1.0), **others})


def predictor_of(network: torch.nn.Module, patch: tuple[int, int, int], **others: object) -> Predictor:
    preprocessing, labels = Preprocessing(None, "mr", None), Labels(("background", "bright"))
    return Predictor(network, preprocessing, labels, Window(patch, size_multiple=(2, 2, 2), **others))


def replaced_predictions(predictor: Predictor, image: Tensor, donor: Tensor) -> Mapping[str, Tensor]:
    probe = GateProbe(predictor)
    own, other = probe.watch(image).maps[KEY], probe.watch(donor).maps[KEY].over_image
    gate = GateMap(own, other, (1.0, 1.0, 1.0), sigma_mm=2.0)
    return {name: probe.predict(image, {KEY: intervene(name, gate)}) for name in (CONTROL, *INTERVENTIONS)}


def test_the_command_offers_every_intervention() -> None:
    assert [name.replace("-", " ") for name in command.INTERVENTIONS] == list(INTERVENTIONS)


def test_each_intervention_is_what_it_says_on_a_map_without_padding() -> None:
    own, donor = random(2, 8, 8, 16), random(2, 8, 8, 16, seed=1)
    gate = gate_map(own, (8, 8, 16), donor=donor, spacing=(1.0, 2.0, 4.0), sigma_mm=3.0, seed=5)
    found = {name: intervene(name, gate).values for name in INTERVENTIONS}
    assert torch.equal(found["open"], torch.ones_like(own))
    assert torch.allclose(found["mean"], own.mean(dim=(1, 2, 3), keepdim=True).expand_as(own))
    assert torch.equal(found["inverted"], 1 - own)
    assert torch.equal(found["other case"], donor)
    assert not torch.equal(found["shuffled"], own)
    assert torch.equal(found["shuffled"].flatten(1).sort().values, own.flatten(1).sort().values)
    blurred = [ndimage.gaussian_filter(values, (3.0, 1.5, 0.75), mode="nearest") for values in own.numpy()]
    assert np.allclose(found["blurred"], blurred, atol=1e-6)


def test_shuffling_repeats_with_its_seed_and_moves_all_maps_of_a_gate_alike() -> None:
    own = random(1, 8, 8, 8).repeat(2, 1, 1, 1)
    first, again, other = (intervene("shuffled", gate_map(own, (8, 8, 8), seed=seed)).values for seed in (3, 3, 4))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert torch.equal(first[0], first[1])


def test_padding_enters_no_mean_and_is_not_shuffled_into_the_image() -> None:
    own = torch.full((1, 8, 8, 8), 7.0)
    own[:, 2:6, 1:7] = random(1, 4, 6, 8)
    layout = Window((8, 8, 8), 0.5, (8, 8, 8)).lay_out((4, 6, 8))
    gate = GateMap(case_map(own, layout), None, (1.0, 1.0, 1.0))
    assert torch.allclose(intervene("mean", gate).values, own[:, 2:6, 1:7].mean())
    shuffled = intervene("shuffled", gate)
    assert shuffled.over_image.max() < 1
    assert (shuffled.values == 7).sum() == (own == 7).sum()


def test_the_map_of_another_case_is_stretched_and_stays_0_or_1_for_hard_gates() -> None:
    donor = (random(1, 4, 4, 4) > 0.5).float()
    hard = intervene("other case", gate_map(random(1, 8, 8, 8), (8, 8, 8), donor=donor, kind=GateKind(is_binary=True)))
    assert torch.equal(hard.values, donor.repeat_interleave(2, 1).repeat_interleave(2, 2).repeat_interleave(2, 3))
    soft = intervene("other case", gate_map(random(1, 8, 8, 8), (8, 8, 8), donor=torch.full((1, 3, 4, 5), 0.25)))
    assert torch.allclose(soft.values, torch.tensor(0.25))


def test_the_map_of_another_case_has_the_mean_of_the_own_map_for_softmax_gates() -> None:
    own, donor = random(2, 8, 8, 8) / 512, random(2, 4, 8, 8) / 256
    gate = gate_map(own, (8, 8, 8), donor=donor, kind=GateKind(is_softmax=True))
    found = intervene("other case", gate).values.mean(dim=(1, 2, 3))
    assert torch.allclose(found, own.mean(dim=(1, 2, 3)))


def test_a_gate_that_is_the_only_path_to_the_answer_cannot_do_without_its_map() -> None:
    image = random(1, 24, 24, 24)
    image[:, 8:14, 8:16, 6:12] += 1
    truth = (image[0] > 0.5).numpy()
    assert 0.4 < truth.mean() < 0.6
    image = torch.zeros(1, 24, 24, 24)
    image[:, 8:14, 8:16, 6:12] = 1
    truth = image[0].numpy() > 0.5
    predicted = replaced_predictions(predictor_of(OnlyPath(), (16, 16, 16)), image, image.flip(1))
    scores = {name: dice(logits.argmax(dim=0).numpy() == 1, truth) for name, logits in predicted.items()}
    assert scores[CONTROL] == 1
    assert scores["mean"] < 0.1
    assert scores["shuffled"] < 0.1
    assert scores["inverted"] < 0.1


def test_a_gate_that_is_followed_by_nothing_changes_nothing() -> None:
    image, donor = random(1, 24, 20, 24), random(1, 20, 24, 16, seed=1)
    predictor = predictor_of(Ignored(), (16, 16, 16))
    unchanged = GateProbe(predictor).watch(image).logits
    for name, logits in replaced_predictions(predictor, image, donor).items():
        assert torch.equal(logits, unchanged), name


@pytest.mark.parametrize("size", [(24, 20, 32), (13, 30, 9)])
def test_interventions_on_stitched_windows_are_those_on_a_single_window(size: tuple[int, int, int]) -> None:
    image, donor = random(1, *size), random(1, 20, 24, 16, seed=1)
    windows = predictor_of(OnlyPath(), (16, 16, 16), window_batch=3)
    whole = predictor_of(OnlyPath(), (16, 16, 16), one_pass_voxels=40**3)
    assert len(layout_of(windows, image).corners) > 1 == len(layout_of(whole, image).corners)
    one_pass = replaced_predictions(whole, image, donor)
    for name, logits in replaced_predictions(windows, image, donor).items():
        assert torch.allclose(logits, one_pass[name], atol=1e-4), name


def test_the_control_equals_the_unchanged_network_bit_for_bit_in_a_single_window() -> None:
    network, image = AttentionUNet(channels=(2, 4, 8), num_classes=2), random(1, 16, 16, 16)
    probe = GateProbe(predictor_of(network, (16, 16, 16)))
    watched = probe.watch(image)
    assert list(watched.maps) == [GateKey(2, 1), GateKey(2, 2)]
    assert torch.equal(probe.predict(image, watched.maps), watched.logits)
    assert torch.equal(probe.watch(image).logits, watched.logits)


def test_open_gates_are_those_of_a_network_whose_scores_are_huge() -> None:
    network, image = AttentionUNet(channels=(2, 4, 8), num_classes=2), random(1, 16, 16, 16)
    predictor = predictor_of(network, (16, 16, 16))
    probe = GateProbe(predictor)
    opened = probe.predict(
        image, {key: found.with_values(torch.ones_like(found.values)) for key, found in probe.watch(image).maps.items()}
    )
    for gate in gates_of(network).values():
        gate.psi.bias.data.fill_(100.0)
    assert torch.allclose(opened, probe.watch(image).logits, atol=1e-5)


def _is_gated_as_another(option: str) -> bool:
    """Return whether the option has the default gates and differs in its blocks."""
    return any(block in option for block in ("inception", "recurrent", "residual"))


@pytest.mark.parametrize(
    "option",
    [
        pytest.param(name, marks=pytest.mark.slow if _is_gated_as_another(name) else ())
        for name in OURS
        if name.startswith("attention")
    ],
)
def test_every_gate_of_conf_model_can_be_watched_and_replaced(option: str) -> None:
    network = small_network(settings_of(option, 3), levels=3)
    image, size = random(2, 24, 16, 16), (16, 16, 16)
    labels = Labels(("background", "ball", "box"))
    probe = GateProbe(
        Predictor(network, Preprocessing(None, "mr", None), labels, Window(size, size_multiple=(8, 8, 8)))
    )
    watched = probe.watch(image)
    assert set(watched.maps) == set(probe.gates)
    gates = {
        key: GateMap(own, own.over_image.flip(1), (1.0, 1.0, 1.0), kind=kind_of(probe.gates[key]))
        for key, own in watched.maps.items()
    }
    for name in INTERVENTIONS:
        logits = probe.predict(image, {key: intervene(name, gate) for key, gate in gates.items()})
        assert logits.isfinite().all()
        assert logits.shape == watched.logits.shape


def test_a_2d_network_sees_the_slices_of_a_replaced_map() -> None:
    network = SliceBySlice(AttentionUNet(2, channels=(2, 4, 8), num_classes=2))
    image = random(1, 16, 16, 3)
    probe = GateProbe(
        Predictor(
            network,
            Preprocessing(None, "mr", None),
            Labels(("background", "one")),
            Window((16, 16, 1), size_multiple=(4, 4, 1)),
        )
    )
    watched = probe.watch(image)
    assert torch.allclose(probe.predict(image, watched.maps), watched.logits, atol=1e-6)


def test_a_network_without_gates_has_none_and_a_foreign_gate_is_refused() -> None:
    assert gates_of(UNet(channels=(2, 4))) == {}
    network = AttentionUNet(channels=(2, 4, 8))
    network.skips[1] = torch.nn.Conv3d(4, 4, 1)
    with pytest.raises(UserError, match="level 2 is gated by Conv3d"):
        gates_of(network)


class GatingAlone(torch.nn.Module):
    """A gate that is not derived from ours."""

    def __init__(self, layers: Layers, skip_channels: int, gating_channels: int, stride: tuple[int, ...]) -> None:
        super().__init__()
        self.scores = layers.convolution(gating_channels, 1, 1)
        self.applied = torch.nn.Identity()

    def forward(self, skip: Tensor, gating: Tensor) -> tuple[Tensor, Tensor]:
        coefficients = self.applied(resize_linearly(self.scores(gating).sigmoid(), skip.shape[2:]))
        return coefficients * skip, coefficients


def test_a_foreign_gate_is_replaced_where_its_coefficients_pass_through_applied() -> None:
    network, image = AttentionUNet(channels=(2, 4, 8), num_classes=2, gate=GatingAlone), random(1, 16, 16, 16)
    probe = GateProbe(predictor_of(network, (16, 16, 16)))
    watched = probe.watch(image)
    assert list(watched.maps) == [GateKey(2, 1), GateKey(2, 2)]
    assert torch.equal(probe.predict(image, watched.maps), watched.logits)
    opened = {key: found.with_values(torch.ones_like(found.values)) for key, found in watched.maps.items()}
    assert not torch.allclose(probe.predict(image, opened), watched.logits)
    assert [kind_of(gate) for gate in probe.gates.values()] == [GateKind(), GateKind()]


def test_a_remembering_probe_predicts_a_case_and_its_donor_once(monkeypatch: pytest.MonkeyPatch) -> None:
    watched, images = list[Tensor](), [torch.zeros(1), torch.ones(1), torch.ones(1)]
    monkeypatch.setattr(GateProbe, "__init__", lambda self, predictor: None)
    monkeypatch.setattr(GateProbe, "watch", lambda self, image: (watched.append(image), CasePrediction(image, {}))[1])
    probe = RememberingProbe(predictor=None)  # pyright: ignore[reportArgumentType]

    for number in (0, 1, 0, 1, 2, 1, 2, 0):
        assert probe.watch(images[number]).logits is images[number]

    assert [next(number for number, image in enumerate(images) if image is seen) for seen in watched] == [0, 1, 2, 0]
