"""The model card and the checklist (CLAIM) of a run, filled from its folder alone.

Both list topics with answers; what a run cannot know, such as who drew the references, is left to the authors.
Source of the topics: Checklist for Artificial Intelligence in Medical Imaging (CLAIM), 2024 update, Radiology: AI;
Mitchell et al. 2019, "Model Cards for Model Reporting".
"""

from collections.abc import Mapping
from typing import Any, cast

from aunet.metrics.case_scores import count_cases, recorded_metrics, shown_metrics
from aunet.metrics.registry import METRIC_OF
from aunet.reporting.tables import PHANTOM_NOTE
from aunet.runs.run_folder import RunFolder

Topics = list[tuple[str, str]]

NOT_RECORDED = "not recorded"
BY_AUTHORS = "to be stated by the authors"
_PARTS = {"train": "training", "val": "validation", "test": "test"}


class RunAnswers:
    """The answers to the topics, read from a run's record, configuration, splits and scores."""

    def __init__(self, run: RunFolder) -> None:
        self._run = run
        self._facts = run.facts
        self._config: Mapping[str, Any] = run.read_config()
        self._splits = run.read_splits()

    def model_card(self, place: str = "checkpoints/ of the run's folder") -> Topics:
        """Return what the model is, for what it may be used, and its limits; its weights are at ``place``."""
        classes = ", ".join(name for _, name in self._run.labels.foreground)
        return [
            ("Model", f"{self._fact('model')}, {self._fact('parameters')} parameters, segments {classes}"),
            ("Intended use", "Research on segmentation and attention. It is not a medical device: no clinical use."),
            ("Trained on", self._data()),
            ("Evaluated on", self._evaluated()),
            ("Limits", self._limits()),
            ("Weights and code", f"{place}; commit {self._fact('commit')}"),
        ]

    def checklist(self) -> Topics:
        """Return the topics of CLAIM that a run can answer, then those that only its authors can."""
        return [
            ("Data source", self._data()),
            ("Data fingerprint", self._fact("data_fingerprint")),
            ("Preprocessing", self._preprocessing()),
            ("Augmentation", self._augmentation()),
            ("Assignment to partitions", self._partitions()),
            ("Level at which partitions are disjoint", self._disjoint()),
            ("Model", f"{self._fact('model')}, {self._fact('parameters')} parameters"),
            ("Initial weights", self._start()),
            ("Training", self._training()),
            ("Choice of the final model", f"best validation Dice: epoch {self._fact('best_epoch')}, counted from 0"),
            ("Software", self._named("versions")),
            ("Hardware", self._hardware()),
            ("Code", self._code()),
            ("Metrics", self._metrics()),
            ("Uncertainty", "sd over cases in this report; intervals and seeds: aunet compare over several runs"),
            ("Explanation", "coefficients of the gates per epoch; whether they matter: aunet probe"),
            ("External test", "none in this run" if self._splits else NOT_RECORDED),
            ("Eligibility, ethics, de-identification", BY_AUTHORS),
            ("Reference standard and annotators", BY_AUTHORS),
            ("Sample size and demographics", BY_AUTHORS),
        ]

    def _fact(self, key: str) -> str:
        value = self._facts.get(key)
        if value is None:
            return NOT_RECORDED
        return f"{value:,}" if isinstance(value, int) and value >= 10_000 else str(value)

    def _nested(self, values: Mapping[str, Any], *keys: str) -> Any:
        """Return the value at the path of ``keys``; None if a part of it is absent."""
        found: Any = values
        for key in keys:
            found = cast(Mapping[str, Any], found).get(key) if isinstance(found, Mapping) else None
        return found

    def _named(self, key: str) -> str:
        values = self._facts.get(key)
        return ", ".join(f"{name} {value}" for name, value in values.items()) if values else NOT_RECORDED

    def _data(self) -> str:
        return f"{self._fact('data')}: {self._fact('data_description')}"

    def _evaluated(self) -> str:
        scores = self._run.case_scores
        if scores is None:
            return "not tested yet"
        evaluated = f"{count_cases(scores)} of the same data"
        if self._run.caveats:  # such as that cases were seen in training
            return f"{evaluated}; what qualifies the scores is under Limits"
        return f"{evaluated}, held out from training and from the choice of the epoch"

    def _limits(self) -> str:
        same = "Scans of other scanners, protocols or populations were not tested."
        return " ".join([*([PHANTOM_NOTE] if self._facts.get("is_phantom") else []), *self._run.caveats, same])

    def _preprocessing(self) -> str:
        spacing, window = self._nested(self._config, "data", "spacing"), self._nested(self._config, "data", "window")
        clipping = {"auto": "clipped to the HU of the labelled voxels of training cases", None: ""}
        parts = [
            f"resampled to {_sizes(spacing)} mm" if spacing else "own grid",
            f"clipped to {window[0]:g} to {window[1]:g} HU" if isinstance(window, list) else clipping.get(window, ""),
            f"patches of {_sizes(self._facts['patch_size'])} voxels" if self._facts.get("patch_size") else "",
        ]
        return ", ".join(filter(None, parts)) if self._config else NOT_RECORDED

    def _augmentation(self) -> str:
        settings = self._nested(self._config, "data", "augmentation")
        if not isinstance(settings, Mapping):
            return NOT_RECORDED
        chosen = {str(key): value for key, value in cast(Mapping[str, Any], settings).items()}
        shown = ("rotation", "scale", "shift", "elastic", "intensity_probability")
        values = [f"{key.replace('_', ' ')} {chosen[key]}" for key in shown if chosen.get(key)]
        flips = self._facts.get("flips")
        return ", ".join([*values, "flips" if flips else "no flips"])

    def _partitions(self) -> str:
        if not self._splits:
            return NOT_RECORDED
        counts = ", ".join(f"{len(self._splits.get(key, ()))} {name}" for key, name in _PARTS.items())
        fold, seed = self._nested(self._config, "data", "fold"), self._nested(self._config, "data", "split", "seed")
        drawn = f"fold {fold}, " if fold is not None else ""
        return f"{counts} cases ({drawn}split seed {seed}); which case is where: splits.json"

    def _disjoint(self) -> str:
        if not self._splits:
            return NOT_RECORDED
        return "patient" if self._splits.get("patients") else "case (each is taken as a patient of its own)"

    def _start(self) -> str:
        return str(self._nested(self._facts, "init", "source") or f"random, seed {self._fact('seed')}")

    def _training(self) -> str:
        loss, optimizer = (self._nested(self._config, key, "name") for key in ("loss", "optimizer"))
        rate = self._nested(self._config, "optimizer", "factory", "lr")
        batch = self._nested(self._config, "data", "batch_size")
        lengths = [f"{key.replace('_', ' ')} {self._fact(key)}" for key in ("steps", "epochs", "ended_by")]
        return ", ".join([f"loss {loss}, {optimizer} at {rate}, batch {batch}", *lengths, f"seed {self._fact('seed')}"])

    def _hardware(self) -> str:
        hardware = self._facts.get("hardware") or {}
        gpus = ", ".join(map(str, hardware.get("gpus", ()))) or "no GPU"
        computing = self._nested(self._facts, "computing", "precision") or NOT_RECORDED
        seconds = self._nested(self._facts, "durations", "train")
        trained = "" if seconds is None else f"; training {seconds:.0f} s"
        return f"{hardware.get('processor', NOT_RECORDED)}, {gpus}; precision {computing}{trained}"

    def _code(self) -> str:
        changes = self._facts.get("changes")
        return f"commit {self._fact('commit')}" + (f", changed: {changes}" if changes else "")

    def _metrics(self) -> str:
        scores = self._run.case_scores
        if scores is None:
            return "not tested yet"
        return ", ".join(METRIC_OF[key].heading for key in shown_metrics(recorded_metrics(scores)))


def _sizes(sides: Any) -> str:
    return " × ".join(f"{side:g}" for side in sides)
