"""The parts of a finished run that a probe needs: its predictor, its cases, and the same network before training."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from torch import nn

from aunet.build.data import build_cohort
from aunet.build.model import load_run
from aunet.build.network import build_network
from aunet.config.draft import load_draft, load_run_config
from aunet.config.schema import RunConfig
from aunet.config.trust import NETWORK_ALONE, SOURCE_ALONE
from aunet.data.cohort.case import Case, Cohort
from aunet.data.cohort.split_file import read_splits
from aunet.errors import UserError
from aunet.inference.predictor import Predictor
from aunet.runs.run_folder import RunFolder, checkpoint_of_run


@dataclass(frozen=True)
class ProbedRun:
    """A finished run: its folder, model, predictor, cohort, and the cases of one part of its splits."""

    folder: Path
    model: str
    predictor: Predictor
    cohort: Cohort
    cases: Sequence[Case]
    config: RunConfig
    trusted_modules: Sequence[str] = ()

    def untrained_network(self, seed: int) -> nn.Module:
        """Return the network with fresh weights, other than those with which the run began."""
        network = build_network(replace(self.config, seed=self.config.seed + 1_000_003 + seed))
        return network.to(self.predictor.device).eval()


def read_probed_run(
    folder: Path, part: str, most_cases: int | None, device: str | None, trusted_modules: Sequence[str] = ()
) -> ProbedRun:
    """Load the run in ``folder`` with its validation or test cases (``part`` is "validation" or "test").

    Raises:
        UserError: the folder holds no run, no checkpoint, or its cases are gone.
    """
    config = load_run_config(folder, trusted_modules)
    checkpoint_of_run(folder)  # before the data are read, which may take minutes
    splits_file = RunFolder(folder).splits
    if not splits_file.is_file():
        raise UserError(f"{splits_file}: no such file; a run writes it when it starts. Restore it from a copy.")
    draft = load_draft(folder, trusted_modules, built=(*NETWORK_ALONE, *SOURCE_ALONE))
    cohort = build_cohort(draft.data, trusted_modules)
    split = config.data.split
    splits = read_splits(splits_file, cohort.cases, None, split.val, split.seed)
    by_id = {case.case_id: case for case in cohort.cases}
    cases = [by_id[case_id] for case_id in (splits.val if part == "validation" else splits.test)]
    chosen = cases[:most_cases]
    _check_files(chosen, splits_file)
    predictor = load_run(folder, device, trusted_modules)
    return ProbedRun(folder, config.model.name, predictor, cohort, chosen, config, trusted_modules)


def load_other_run(folder: Path, option: str, run: ProbedRun) -> Predictor:
    """Load another run for the comparison with ``run``; raise UserError if it has other classes, channels or region."""
    own_facts, facts = run.config.dataset, load_run_config(folder, run.trusted_modules).dataset
    for own, other, meaning in (
        (own_facts.class_names, facts.class_names, "classes"),
        (own_facts.regions, facts.regions, "regions"),
        (own_facts.in_channels, facts.in_channels, "channels"),
    ):
        if own != other:
            raise UserError(
                f"{option} {folder}: trained on the {meaning} {other}, {run.folder} on {own}. Give a run on the same"
                " data."
            )
    other = load_run(folder, str(run.predictor.device), run.trusted_modules)
    if _region_settings(other) != _region_settings(run.predictor):
        raise UserError(
            f"{option} {folder}: looks at other parts of the scans than {run.folder} (data.region). Give a run with the"
            " same data.region, or both without."
        )
    return other


def _region_settings(predictor: Predictor) -> Mapping[str, object] | None:
    return None if predictor.region is None else predictor.region.settings()


def _check_files(cases: Sequence[Case], splits_file: Path) -> None:
    """Raise UserError for the first case whose files are gone, before any is predicted."""
    missing = [(case, path) for case in cases for path in case.files if not path.exists()]
    if missing:
        case, path = missing[0]
        num_cases = len({case.case_id for case, _ in missing})
        raise UserError(
            f"{path}: no such file. {splits_file} names case {case.case_id}, and {num_cases} of the {len(cases)} cases"
            " lack files. Restore the data that the run was trained on."
        )
