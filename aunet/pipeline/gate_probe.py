"""The probe of a finished run: interventions on its gates, sanity checks of its maps, and Grad-CAM for contrast."""

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd
from torch import Tensor

from aunet.attention.grad_cam import layers_of
from aunet.attention.probed_network import GateProbe, RememberingProbe, layout_of
from aunet.data.cohort.case import Case
from aunet.errors import UserError
from aunet.evaluation.probe_cases import (
    Plan,
    ProbeCase,
    ProbedPrediction,
    donor_of,
    predict_interventions,
    read_probe_case,
    score_predictions,
    targets_of,
)
from aunet.evaluation.probe_maps import (
    NUM_DRAWS,
    Row,
    compare_maps,
    localise_coefficients,
    localise_grad_cam,
    reinitialised,
)
from aunet.inference.predictor import Predictor
from aunet.pipeline.probe_notes import notes_on_interventions, notes_on_other_run, notes_on_run
from aunet.pipeline.probe_picture import PictureBook
from aunet.pipeline.probed_run import ProbedRun, load_other_run


@dataclass(frozen=True)
class ProbeOptions:
    """The choices of a probe.

    Attributes:
        interventions: names from ``INTERVENTIONS``.
        targets: of "all", "level" and "gate", those to act on.
        sigma_mm: of the blur.
        seed: of the shuffling and of re-initialised weights.
        against: folder of a run to compare maps with, such as one on permuted labels, whose maps should differ.
        unet: folder of a run whose Grad-CAM is scored too.
        pictures: number of cases to picture.
        is_grad_cam_alone: whether to score Grad-CAM only, for a network without gates.
    """

    interventions: Sequence[str]
    targets: Sequence[str]
    sigma_mm: float
    seed: int
    against: Path | None
    unet: Path | None
    pictures: int
    is_grad_cam_alone: bool


@dataclass
class ProbeFindings:
    """The numbers of a probe: case scores under intervention, similarities of maps, and where maps look."""

    scores: list[pd.DataFrame] = field(default_factory=list[pd.DataFrame])
    similarities: list[Row] = field(default_factory=list[Row])
    locations: list[Row] = field(default_factory=list[Row])
    notes: list[str] = field(default_factory=list[str])
    pictured_cases: list[str] = field(default_factory=list[str])


class GateProbing:
    """A probe of one run, case by case.

    Raises:
        UserError: from the constructor, if the network has no gates or another run does not fit.
    """

    def __init__(self, run: ProbedRun, options: ProbeOptions, folder: Path) -> None:
        self._run, self._options = run, options
        self._probe = RememberingProbe(run.predictor)
        self._cases: deque[ProbeCase] = deque(maxlen=2)  # a case and its donor, which is probed next
        keys = list(self._probe.gates)
        if not keys and not options.is_grad_cam_alone:
            raise UserError(
                f"{run.folder}: model={run.model} has no gates, so no coefficients can be changed. Give a run of an"
                " attention model, or score Grad-CAM alone with --grad-cam-only."
            )
        self._has_gates = bool(keys) and not options.is_grad_cam_alone
        self.plan = Plan(targets_of(keys, options.targets), options.interventions, options.sigma_mm, options.seed)
        self.levels = sorted({key.level for key in keys})
        self._against = load_other_run(options.against, "--against", run) if options.against else None
        self._unet = load_other_run(options.unet, "--unet", run) if options.unet else None
        self._against_probe = GateProbe(self._against) if self._against else None
        if self._against_probe and not self._against_probe.gates:
            raise UserError(f"--against {options.against}: has no gates to compare. Give a run of the same model.")
        self._pictures = PictureBook(folder, self.levels, options.interventions, run)

    @property
    def num_steps(self) -> int:
        """Return the number of steps over all cases, each about as long as a prediction."""
        of_maps = NUM_DRAWS * len(self.levels) + (self._against is not None)
        of_gates = self.plan.num_predictions + of_maps if self._has_gates else 0
        return len(self._run.cases) * (of_gates + 1 + (self._unet is not None))

    def run(self, advance: Callable[[], None]) -> ProbeFindings:
        """Probe every case; ``advance`` is called after each step."""
        findings = ProbeFindings(notes=self._notes())
        changed = self._changed_networks() if self._has_gates else []
        for number, listed in enumerate(self._run.cases):
            case = self._read(listed)
            if self._has_gates:
                self._intervene(case, number, findings, advance)
                self._check_maps(case, changed, findings, advance)
            self._localise(case, findings, advance)
        return findings

    def _intervene(self, case: ProbeCase, number: int, findings: ProbeFindings, advance: Callable[[], None]) -> None:
        run, other = self._run, donor_of(self._run.cases, number)
        donor = None if other is None else self._read(other)
        drawn = self._pictures.page(case) if number < self._options.pictures else None

        def see(prediction: ProbedPrediction) -> None:
            if drawn is not None:
                drawn.add(prediction)
            advance()

        predictions = predict_interventions(self._probe, case, donor, self.plan, number)
        findings.scores += score_predictions(predictions, case, run.cohort, run.predictor.preprocessing, see)
        if drawn is not None and drawn.write():
            findings.pictured_cases.append(case.case.case_id)

    def _check_maps(
        self,
        case: ProbeCase,
        changed: Sequence[tuple[int, GateProbe]],
        findings: ProbeFindings,
        advance: Callable[[], None],
    ) -> None:
        """Compare the maps with those of networks with one level re-initialised, and of the run ``against``."""
        own = self._probe.watch(case.image).maps
        findings.locations += localise_coefficients(case, own, self._run.predictor.labels, self._run.model)
        for level, probe in changed:
            of_level = {key: found for key, found in own.items() if key.level == level}
            name = f"weights of level {level} drawn anew"
            findings.similarities += compare_maps(case, of_level, probe.watch(case.image).maps, name)
            advance()
        if self._against and self._against_probe:
            seen = read_probe_case(case.case, self._run.cohort, self._against)
            name = f"run {_name(self._options.against)}"
            findings.similarities += compare_maps(case, own, self._against_probe.watch(seen.image).maps, name)
            advance()

    def _localise(self, case: ProbeCase, findings: ProbeFindings, advance: Callable[[], None]) -> None:
        findings.locations += _grad_cam_rows(case, self._run.predictor, self._run.model)
        advance()
        if self._unet:
            seen = read_probe_case(case.case, self._run.cohort, self._unet)
            findings.locations += _grad_cam_rows(seen, self._unet, _name(self._options.unet))
            advance()

    def _changed_networks(self) -> list[tuple[int, GateProbe]]:
        """Return each level with the networks in which its weights are drawn anew."""
        seeds = range(NUM_DRAWS * self._options.seed, NUM_DRAWS * (self._options.seed + 1))
        fresh = [self._run.untrained_network(seed) for seed in seeds]
        return [(level, reinitialised(self._run.predictor, one, level)) for level in self.levels for one in fresh]

    def _read(self, case: Case) -> ProbeCase:
        known = next((read for read in self._cases if read.case.case_id == case.case_id), None)
        if known is None:
            known = read_probe_case(case, self._run.cohort, self._run.predictor)
            self._cases.append(known)
        return known

    def _notes(self) -> list[str]:
        run, options = self._run, self._options
        return [
            *notes_on_run(run),
            *(notes_on_interventions(run) if self._has_gates else []),
            *(notes_on_other_run(run, options.against, "--against") if self._has_gates else []),
            *notes_on_other_run(run, options.unet, "--unet"),
        ]


def _grad_cam_rows(case: ProbeCase, predictor: Predictor, model: str) -> list[Row]:
    layers = layers_of(predictor.network, _first_window(predictor, case.image))
    return list(localise_grad_cam(case, predictor, layers, predictor.labels, model))


def _first_window(predictor: Predictor, image: Tensor) -> Tensor:
    layout = layout_of(predictor, image)
    return layout.cut(layout.pad(image), layout.corners[0])[None].to(predictor.device)


def _name(folder: Path | None) -> str:
    return "" if folder is None else folder.resolve().name
