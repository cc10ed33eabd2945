"""``predictions.json`` beside predicted label maps: which run made them and how, and for each scan what came of it."""

import hashlib
import logging
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import cast

from aunet.errors import UserError
from aunet.files import JsonObject, held_alone, read_json_if_sound, read_json_object, write_json
from aunet.inference.ensemble import ScanPredictor
from aunet.inference.prediction import Origin
from aunet.inference.prediction_files import ScanFile
from aunet.runs.run_record import list_versions

_log = logging.getLogger(__name__)
MANIFEST = "predictions.json"
_LOCK = ".predictions.lock"
# Settings with which a prediction that ran out of memory is continued. Another size of tiles may change labels beside
# cuts, but so may other free memory, from which the size is chosen by default.
_WITHOUT_EFFECT = ("memory", "window_batch")
_ABSENT = "not recorded"
_CONTINUE = "Give another --output folder, or --overwrite."


@dataclass
class ScanEntry:
    """The entry of one scan: files, volumes of the classes (ml), seconds by step, and messages."""

    scan: list[str]
    label_map: str | None = None
    volumes_ml: dict[str, float] = field(default_factory=dict[str, float])
    seconds: dict[str, float] = field(default_factory=dict[str, float])
    warnings: list[str] = field(default_factory=list[str])
    error: str | None = None


class PredictionManifest:
    """The file ``predictions.json`` of a folder, written anew after every scan, perhaps by several processes in turn.

    Args:
        folder: of the label maps.
        header: the runs with their settings, class names, versions and options.
        is_continued: whether label maps that are there are kept.

    Entries of the same runs and settings are kept in any case, those of others are not.

    Raises:
        UserError: if label maps are kept and come from another run, or from other settings.
    """

    def __init__(self, folder: Path, header: Mapping[str, object], *, is_continued: bool) -> None:
        self.file = folder / MANIFEST
        self._header: JsonObject = dict(header)
        former = _read_former(self.file, is_continued=is_continued)
        if is_continued:
            _check_same(self.file, former, self._header)
        self._is_recorded = bool(former)
        self._scans = self._scans_of_same(former)
        self._own: JsonObject = {}

    def begin(self) -> None:
        """Write the file before the first scan, so that no label map of these runs lies beside the record of others."""
        self._write()

    def lists(self, file: ScanFile) -> bool:
        """Return whether the label map of a scan was made by these runs with these settings."""
        return self._scans.get(file.name, {}).get("label_map") == file.label_map.name

    def keeps(self, file: ScanFile) -> bool:
        """Return whether the label map of a scan, which is there and whole, may be kept; one without a record may.

        Raises:
            UserError: if the label map is that of another scan of the same name.
        """
        if not self._is_recorded:
            warning = f"{file.label_map}: is kept; which run made it is not recorded, as {MANIFEST} was missing."
            _log.warning(warning)
            entry = ScanEntry(_paths_of(file), file.label_map.name, warnings=[warning])
            self._scans[file.name] = self._own[file.name] = asdict(entry)
            return True
        if not self.lists(file):
            return False
        recorded, given = (Path(paths[0]) for paths in (self._scans[file.name]["scan"], _paths_of(file)))
        # A damaged record may name what no file system takes: Path.exists raises an error there.
        are_there = os.path.exists(recorded) and given.exists()  # noqa: PTH110
        if recorded != given and are_there and not recorded.samefile(given):
            raise UserError(
                f"{file.label_map}: is the label map of {recorded}, not of {given}. Give another --output folder."
            )
        return True

    def add(self, name: str, entry: ScanEntry, **facts: object) -> None:
        """Replace the entry of a scan, and ``facts`` of the header, then write the file."""
        self._header |= facts
        self._own[name] = asdict(entry)
        self._write()

    def _write(self) -> None:
        """Write the file, with the entries that other processes added meanwhile."""
        with held_alone(self.file.with_name(_LOCK)):
            self._scans = self._scans_of_same(read_json_if_sound(self.file)) | self._own
            write_json(self.file, self._header | {"scans": self._scans})

    def _scans_of_same(self, former: JsonObject) -> JsonObject:
        """Return the entries of a former file if the same runs and settings made it."""
        return former.get("scans", {}) if _decisive(former) == _decisive(self._header) else {}


def describe_predictor(predictor: ScanPredictor) -> dict[str, object]:
    """Return the header of the manifest: the runs, their weights and settings, the classes, and the versions."""
    return {
        "runs": [_describe_origin(member.origin) for member in predictor.members if member.origin is not None],
        "class_names": list(predictor.labels.names),
        "device": str(predictor.device),
        "versions": list_versions(),
    }


def _describe_origin(origin: Origin) -> dict[str, object]:
    with origin.checkpoint.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return {
        "folder": str(origin.folder.absolute()),
        "checkpoint": origin.checkpoint.name,
        "sha256": digest,
        "settings": dict(origin.settings),
    }


def _paths_of(file: ScanFile) -> list[str]:
    return [str(path.absolute()) for path in (file.scan, *file.further_channels)]


def _read_former(file: Path, *, is_continued: bool) -> JsonObject:
    """Return the content of an earlier manifest; empty without one. A damaged one is empty if nothing is continued."""
    try:
        return _read(file) if file.is_file() else {}
    except UserError:
        if is_continued:
            raise
        return {}


def _read(file: Path) -> JsonObject:
    remedy = f"Delete it. {_CONTINUE}"
    content = read_json_object(file, remedy)
    if not _are_scans(content.get("scans", {})) or not _are_runs(content.get("runs", [])):
        raise UserError(f"{file}: does not list runs and scans as aunet predict writes them. {remedy}")
    return content


def _are_scans(scans: object) -> bool:
    return isinstance(scans, dict) and all(map(_is_entry, cast(JsonObject, scans).values()))


def _is_entry(entry: object) -> bool:
    """Return whether an entry of ``scans`` names its scan, by one path for each channel."""
    paths: object = cast(JsonObject, entry).get("scan") if isinstance(entry, dict) else None
    return isinstance(paths, list) and bool(paths) and all(isinstance(path, str) for path in cast(list[object], paths))


def _are_runs(runs: object) -> bool:
    entries = cast(list[object], runs) if isinstance(runs, list) else [None]
    return all(isinstance(run, dict) and isinstance(cast(JsonObject, run).get("settings", {}), dict) for run in entries)


def _check_same(file: Path, former: JsonObject, header: JsonObject) -> None:
    before, now = _decisive(former), _decisive(header)
    if former and before != now:
        raise UserError(
            f"{file}: --skip-existing would mix label maps: those there were made with {_difference(before, now)}."
            f" {_CONTINUE}"
        )


def _decisive(header: JsonObject) -> JsonObject:
    """Return what decides the label maps: weights, settings and classes, wherever the runs are now.

    A setting of null counts as one that is not recorded, as an earlier version did not know it.
    """
    runs: list[JsonObject] = [
        {"sha256": run.get("sha256")}
        | {key: value for key, value in run.get("settings", {}).items() if _has_effect(key, value)}
        for run in header.get("runs", [])
    ]
    return {"runs": runs, "class_names": header.get("class_names")}


def _has_effect(key: str, value: object) -> bool:
    return key not in _WITHOUT_EFFECT and value is not None


def _difference(former: object, now: object) -> str:
    """Return the first difference of two plain values in words."""
    if isinstance(former, dict) and isinstance(now, dict):
        pairs = [(key, former.get(key, _ABSENT), now.get(key, _ABSENT)) for key in {**former, **now}]
        key, before, after = next(pair for pair in pairs if pair[1] != pair[2])
        is_plain = not isinstance(before, dict | list) or not isinstance(after, dict | list)
        return f"{key}={before}, now it is {after}" if is_plain else _difference(before, after)
    if isinstance(former, list) and isinstance(now, list) and len(former) == len(now):
        before, after = next(pair for pair in zip(former, now, strict=True) if pair[0] != pair[1])
        return _difference(before, after)
    return f"{_words(former)}, now it is {_words(now)}"


def _words(value: object) -> str:
    return f"{len(value)} entries" if isinstance(value, list) else str(value)
