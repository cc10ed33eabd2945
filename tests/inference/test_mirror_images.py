"""Test-time augmentation by mirror images, against the mean by hand."""

import itertools

import numpy as np
import pytest
import torch
from torch import Tensor

from aunet.classes import Labels
from aunet.data.io.volume import Volume
from aunet.data.preprocessing.steps import Preprocessing
from aunet.inference.inferers import WholeVolume
from aunet.inference.mirror_images import Mirror, MirroredForward
from aunet.inference.prediction import Outputs
from aunet.inference.predictor import Predictor
from aunet.inference.window_layout import Window
from tests.inference.test_scan_rows import entropy
from tests.inference.tiny_predictors import seeded_network

PAIR = Mirror(0, ((1, 2),))
MIRRORS = [PAIR, Mirror(2)]
LABELS = Labels(("background", "left", "right"))
PREPROCESSING = Preprocessing(None, "mr", None)


def volume() -> Volume:
    return Volume(np.random.default_rng(0).normal(50, 10, (16, 24, 16)).astype(np.float32), np.eye(4))


def probabilities_by_hand(image: Tensor) -> list[np.ndarray]:
    """Probabilities of the image (C, H, W, D) as it is and mirrored along 0, 2 and both, turned back by hand."""
    found: list[np.ndarray] = []
    for mirrors in itertools.chain([()], [(PAIR,)], [(Mirror(2),)], [(PAIR, Mirror(2))]):
        axes = [1 + mirror.axis for mirror in mirrors]
        with torch.no_grad():
            logits = seeded_network().eval()(torch.flip(image, axes)[None])[0]
        back = torch.flip(logits.softmax(dim=0), axes).numpy()
        found.append(back[[0, 2, 1]] if PAIR in mirrors else back)
    return found


def test_the_mean_over_mirror_images_equals_that_by_hand_with_sides_exchanged() -> None:
    image = torch.from_numpy(PREPROCESSING.image([volume()]).array)
    members = probabilities_by_hand(image)
    mean = np.mean(members, axis=0)
    with torch.no_grad():
        found = MirroredForward(seeded_network().eval(), MIRRORS, has_information=True)(image[None])[0]
    assert np.allclose(found[:3].softmax(dim=0), mean, atol=1e-5)
    information = entropy(mean) - np.mean([entropy(member) for member in members], axis=0)
    assert np.allclose(found[3], information.clip(min=0), atol=1e-5)
    assert np.abs(mean - members[0]).max() > 0.1


def test_the_predictor_returns_the_mean_its_entropy_and_the_mutual_information() -> None:
    whole = Predictor(seeded_network(), PREPROCESSING, LABELS, WholeVolume((16, 16, 16), (4, 4, 4)), mirrors=MIRRORS)
    members = probabilities_by_hand(torch.from_numpy(PREPROCESSING.image([volume()]).array))
    mean = np.mean(members, axis=0)
    found = whole.predict_volume([volume()], Outputs(probabilities=True, uncertainty=True))
    assert np.allclose(found.probabilities, mean, atol=1e-5)
    assert np.array_equal(found.label, whole.predict_volume([volume()]).label)
    assert (found.label != mean.argmax(axis=0)).mean() < 1e-3
    assert np.allclose(found.entropy, entropy(mean), atol=1e-4)
    information = entropy(mean) - np.mean([entropy(member) for member in members], axis=0)
    assert np.allclose(found.mutual_information, information.clip(min=0), atol=1e-4)


@pytest.mark.parametrize("window", [Window((16, 16, 16), size_multiple=(4, 4, 4)), WholeVolume((16,) * 3, (4,) * 3)])
def test_mirror_images_of_a_symmetric_network_change_nothing(window: Window | WholeVolume) -> None:
    class Symmetric(torch.nn.Conv3d):
        """Looks at the mean of the neighbourhood, which a mirror image keeps."""

    symmetric = Symmetric(1, 3, 3, padding=1)
    with torch.no_grad():
        symmetric.weight.copy_(torch.tensor([-1.0, 0.3, 2.0]).reshape(3, 1, 1, 1, 1).expand_as(symmetric.weight) / 9)
    scan, outputs = volume(), Outputs(probabilities=True, uncertainty=True)
    plain, mirrored = (
        Predictor(symmetric, PREPROCESSING, LABELS, window, mirrors=mirrors).predict_volume([scan], outputs)
        for mirrors in ((), (Mirror(0), Mirror(1), Mirror(2)))
    )
    assert np.allclose(mirrored.probabilities, plain.probabilities, atol=1e-5)
    assert np.allclose(mirrored.mutual_information, 0, atol=1e-5)
