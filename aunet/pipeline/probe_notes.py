"""The notes of a probe: what qualifies its numbers, for the terminal, probe.json and the page."""

from pathlib import Path

from aunet.evaluation.probe_cases import donor_of
from aunet.files import JsonObject
from aunet.messages import shortened
from aunet.networks.protocols import has_softmax_gates
from aunet.pipeline.probed_run import ProbedRun
from aunet.reporting.tables import PHANTOM_NOTE
from aunet.runs.run_folder import RunFolder


def notes_on_run(run: ProbedRun) -> list[str]:
    """Return that the scans are phantoms, if they are, and the caveats of the run's record."""
    folder = RunFolder(run.folder)
    caveats = folder.caveats if folder.record.is_file() else []
    return [*([PHANTOM_NOTE] if run.cohort.is_phantom else []), *caveats]


def notes_on_interventions(run: ProbedRun) -> list[str]:
    """Return what limits the interventions on the gates of ``run`` and their scores."""
    notes: list[str] = []
    if run.config.inference.postprocessing or RunFolder(run.folder).postprocessing.is_file():
        notes.append(
            "inference.postprocessing is left out: the scores are those of the network's own label maps, with and"
            " without intervention, and differ from those of the run's test."
        )
    if donor_of(run.cases, 0) is None:
        notes.append("Only one patient: no map can be taken from another case.")
    if has_softmax_gates(run.predictor.network):
        notes.append(
            "Softmax gates: coefficients sum to 1 over space, so open (1) and inverted (1 - a) lie far above all"
            " that the network saw in training; mean, shuffled, other case and blurred do not."
        )
    return notes


def notes_on_other_run(run: ProbedRun, other: Path | None, option: str) -> list[str]:
    """Return a note on the probed cases that the run in ``other`` was trained or validated on, if there are any."""
    if other is None:
        return []
    own, splits = RunFolder(run.folder).read_splits(), RunFolder(other).read_splits()
    has_digests = bool(own.get("digests") and splits.get("digests"))  # names alone may mean other scans
    used = {_identity(name, splits, has_digests) for part in ("train", "val") for name in splits.get(part, ())}
    seen = [case.case_id for case in run.cases if _identity(case.case_id, own, has_digests) in used]
    if not seen:
        return []
    return [
        f"{option} {other.resolve().name} was trained or validated on {len(seen)} of the {len(run.cases)} probed cases"
        f" ({shortened(seen)}), so its maps of them are not of unseen scans."
    ]


def _identity(case_id: str, splits: JsonObject, has_digests: bool) -> str:
    return splits["digests"].get(case_id, case_id) if has_digests else case_id
