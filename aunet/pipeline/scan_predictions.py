"""Prediction of many scans: the next one is read and the previous one written while the network runs.

At most three scans are in memory: one being read, one predicted, one written. A scan that fails does not stop the
others.
"""

import logging
import math
import shutil
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from uuid import uuid4

import numpy as np
import torch
from numpy.typing import NDArray

from aunet.data.io.volume import Volume
from aunet.errors import UserError, describe_surroundings, is_disk_full, is_out_of_memory
from aunet.inference.ensemble import ScanPredictor
from aunet.inference.prediction import Prediction
from aunet.inference.prediction_files import ScanFile, read_ahead
from aunet.pipeline.log_capture import collected_warnings
from aunet.pipeline.prediction_delivery import Delivery
from aunet.pipeline.prediction_leftovers import SCRATCH
from aunet.pipeline.prediction_manifest import PredictionManifest, ScanEntry

_log = logging.getLogger(__name__)
_WRITTEN_AT_ONCE = 2**24  # bytes


@dataclass
class _Work:
    """A scan on its way through reading, prediction and writing; an error ends the way and is kept."""

    entry: ScanEntry
    channels: list[Volume]
    prediction: Prediction | None = None
    error: Exception | None = None


def predict_scans(
    predictor: ScanPredictor,
    files: Sequence[ScanFile],
    delivery: Delivery,
    manifest: PredictionManifest,
    on_progress: Callable[[int, float, str], None] = lambda number, share, name: None,
) -> list[str]:
    """Predict and write ``files``; return the names of the scans that failed, each reported by one logged line.

    Args:
        predictor: a run or an ensemble.
        files: scans and the paths of their label maps.
        delivery: the files to leave.
        manifest: receives an entry for every scan.
        on_progress: called with the number of scans before the present one, the share of it that is done, and its name.

    Raises:
        UserError: if the disk is full; the label maps that are finished stay.
    """
    ends = _Ends(predictor, delivery, manifest)
    with ThreadPoolExecutor(1) as writer:
        behind: tuple[ScanFile, Future[_Work]] | None = None
        for number, (file, reading) in enumerate(read_ahead(partial(_read, predictor), files)):
            work = reading.result()
            _predict(predictor, work, delivery, partial(_report_share, on_progress, number, file.scan.name))
            if behind is not None:
                ends.add(behind[0], behind[1].result())
            is_first = not manifest.lists(file)
            behind = file, writer.submit(_write, predictor, work, file, delivery, is_first=is_first)
        if behind is not None:
            ends.add(behind[0], behind[1].result())
    return ends.failed


def _report_share(on_progress: Callable[[int, float, str], None], number: int, name: str, share: float) -> None:
    on_progress(number, share, name)


class _Ends:
    """The outcomes of the scans: ``failed`` names those without a label map."""

    def __init__(self, predictor: ScanPredictor, delivery: Delivery, manifest: PredictionManifest) -> None:
        self.failed: list[str] = []
        self._written = 0
        self._predictor = predictor
        self._folder = delivery.folder
        self._manifest = manifest

    def add(self, file: ScanFile, work: _Work) -> None:
        """Report a scan's error, if any, and write its entry of the manifest."""
        try:
            if work.error is not None and is_disk_full(work.error):
                raise work.error
            if work.error is None:
                work.entry.label_map = file.label_map.name
            else:
                self.failed.append(file.name)
                work.entry.error = _report(work.error, file, self._predictor.device)
            self._manifest.add(file.name, work.entry, engines=[one.engine_name for one in self._predictor.members])
            self._written += work.error is None
        except OSError as error:
            if not is_disk_full(error):
                raise
            if work.error is None:  # a label map without its entry is not known to be of this run, so it is made again
                file.label_map.unlink(missing_ok=True)
            raise UserError(
                f"{self._folder}: the disk is full; {self._written} label maps were finished and stay. Free some space,"
                " then continue with --skip-existing."
            ) from None


def _read(predictor: ScanPredictor, file: ScanFile) -> _Work:
    work = _Work(ScanEntry([str(path.absolute()) for path in (file.scan, *file.further_channels)]), [])
    start = time.monotonic()
    with collected_warnings() as messages:
        try:
            if file.fault:
                raise UserError(file.fault)
            work.channels = predictor.read(file.files)
        except Exception as error:  # noqa: BLE001, reported with the scan
            work.error = error
    work.entry.warnings += messages
    work.entry.seconds["read"] = _seconds_since(start)
    return work


def _predict(predictor: ScanPredictor, work: _Work, delivery: Delivery, on_progress: Callable[[float], None]) -> None:
    """Predict a scan that was read; an error is kept in ``work``."""
    if work.error is not None:
        return
    start, scratch = time.monotonic(), delivery.folder / f".{uuid4().hex[:8]}-{SCRATCH}"
    with collected_warnings() as messages:
        try:
            predictor.warn_if_unusual(work.channels)
            allocate = partial(_allocate, scratch)
            prepared = predictor.prepare(work.channels)
            if not delivery.has_overlay:  # the picture alone needs the scan, which fills a good part of the memory
                work.channels = []
            work.prediction = predictor.predict_prepared(
                prepared, delivery.outputs, allocate=allocate, on_progress=on_progress
            )
            work.entry.volumes_ml = {name: round(ml, 3) for name, ml in work.prediction.volumes_ml.items()}
        except Exception as error:  # noqa: BLE001, reported with the scan
            work.error = error
        finally:
            shutil.rmtree(scratch, ignore_errors=True)  # the arrays stay mapped until they are released
    work.entry.warnings += messages
    work.entry.seconds["predict"] = _seconds_since(start)


def _write(predictor: ScanPredictor, work: _Work, file: ScanFile, delivery: Delivery, *, is_first: bool) -> _Work:
    """Write the files of a predicted scan, then release its volumes; an error is kept in ``work``.

    If ``is_first``, volumes that are there come from other runs or settings.
    """
    start = time.monotonic()
    with collected_warnings() as messages:
        try:
            if work.prediction is not None:
                if is_first:
                    delivery.remove_volumes(file)
                window = predictor.members[0].preprocessing.shown_window()
                delivery.write(file, work.prediction, next(iter(work.channels), None), window)
        except Exception as error:  # noqa: BLE001, reported with the scan
            work.error = error
    work.entry.warnings += messages
    work.prediction, work.channels = None, []
    work.entry.seconds["write"] = _seconds_since(start)
    return work


def _allocate(scratch: Path, shape: tuple[int, ...]) -> NDArray[np.float32]:
    """Return an array on disk, as probabilities of many classes exceed the memory; ``scratch`` is removed later.

    Raises:
        OSError: if the disk has no room for all of it. A mapped file that outgrows the disk would end the process.
    """
    scratch.mkdir(parents=True, exist_ok=True)
    path, missing = scratch / uuid4().hex[:8], math.prod(shape) * np.dtype(np.float32).itemsize
    with path.open("wb") as file:
        while missing:
            missing -= file.write(bytes(min(missing, _WRITTEN_AT_ONCE)))
    return np.memmap(path, np.float32, "r+", shape=shape)


def _report(error: Exception, file: ScanFile, device: torch.device) -> str:
    """Log an error of one scan and return it in words; one that no user can mend is logged with its traceback."""
    if isinstance(error, UserError):
        text = str(error)
    elif isinstance(error, OSError) and (words := describe_surroundings(error)):
        text = f"{file.scan}: {words}"
    elif is_out_of_memory(error):
        elsewhere = "" if device.type == "cpu" else ", or add --device cpu"
        text = (
            f"{file.scan}: not enough memory on {device}. Set inference.inferer=tiled with a small inference.memory,"
            f" such as 0.5 (GiB), or inference.sums=float16{elsewhere}."
        )
    else:
        text = f"{file.scan}: {type(error).__name__}: {error}"
        _log.error("%s", text, exc_info=error)
        return text
    _log.error("%s", text)
    return text


def _seconds_since(start: float) -> float:
    return round(time.monotonic() - start, 2)
