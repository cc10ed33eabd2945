"""Brier score and expected calibration error against closed forms, sums over single voxels, and torchmetrics."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F
from torchmetrics.functional.classification import binary_calibration_error

from aunet.classes import Labels
from aunet.data.io.volume import Volume
from aunet.data.preprocessing.steps import Preprocessing
from aunet.inference.inferers import WholeVolume
from aunet.inference.prediction import Outputs
from aunet.inference.predictor import Predictor
from aunet.metrics import calibration
from aunet.metrics.calibration import BINS, measure_calibration
from tests.inference.tiny_networks import Neighbourhood


def brute_force(probabilities: np.ndarray, reference: np.ndarray) -> tuple[float, float]:
    """Return both by a loop over voxels and bins."""
    pairs = list(zip(probabilities.ravel().tolist(), reference.ravel().tolist(), strict=True))
    brier = sum((p - y) ** 2 for p, y in pairs) / len(pairs)
    ece = 0.0
    for number in range(BINS):
        low, high = number / BINS, (number + 1) / BINS
        members = [(p, y) for p, y in pairs if low <= p < high or (number == BINS - 1 and p == 1)]
        if members:
            confidence, share = np.mean(members, axis=0)
            ece += len(members) / len(pairs) * abs(confidence - share)
    return brier, ece


def test_both_are_sums_over_single_voxels() -> None:
    random = np.random.default_rng(0)
    probabilities = random.beta(0.3, 0.6, (7, 9, 11)).astype(np.float32)
    probabilities[0, 0, :2] = 0, 1
    reference = random.random((7, 9, 11)) < probabilities**2
    found = measure_calibration(probabilities, reference)
    assert found is not None
    assert (found.brier, found.ece) == pytest.approx(brute_force(probabilities, reference))


@pytest.mark.parametrize(("called", "share"), [(0.5, 0.25), (0.9, 0.75), (0.02, 0.0), (1.0, 1.0)])
def test_one_confidence_has_the_closed_form(called: float, share: float) -> None:
    reference = np.arange(64).reshape(4, 4, 4) < 64 * share
    found = measure_calibration(np.full((4, 4, 4), called), reference)
    assert found is not None
    assert found.ece == pytest.approx(abs(called - share))
    assert found.brier == pytest.approx(share * (1 - called) ** 2 + (1 - share) * called**2)


def test_a_calibrated_network_has_an_error_near_0_and_the_brier_score_of_chance() -> None:
    random = np.random.default_rng(0)
    probabilities = random.random((50, 50, 40))
    found = measure_calibration(probabilities, random.random(probabilities.shape) < probabilities)
    assert found is not None
    assert found.ece < 0.01
    assert found.brier == pytest.approx(1 / 6, abs=0.005)  # the mean of p (1 - p) over p


def test_slabs_change_nothing_and_voxels_without_reference_do_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(1)
    probabilities, reference = random.random((6, 5, 4)), random.random((6, 5, 4)) < 0.5
    is_counted = random.random((6, 5, 4)) < 0.7
    whole = measure_calibration(probabilities, reference, is_counted)
    monkeypatch.setattr(calibration, "_VOXELS_AT_ONCE", 20)

    found = measure_calibration(probabilities, reference, is_counted)

    assert found is not None
    assert whole is not None
    assert (found.brier, found.ece) == pytest.approx((whole.brier, whole.ece))
    assert (found.brier, found.ece) == pytest.approx(brute_force(probabilities[is_counted], reference[is_counted]))
    assert measure_calibration(probabilities, reference, np.zeros_like(reference)) is None


def test_predicted_probabilities_score_as_the_softmax_of_the_networks_logits() -> None:
    random = np.random.default_rng(2)
    scan = Volume(random.normal(50, 10, (16, 12, 8)).astype(np.float32), np.diag([1.0, 1.0, 3.0, 1.0]))
    reference = random.integers(0, 3, scan.shape)
    network, preprocessing = Neighbourhood().eval(), Preprocessing(None, "mr", None)
    with torch.no_grad():
        logits = network(torch.from_numpy(preprocessing.image([scan]).array)[None])[0] * 3
        network.head.weight *= 3
        network.head.bias *= 3
    softmax = (logits.double().exp() / logits.double().exp().sum(dim=0)).float()
    window = WholeVolume((16, 12, 8), (4, 4, 4))
    predictor = Predictor(network, preprocessing, Labels(("background", "one", "two")), window)

    predicted = predictor.predict_volume([scan], Outputs(probabilities=True)).probabilities

    assert predicted is not None
    for index in range(3):
        inside = torch.from_numpy(reference == index)
        found = measure_calibration(np.asarray(predicted[index]), inside.numpy())
        assert found is not None
        ece = binary_calibration_error(softmax[index].flatten(), inside.flatten().int(), n_bins=BINS, norm="l1")
        assert found.ece == pytest.approx(float(ece), abs=1e-5)
        assert found.brier == pytest.approx(float(F.mse_loss(softmax[index], inside.float())), abs=1e-6)
        assert found.ece > 0.05
