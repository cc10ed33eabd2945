"""The readers of what runs and commands leave behind, each with sound files that are then damaged."""

import json
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from random import Random

import numpy as np
import torch
from safetensors.torch import save_file
from viewer_runs import write_viewed_run

from aunet.build.model import load_run
from aunet.commands.main import main
from aunet.config.draft import compose_draft, load_draft, load_run_config
from aunet.data.preprocessing import foreground_intensities
from aunet.data.preprocessing.steps import PreprocessedVolume
from aunet.data.store.chunked_array import DamagedArrayError
from aunet.data.store.stored_case import open_stored_case, write_stored_case
from aunet.errors import UserError
from aunet.evaluation.compared_run import read_compared_run, read_record
from aunet.export.segment_codes import read_codes
from aunet.files import read_json_if_sound
from aunet.inference.chosen_postprocessing import read_choice
from aunet.inference.engine_choice import _as_measured
from aunet.inference.prediction_files import ScanFile
from aunet.metrics.case_scores import read_case_scores
from aunet.pipeline.configuration import _read_steps
from aunet.pipeline.prediction_manifest import PredictionManifest, ScanEntry
from aunet.reporting.probe_section import write_probe_page
from aunet.reporting.viewer.section import viewer_section
from aunet.runs.epoch_rows import read_columns, read_epochs, read_table
from aunet.runs.run_folder import RunFolder
from aunet.runs.run_state import read_run_state, where_it_runs
from aunet.runs.tensor_files import UnreadableTensorsError, read_tensors
from aunet.training.callbacks.checkpoints import is_readable
from aunet.training.transfer import read_weights
from aunet.training.weight_lineage import read_lineage
from tests.fuzz.mutations import damage_bytes, damage_json, damage_text, damage_yaml
from tests.fuzz.readers import MASK, OLD_RUN, SCANS, TABLES, VOXELS, Reader, try_each

OTHER_RUN = str(OLD_RUN.with_name("unet"))


def _write_run(folder: Path) -> None:
    shutil.copytree(OLD_RUN, folder, dirs_exist_ok=True)
    (folder / "timing.csv").write_text("epoch,epoch_seconds\n0,1.5\n1,2.5\n")
    (folder / "run.lock").write_text('{"host": "elsewhere", "process": 1}')


def _read_run(folder: Path) -> None:
    """Read a run as `aunet runs`, `compare`, the report and `init=` do."""
    read_run_state(folder)
    where_it_runs(folder)
    read_lineage(folder)
    run = RunFolder(folder)
    try_each(
        lambda: read_compared_run(folder, read_record(folder), run.read_config()),
        lambda: read_case_scores(run.test.case_scores),
        lambda: (run.labels, run.caveats),
        lambda: (read_columns(run.metrics), read_table(run.metrics), read_columns(run.timing)),
        lambda: read_epochs(run.metrics),
    )


def _read_configuration(folder: Path) -> None:
    try:
        load_run_config(folder)
    except UserError:
        load_draft(folder, built=None)


def damage_json_or_text(content: bytes, draw: Random) -> bytes:
    """Damage JSON as JSON, other texts as text."""
    return (damage_json if content.startswith(b"{") else damage_text)(content, draw)


def damage_json_or_bytes(content: bytes, draw: Random) -> bytes:
    """Damage JSON as JSON, other files byte by byte."""
    return (damage_json if content.startswith(b"{") else damage_bytes)(content, draw)


def _command(*words: str) -> Callable[[Path], None]:
    def run(folder: Path) -> None:
        filled = [word.replace("RUN", str(folder)) for word in words]
        assert main(filled) in (0, 2)

    return run


def _write_settings(folder: Path) -> None:
    files = {
        "data": "defaults: [msd]\nname: mine\nroot: /scans/mine\nmax_epochs: 7\nclasses: {spleen: 1, liver: [2, 3]}\n",
        "model": "defaults: [unet]\nname: mine\nnetwork: {channels: [2, 4], norm: batch, dropout: 0.1}\n",
        "trainer": "defaults: [default]\nname: mine\nmax_epochs: 5\nmax_time: 00:00:10:00\ncallbacks: []\n",
        "inference": "defaults: [default]\npostprocessing: [{_target_: aunet.inference.postprocessing.HoleFilling}]\n",
    }
    for group, text in files.items():
        (folder / group).mkdir()
        (folder / group / "mine.yaml").write_text(text)


def _read_settings(folder: Path) -> None:
    groups = ("data", "model", "trainer", "inference")
    compose_draft([*(f"{group}=mine" for group in groups), f"hydra.searchpath=['{folder}']"])


RUNS = {
    "records of runs": Reader(_write_run, _read_run, ("run.json", "splits.json", "run.lock"), damage_json),
    "tables of runs": Reader(_write_run, _read_run, ("*.csv", "test/*.csv"), damage_text),
    "configurations of runs": Reader(_write_run, _read_configuration, ("config.yaml",), damage_yaml, share=0.3),
    "aunet runs": Reader(
        _write_run, _command("runs", "RUN", "--json"), ("*.json", "*.csv", "*.yaml"), damage_text, 0.3
    ),
    "aunet compare": Reader(
        _write_run,
        _command("compare", OTHER_RUN, "RUN", "--output", "RUN/out", "--allow-differences", "--no-figures"),
        ("run.json", "splits.json", "test/*.csv"),
        damage_json_or_text,
        0.05,
    ),
    "own YAML files": Reader(_write_settings, _read_settings, ("*/*.yaml",), damage_yaml, share=0.3),
}
"""Folders of runs, and configurations."""


def _write_weights(folder: Path) -> None:
    state = {"network.a": torch.arange(6.0).reshape(2, 3), "network.b": torch.zeros(2, dtype=torch.float16)}
    counts = {"epoch": 3, "global_step": 12, "hyper": {"x": [1, 2.5, "y", None]}}
    RunFolder(folder).checkpoints.last.parent.mkdir(exist_ok=True)
    for file in (folder / "weights.ckpt", RunFolder(folder).checkpoints.last):
        torch.save({"state_dict": state, **counts}, file)


def _read_checkpoint(folder: Path) -> None:
    """Read a checkpoint as `resume=` and `extend=` do."""
    is_readable(RunFolder(folder).checkpoints.last)
    _read_steps(folder)


def _write_safetensors(folder: Path) -> None:
    save_file({"a": torch.arange(6.0).reshape(2, 3), "b": torch.zeros(2)}, folder / "weights.safetensors")


def _write_stored(folder: Path) -> None:
    image = PreprocessedVolume(VOXELS[None].astype(np.float32), np.eye(4))
    write_stored_case(folder, "a", image, PreprocessedVolume(MASK, np.eye(4)), 2)


def _read_stored(folder: Path) -> None:
    case = open_stored_case("a", folder)
    case.verify()
    case.image()
    case.position(0, 0)


TENSORS = {
    "checkpoints": Reader(
        _write_weights,
        lambda folder: read_tensors(folder / "weights.ckpt"),
        ("*.ckpt",),
        damage_bytes,
        allowed=(UserError, UnreadableTensorsError),
    ),
    "initial weights": Reader(
        _write_weights, lambda folder: read_weights(folder / "weights.ckpt"), ("*.ckpt",), damage_bytes
    ),
    "resumed checkpoints": Reader(_write_weights, _read_checkpoint, ("checkpoints/*",), damage_bytes),
    "safetensors": Reader(
        _write_safetensors, lambda folder: read_weights(folder / "weights.safetensors"), ("*",), damage_bytes
    ),
    "trained runs": Reader(
        _write_run, partial(load_run, device="cpu"), ("checkpoints/*", "*.yaml"), damage_bytes, 0.05
    ),
    "stored cases": Reader(_write_stored, _read_stored, ("*",), damage_bytes, allowed=(UserError, DamagedArrayError)),
}
"""Files of tensors."""


def _read_viewed_run(folder: Path) -> None:
    viewer_section({"run": RunFolder(folder)}, 10**7)


_HEADER = {
    "runs": [{"folder": "/runs/a", "checkpoint": "best.ckpt", "sha256": "00", "settings": {"overlap": 0.5}}],
    "class_names": ["background", "spleen"],
}


def _write_manifest(folder: Path) -> None:
    manifest = PredictionManifest(folder, _HEADER, is_continued=False)
    manifest.add("scan", ScanEntry([str(folder / "scan.nii.gz")], "scan.nii.gz", {"spleen": 1.5}))


def _read_manifest(folder: Path) -> None:
    """Read a manifest as `aunet predict` does with and without --skip-existing."""
    file = ScanFile(folder / "scan.nii.gz", folder / "out" / "scan.nii.gz")
    PredictionManifest(folder, _HEADER, is_continued=False).lists(file)
    PredictionManifest(folder, _HEADER, is_continued=True).keeps(file)


_MEASURED = {"engine": "torch", "precision": "bf16", "seconds": 0.5, "equal_labels": 1.0}
_CODE = {"value": "15776009", "scheme": "SCT", "meaning": "Pancreas", "side": "left"}


def _write_small_files(folder: Path) -> None:
    steps = [
        {"step": "largest_component", "class": "spleen"},
        {"step": "minimum_volume", "class": "liver", "least_ml": 1.5},
    ]
    files = {"steps": {"steps": steps}, "engines": {"key": _MEASURED}, "codes": {"pancreas": _CODE}}
    for name, content in files.items():
        (folder / f"{name}.json").write_text(json.dumps(content))
    np.save(folder / "counts.npy", np.array([[0, 0], [5, 9], [100, 3]]))


def _read_small_files(folder: Path) -> None:
    _as_measured(read_json_if_sound(folder / "engines.json").get("key"))
    foreground_intensities._read(folder / "counts.npy", 1)
    try_each(
        lambda: [step.build() for step in read_choice(folder / "steps.json")],
        lambda: read_codes(folder / "codes.json"),
    )


def _write_probe(folder: Path) -> None:
    table = {"title": "Changes", "columns": ["a", "b"], "groups": [[["1", "2"]]], "notes": ["n"], "is_folded": False}
    findings = {"model": "attention", "description": "d", "notes": [], "tables": [table], "pictured_cases": ["case_0"]}
    (folder / "probe.json").write_text(json.dumps(findings))


WRITTEN = {
    "viewed runs": Reader(write_viewed_run, _read_viewed_run, ("**/*.npz",), damage_bytes),
    "records of predictions": Reader(_write_manifest, _read_manifest, ("predictions.json",), damage_json),
    "steps, codes, engines, counts": Reader(
        _write_small_files, _read_small_files, ("*.json", "*.npy"), damage_json_or_bytes
    ),
    "findings of probes": Reader(_write_probe, write_probe_page, ("probe.json",), damage_json),
}
"""Files that commands leave and read again."""

READERS = {**SCANS, **TABLES, **RUNS, **TENSORS, **WRITTEN}
