"""``predictions.json`` beside predicted label maps: which run made them and how, and for each scan what came of it."""

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

from aunet.errors import UserError
from aunet.files import JsonObject, read_json_object, write_json
from aunet.inference.ensemble import ScanPredictor
from aunet.inference.prediction import Origin
from aunet.runs.run_record import list_versions

MANIFEST = "predictions.json"
# Settings that affect the memory alone.
_WITHOUT_EFFECT = ("memory", "window_batch")
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
    """The file ``predictions.json`` of a folder, written anew after every scan.

    Args:
        folder: of the label maps.
        header: the runs with their settings, class names, versions and options.
        is_continued: whether to keep the entries that are there.

    Raises:
        UserError: if the entries to be kept come from another run, or from other settings.
    """

    def __init__(self, folder: Path, header: Mapping[str, object], *, is_continued: bool) -> None:
        self.file = folder / MANIFEST
        self._header: JsonObject = dict(header)
        former = _read(self.file) if is_continued else {}
        _check_same(self.file, former, self._header)
        self._scans: JsonObject = former.get("scans", {})

    def add(self, name: str, entry: ScanEntry, **facts: object) -> None:
        """Replace the entry of a scan, and ``facts`` of the header, then write the file."""
        self._header |= facts
        self._scans[name] = asdict(entry)
        write_json(self.file, self._header | {"scans": self._scans})


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


def _read(file: Path) -> JsonObject:
    return read_json_object(file, f"Delete it. {_CONTINUE}") if file.is_file() else {}


def _check_same(file: Path, former: JsonObject, header: JsonObject) -> None:
    before, now = _decisive(former), _decisive(header)
    if former and before != now:
        raise UserError(
            f"{file}: --skip-existing would mix label maps: those there were made with {_difference(before, now)}."
            f" {_CONTINUE}"
        )


def _decisive(header: JsonObject) -> JsonObject:
    """Return what decides the label maps: weights, settings and classes, wherever the runs are now."""
    runs: list[JsonObject] = [
        {"sha256": run.get("sha256")}
        | {key: value for key, value in run.get("settings", {}).items() if key not in _WITHOUT_EFFECT}
        for run in header.get("runs", [])
    ]
    return {"runs": runs, "class_names": header.get("class_names")}


def _difference(former: object, now: object) -> str:
    """Return the first difference of two plain values in words."""
    if isinstance(former, dict) and isinstance(now, dict):
        pairs = [(key, former.get(key), now.get(key)) for key in {**former, **now}]
        key, before, after = next(pair for pair in pairs if pair[1] != pair[2])
        is_plain = not isinstance(before, dict | list) or not isinstance(after, dict | list)
        return f"{key}={before}, now it is {after}" if is_plain else _difference(before, after)
    if isinstance(former, list) and isinstance(now, list) and len(former) == len(now):
        before, after = next(pair for pair in zip(former, now, strict=True) if pair[0] != pair[1])
        return _difference(before, after)
    return f"{_words(former)}, now it is {_words(now)}"


def _words(value: object) -> str:
    return f"{len(value)} entries" if isinstance(value, list) else str(value)
