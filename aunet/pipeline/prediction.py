"""Prediction of scans to a folder: runs are loaded, each scan is predicted and written, and a record is kept."""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

from aunet.build import model
from aunet.build.ensemble import load_ensemble
from aunet.config.words import path_of
from aunet.errors import UserError
from aunet.export.label_formats import find_format
from aunet.files import check_writable
from aunet.inference.class_names import write_class_names
from aunet.inference.ensemble import ScanPredictor
from aunet.inference.prediction import LABEL_MAP, Outputs
from aunet.inference.prediction_files import ScanFile, scan_files
from aunet.messages import counted, shortened
from aunet.pipeline.prediction_delivery import Delivery
from aunet.pipeline.prediction_leftovers import cleared_of_leftovers
from aunet.pipeline.prediction_manifest import PredictionManifest, describe_predictor
from aunet.pipeline.scan_predictions import predict_scans
from aunet.terminal import run_progress

_log = logging.getLogger(__name__)


def predict_run(
    run: str | Path | Sequence[str | Path],
    scans: str | Path | Sequence[str | Path],
    output: str | Path,
    outputs: Outputs = LABEL_MAP,
    *,
    has_overlay: bool = False,
    label_format: str | None = None,
    segment_codes: Path | None = None,
    existing: Literal["refuse", "overwrite", "skip"] = "refuse",
    device: str | None = None,
    trusted_modules: Sequence[str] = (),
    inference: Mapping[str, object] | None = None,
) -> list[Path]:
    """Write the label map of each scan to a folder, with a record, as ``aunet predict`` does; return their paths.

    Args:
        run: the run's folder, or those of several, which form an ensemble.
        scans: files, folders of them, or folders with a DICOM series.
        output: folder for the label maps, which may be new.
        outputs: volumes to write beside each label map.
        has_overlay: whether a picture of each scan is drawn.
        label_format: of the label maps, such as "mha" or "dicom-seg"; None for that of each scan.
        segment_codes: JSON file with coded names of classes for dicom-seg.
        existing: label maps that are there are an error, are replaced, or are kept if they are whole.
        device: where to compute; None chooses it.
        trusted_modules: Python packages of your own that a run's configuration may name.
        inference: settings of ``inference`` that replace the run's, such as ``{"overlap": 0.25}``.

    Raises:
        UserError: a run, a scan or the folder cannot be used; if scans cannot be predicted, after all others are.
    """
    output = Path(output)
    runs = [path_of(str(folder)) for folder in ([run] if isinstance(run, (str, Path)) else run)]
    check_writable(output, str(output))
    has_format = label_format is not None or segment_codes is not None
    found = find_format(label_format or "nii.gz", segment_codes) if has_format else None
    paths = [path_of(str(scan)) for scan in ([scans] if isinstance(scans, (str, Path)) else scans)]
    files = scan_files(paths, output, is_overwriting=existing != "refuse", label_format=found)
    predictor = load_predictor(runs, device, trusted_modules, inference)
    delivery = Delivery(output, outputs, has_overlay, found)
    return predict_files(predictor, files, delivery, is_continued=existing == "skip")


def load_predictor(
    runs: Sequence[Path],
    device: str | None,
    trusted_modules: Sequence[str],
    inference: Mapping[str, object] | None,
) -> ScanPredictor:
    """Load a run, or several as an ensemble; arguments and errors as ``load_run`` and ``load_ensemble``."""
    if len(runs) == 1:
        return model.load_run(runs[0], device=device, trusted_modules=trusted_modules, inference=inference)
    return load_ensemble(runs, device, trusted_modules, inference)


def predict_files(
    predictor: ScanPredictor, files: Sequence[ScanFile], delivery: Delivery, *, is_continued: bool = False
) -> list[Path]:
    """Predict and write ``files``, showing progress; return the paths of their label maps.

    Args:
        predictor: a run or an ensemble.
        files: scans and the paths of their label maps.
        delivery: the files to leave.
        is_continued: whether label maps that are there and whole are kept.

    Raises:
        UserError: the requested volumes, the places or an earlier record do not fit; if scans cannot be predicted,
            after all others are.
    """
    predictor.check_outputs(delivery.outputs)
    manifest = PredictionManifest(delivery.folder, describe_predictor(predictor), is_continued=is_continued)
    delivery.check_places(files)
    label_maps = [file.label_map for file in files]
    if is_continued:
        files = [file for file in files if not (delivery.is_complete(file, predictor.labels) and manifest.keeps(file))]
        _log.info(
            "%d of %d label maps are there and whole; they are kept", len(label_maps) - len(files), len(label_maps)
        )
    classes = ", ".join(f"{index} {name}" for index, name in predictor.labels.foreground)
    _log.info("%s on %s; values in the label maps: %s", counted(len(files), "scan"), predictor.device, classes)
    failed = _predict(predictor, files, delivery, manifest)
    _report_regions(predictor, len(files))
    if failed:
        number = len(files) - len(failed)
        others = f"; {number} label map{'s' * (number > 1)} written to {delivery.folder}" if number else ""
        raise UserError(f"{len(failed)} of {len(files)} scans could not be predicted, for the reasons above{others}.")
    _log.info("%s written to %s", counted(len(files), "label map"), delivery.folder)
    return label_maps


def _predict(
    predictor: ScanPredictor, files: Sequence[ScanFile], delivery: Delivery, manifest: PredictionManifest
) -> list[str]:
    """Predict and write each file, showing progress; return the names of the failed scans."""
    with cleared_of_leftovers(delivery.folder, files), run_progress() as progress:
        write_class_names(delivery.folder, predictor.labels)
        manifest.begin()
        bar = progress.add_task("Predicting", total=len(files))

        def show(number: int, share: float, name: str) -> None:
            place = f" ({number + 1} of {len(files)})" if len(files) > 1 else ""
            progress.update(bar, completed=number + share, description=f"Predicting {name}{place}")

        return predict_scans(predictor, files, delivery, manifest, show)


def _report_regions(predictor: ScanPredictor, number: int) -> None:
    for member in predictor.members:
        if member.region and (missed := member.region.missed):
            text = "Region: %d of %d scans were labelled whole, as the run's coarse network misses an organ in them: %s"
            _log.warning(text, len(missed), number, shortened(missed))
