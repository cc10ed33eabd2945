"""Predictions of ours for ``peers.py dice``: the cases kept apart, with each of the kept checkpoints of a run."""

import json
import os
from pathlib import Path

from peer_arguments import parse

import aunet


def main() -> None:
    """Write a label map for each checkpoint and case."""
    arguments = parse(__doc__)
    case_ids = json.loads(arguments.split.read_text())["test"]
    for snapshot in arguments.snapshots:
        output = arguments.output / snapshot.name
        predictor = aunet.load_run(run_at(snapshot, arguments.folder / "run", output / "run"))
        for case_id in case_ids:
            scan = arguments.data / "imagesTr" / f"{case_id}.nii.gz"
            predictor.predict(scan).write(output / f"{case_id}.nii.gz")


def run_at(snapshot: Path, run: Path, folder: Path) -> Path:
    """Return ``folder`` as the run was when ``snapshot`` was its best checkpoint."""
    (folder / "checkpoints").mkdir(parents=True, exist_ok=True)
    for file in run.iterdir():
        if file.is_file():
            _link(file, folder / file.name)
    _link(snapshot, folder / "checkpoints" / "best.ckpt")
    return folder


def _link(source: Path, place: Path) -> None:
    place.unlink(missing_ok=True)
    os.link(source, place)


if __name__ == "__main__":
    main()
