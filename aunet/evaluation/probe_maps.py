"""Maps of a network case by case: how much they depend on its weights, and how well they find the organs."""

from collections.abc import Iterator, Mapping
from copy import copy, deepcopy

from torch import nn

from aunet.attention.case_map import CaseMap, resized
from aunet.attention.grad_cam import Layers, grad_cam
from aunet.attention.localisation import fractions_on, localise
from aunet.attention.map_similarity import similarity
from aunet.attention.probed_network import GateKey, GateProbe
from aunet.classes import Labels
from aunet.evaluation.probe_cases import ProbeCase
from aunet.inference.predictor import Predictor
from aunet.networks import UNet
from aunet.networks.slice_by_slice import unwrap

Row = dict[str, float | str | None]
Maps = Mapping[GateKey, CaseMap]

# One draw of weights may make a map alike by chance, as it can only correlate or anti-correlate with the image.
NUM_DRAWS = 3

COEFFICIENTS = "coefficients"
GRAD_CAM = "Grad-CAM"


def reinitialised(predictor: Predictor, fresh: nn.Module, level: int) -> GateProbe:
    """Return a probe of the network in which encoder, gates and decoder of ``level`` have the weights of ``fresh``."""
    network = deepcopy(predictor.network)
    parts = zip(_parts_of_level(network, level), _parts_of_level(fresh, level), strict=True)
    for part, drawn in parts:
        part.load_state_dict(drawn.state_dict())
    changed = copy(predictor)
    changed.network = network
    return GateProbe(changed)


def compare_maps(case: ProbeCase, own: Maps, other: Maps, changed: str) -> Iterator[Row]:
    """Yield the similarity of each map in ``own`` and ``other``, its grid stretched to that of the own map.

    A gate with several maps (one per channel) is compared by their mean. ``changed`` names the change to the network.
    """
    for key in sorted(own.keys() & other.keys()):
        first = own[key].over_image.mean(dim=0)
        second = resized(other[key].over_image.mean(dim=0, keepdim=True), tuple(first.shape))[0]
        found = similarity(first.numpy(), second.numpy())
        yield {
            "changed": changed,
            "level": key.level,
            "gate": key.number,
            "case_id": case.case.case_id,
            "rank_correlation": found.rank_correlation,
            "ssim": found.ssim,
        }


def localise_coefficients(case: ProbeCase, own: Maps, labels: Labels, model: str) -> Iterator[Row]:
    """Yield the measures of each gate's map, the mean of its channels if it has several, for each organ of the case."""
    for key, found in own.items():
        values = found.over_image.mean(dim=0)
        fractions = fractions_on(found, case.label, labels.num_classes)
        for index, name in labels.foreground:
            if case.case.annotates(index):
                measures = localise(values.numpy(), fractions, labels.values_of(index))
                yield _place(case, model, COEFFICIENTS, f"level {key.level}", key.number, name) | measures


def localise_grad_cam(
    case: ProbeCase, predictor: Predictor, layers: Layers, labels: Labels, model: str
) -> Iterator[Row]:
    """Yield the measures of each layer's Grad-CAM for each organ of the case."""
    logits = predictor.predict_preprocessed(case.image).logits
    for layer, found in grad_cam(predictor, case.image, logits, layers).items():
        fractions = fractions_on(found, case.label, labels.num_classes)
        for index, name in labels.foreground:
            if case.case.annotates(index):
                values = found.over_image[index - 1].numpy()
                measures = localise(values, fractions, labels.values_of(index))
                yield _place(case, model, GRAD_CAM, layer, None, name) | measures


def _place(case: ProbeCase, model: str, kind: str, layer: str, gate: int | None, organ: str) -> Row:
    names = {"model": model, "map": kind, "layer": layer, "gate": gate, "class": organ}
    return {**names, "case_id": case.case.case_id, "patient": case.case.patient}


def _parts_of_level(network: nn.Module, level: int) -> tuple[nn.Module, nn.Module, nn.Module]:
    inner = unwrap(network)
    assert isinstance(inner, UNet), "only our networks have gates"
    return inner.encoder.levels[level - 1], inner.skips[level - 1], inner.decoder[level - 1]
