"""Cases of a run under intervention: read, predicted with replaced coefficients, and scored on their own grid."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from aunet.attention.case_map import CaseMap
from aunet.attention.interventions import CONTROL, OTHER_CASE, GateMap, intervene
from aunet.attention.probed_network import GateKey, GateProbe, kind_of
from aunet.data.cohort.case import Case, Cohort
from aunet.data.cohort.references import read_scan_and_reference
from aunet.data.io.volume import Volume
from aunet.data.preprocessing.region import Box, find_box
from aunet.data.preprocessing.resampling import Affine
from aunet.data.preprocessing.steps import Preprocessing
from aunet.inference.native_space import restore_label_map
from aunet.inference.predictor import Predictor
from aunet.metrics.label_map_scores import score_case
from aunet.targets import target_of

NOTHING = "none"
ALL_LEVELS = "all levels"
# The kinds of targets: all gates together, those of one level, each alone.
KINDS = ("all", "level", "gate")


@dataclass(frozen=True)
class ProbeCase:
    """A case as the network sees it, ``image`` (C, h, w, d) and ``label`` (h, w, d), and its stored ``reference``.

    The network sees the part ``box`` of the scan.
    """

    case: Case
    image: Tensor
    label: NDArray[np.integer]
    affine: Affine
    reference: Volume
    box: Box

    @property
    def spacing(self) -> tuple[float, float, float]:
        """Return the voxel size of ``image`` in mm."""
        return Volume(self.label, self.affine).spacing


@dataclass(frozen=True)
class GateGroup:
    """The gates that one intervention acts on, and their common name."""

    name: str
    keys: tuple[GateKey, ...]


@dataclass(frozen=True)
class ProbedPrediction:
    """One prediction of a case: the gates and the intervention, the maps put in, and logits (K, h, w, d)."""

    target: str
    intervention: str
    replaced: Mapping[GateKey, CaseMap]
    logits: Tensor


@dataclass(frozen=True)
class Plan:
    """The interventions to try, each on every target.

    Attributes:
        targets: groups of gates.
        interventions: names from ``INTERVENTIONS``.
        sigma_mm: of the blur.
        seed: of the shuffling, which differs between cases and levels.
    """

    targets: Sequence[GateGroup]
    interventions: Sequence[str]
    sigma_mm: float
    seed: int

    @property
    def num_predictions(self) -> int:
        """Return the number of predictions of one case: one unchanged, one control, one per intervention and target."""
        return 2 + len(self.targets) * len(self.interventions)


def targets_of(keys: Sequence[GateKey], kinds: Collection[str] = KINDS) -> list[GateGroup]:
    """Return the groups of gates of ``kinds``, from ``KINDS``; of groups that are the same, one."""
    levels = sorted({key.level for key in keys})
    of_all = [(ALL_LEVELS, tuple(keys))] if "all" in kinds and keys else []
    of_levels = [(f"level {level}", tuple(key for key in keys if key.level == level)) for level in levels]
    named = of_all + (of_levels if "level" in kinds else [])
    named += [(str(key), (key,)) for key in keys] if "gate" in kinds else []
    first_with: dict[tuple[GateKey, ...], str] = {}
    for name, group in named[len(of_all) :] + of_all:  # with one gated level, its name says more than "all levels"
        first_with.setdefault(group, name)
    return [GateGroup(name, group) for name, group in named if first_with[group] == name]


def read_probe_case(case: Case, cohort: Cohort, predictor: Predictor) -> ProbeCase:
    """Read and preprocess ``case`` as ``predictor`` does; raise UserError if its files are gone or damaged."""
    channels, reference = read_scan_and_reference(case, cohort)
    box = find_box(predictor.region, channels)
    prepared = predictor.preprocessing.image([box.cut(channel) for channel in channels])
    label = predictor.preprocessing.label(box.cut(reference)).array
    return ProbeCase(case, torch.from_numpy(prepared.array), label, prepared.affine, reference, box)


def donor_of(cases: Sequence[Case], number: int) -> Case | None:
    """Return the next case of another patient, beginning anew after the last; None if all are of one patient."""
    following = [*cases[number + 1 :], *cases[:number]]
    return next((case for case in following if case.patient != cases[number].patient), None)


def predict_interventions(
    probe: GateProbe, case: ProbeCase, donor: ProbeCase | None, plan: Plan, number: int
) -> Iterator[ProbedPrediction]:
    """Yield the unchanged prediction of ``case``, the control, and that of each target and intervention.

    ``number`` is that of the case, by which its shuffling differs from that of others. Without a ``donor``, the
    intervention that needs one is left out.
    """
    watched = probe.watch(case.image)
    yield ProbedPrediction(NOTHING, NOTHING, watched.maps, watched.logits)
    of_donor = {} if donor is None else probe.watch(donor.image).maps
    gates = {
        key: GateMap(
            own,
            of_donor[key].over_image if key in of_donor else None,
            case.spacing,
            plan.sigma_mm,
            _shuffling_seed(plan.seed, number, key.level),
            kind_of(probe.gates[key]),
        )
        for key, own in watched.maps.items()
    }
    tried = [(plan.targets[0], CONTROL)]
    tried += [(target, name) for target in plan.targets for name in plan.interventions]
    for target, name in tried:
        if name != OTHER_CASE or donor is not None:
            replaced = {key: intervene(name, gates[key]) for key in target.keys}
            yield ProbedPrediction(target.name, name, replaced, probe.predict(case.image, replaced))


def score_predictions(
    predictions: Iterator[ProbedPrediction],
    case: ProbeCase,
    cohort: Cohort,
    preprocessing: Preprocessing,
    see: Callable[[ProbedPrediction], None],
) -> list[pd.DataFrame]:
    """Return the case scores of each prediction on the scan's own grid, with the columns target and intervention.

    Each prediction is passed to ``see`` and then dropped.
    """
    tables: list[pd.DataFrame] = []
    for prediction in predictions:
        found, of_case = case.reference, case.case
        seen = case.box.cut(found)
        grid = seen.shape, seen.affine, preprocessing.resampling
        inside = restore_label_map(prediction.logits, case.affine, *grid, target_of(cohort.labels))
        label = case.box.put_back(inside, found.shape)
        scores = score_case(
            of_case.case_id, label, found.array, found.spacing, cohort.labels, of_case.annotated, of_case.patient
        )
        scores.insert(0, "intervention", prediction.intervention)
        scores.insert(0, "target", prediction.target)
        tables.append(scores)
        see(prediction)
    return tables


def _shuffling_seed(seed: int, number: int, level: int) -> int:
    return int(np.random.SeedSequence([seed, number, level]).generate_state(1)[0])
