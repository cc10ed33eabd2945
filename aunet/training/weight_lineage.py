"""The runs that weights come from, and the cases that these runs have seen."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from aunet.data.cohort.case import Case
from aunet.files import read_json_if_sound
from aunet.runs.run_folder import RunFolder

Names = Mapping[str, str]


@dataclass(frozen=True)
class CaseNames:
    """The names and digests by which the cases of a run or a dataset are recognised.

    Attributes:
        patients: case_id -> patient, if that is not the case itself.
        digests: case_id -> digest of its images; empty for runs that did not record it.
        root: folder of the data; None for phantoms.
    """

    patients: Names
    digests: Names
    root: Path | None
    is_phantom: bool

    def means_the_same(self, other: "CaseNames") -> bool:
        """Return whether a case_id of one means the same case in the other.

        Names such as ``case_001`` occur in every dataset. They mean the same if one of the images is the same, if the
        folder is the same, and if neither folders nor images can be compared.
        """
        if self.is_phantom != other.is_phantom:
            return False
        common = self.digests.keys() & other.digests.keys()
        if common and any(self.digests[name] == other.digests[name] for name in common):
            return True
        return self.root == other.root if common else not self._is_elsewhere(other)

    def may_mean_the_same(self, other: "CaseNames") -> bool:
        """Return whether only names can be compared: folders differ, and a run of an earlier version has no digests."""
        has_digests = bool(self.digests.keys() & other.digests.keys())
        return self.is_phantom == other.is_phantom and not has_digests and self._is_elsewhere(other)

    def _is_elsewhere(self, other: "CaseNames") -> bool:
        return self.root is not None and other.root is not None and self.root != other.root

    @staticmethod
    def of_cases(cases: Sequence[Case], digests: Names, root: Path | None, is_phantom: bool) -> "CaseNames":
        """Return the names and digests of a dataset's cases; ``patients`` then has every case."""
        return CaseNames({case.case_id: case.patient for case in cases}, digests, root, is_phantom)


@dataclass(frozen=True)
class SeenCases:
    """The cases of the parts of the run in ``folder``."""

    folder: Path
    train: tuple[str, ...]
    val: tuple[str, ...]
    test: tuple[str, ...]
    names: CaseNames

    def among(self, case_ids: Sequence[str], names: CaseNames, parts: Sequence[str]) -> list[str]:
        """Return which of the cases, known by ``names``, are in these parts, by their images, id or patient."""
        digests = {self.names.digests[case_id] for case_id in self._part(parts) if case_id in self.names.digests}
        alike = self._namesakes(case_ids, names, parts) if names.means_the_same(self.names) else []
        return [case_id for case_id in case_ids if case_id in alike or names.digests.get(case_id) in digests]

    def perhaps_among(self, case_ids: Sequence[str], names: CaseNames, parts: Sequence[str]) -> list[str]:
        """Return the cases that share a name with these parts, if nothing shows whether they are the same cases."""
        return self._namesakes(case_ids, names, parts) if names.may_mean_the_same(self.names) else []

    def _namesakes(self, case_ids: Sequence[str], names: CaseNames, parts: Sequence[str]) -> list[str]:
        part = self._part(parts)
        known = {*part, *(self.names.patients.get(case_id, case_id) for case_id in part)}
        return [case_id for case_id in case_ids if known & {case_id, names.patients.get(case_id, case_id)}]

    def _part(self, parts: Sequence[str]) -> list[str]:
        by_name = {"train": self.train, "val": self.val, "test": self.test}
        return [case_id for name in parts for case_id in by_name[name]]


@dataclass(frozen=True)
class Lineage:
    """The runs that weights come from, the latest first, and the ``unknown`` places whose cases are not recorded."""

    runs: tuple[SeenCases, ...]
    unknown: tuple[str, ...]

    def among(self, case_ids: Sequence[str], names: CaseNames, parts: Sequence[str] = ("train", "val")) -> list[str]:
        """Return the cases that any of the runs has in these parts."""
        found = {case_id for run in self.runs for case_id in run.among(case_ids, names, parts)}
        return [case_id for case_id in case_ids if case_id in found]


def read_lineage(source: Path) -> Lineage:
    """Follow weights (a run's folder, or a file) to their run, to the weights from which it started, and so on."""
    runs, unknown, visited = list[SeenCases](), list[str](), set[Path]()
    at: Path | None = source
    while at is not None:
        folder = _run_of(at)
        if folder is None or folder.resolve() in visited or (seen := _read_seen(folder)) is None:
            unknown.append(str(at))
            break
        visited.add(folder.resolve())
        runs.append(seen)
        at = _started_from(folder)
    return Lineage(tuple(runs), tuple(unknown))


def _run_of(source: Path) -> Path | None:
    """Return the run's folder of weights, given as that folder or as a file in it or in ``checkpoints/``; else None."""
    folders = (source,) if source.is_dir() else (source.parent, source.parent.parent)
    return next((folder for folder in folders if RunFolder(folder).splits.is_file()), None)


def _read_seen(folder: Path) -> SeenCases | None:
    """Read the parts of a run; None if they are not recorded or not readable."""
    try:
        run = RunFolder(folder)
        content = run.read_splits()
        train, val, test = (tuple(map(str, content[part])) for part in ("train", "val", "test"))
        patients, digests = dict(content.get("patients", {})), dict(content.get("digests", {}))
        root = run.read_config()["data"]["root"]
    # A damaged file is a UserError, which is a ValueError; a home folder that nobody has, a RuntimeError.
    except (ValueError, KeyError, TypeError, AttributeError, RuntimeError):
        return None
    is_phantom = bool(read_json_if_sound(RunFolder(folder).record).get("is_phantom"))
    names = CaseNames(patients, digests, None if root is None else data_folder(root), is_phantom)
    return SeenCases(folder, train, val, test, names)


def data_folder(root: str) -> Path:
    """Return ``data.root`` as the same path for all its spellings."""
    return Path(root).expanduser().resolve()


def _started_from(folder: Path) -> Path | None:
    """Return the weights from which the run in ``folder`` started; None if they were random."""
    init = read_json_if_sound(RunFolder(folder).record).get("init")
    return Path(str(init["source"])) if isinstance(init, Mapping) and "source" in init else None
