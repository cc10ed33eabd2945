"""Recording of the gates' coefficients after every epoch, for the same few validation cases."""

import logging
import math
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pytorch_lightning import Callback, LightningModule, Trainer
from torch import Tensor, nn

from aunet.attention.archive import AttentionArchive
from aunet.attention.film import attention_film, choose_epochs
from aunet.attention.picture import AttentionPicture, DrawnPicture
from aunet.attention.statistics import attention_statistics, label_fractions
from aunet.classes import IGNORED, Labels
from aunet.inference.coefficients import LevelCoefficients
from aunet.inference.gate_volumes import average_gates
from aunet.networks.protocols import gates_per_skip, has_softmax_gates
from aunet.reporting.pictures.pixels import save_image
from aunet.reporting.pictures.planes import LabelledScan, Triple
from aunet.reporting.pictures.sheet import joined_columns
from aunet.tracking.tracker import Tracker

_log = logging.getLogger(__name__)

# Shares of classes in cells, for all cases together: those of the phantoms take 5 MB.
_KEPT_BYTES = 2**26

Row = dict[str, Any]  # numbers, and the case's name


@dataclass(frozen=True)
class ValidationImage:
    """A preprocessed case: ``image`` (C, h, w, d), ``label`` (h, w, d) integers, RAS order, ``spacing`` in mm."""

    case_id: str
    image: Tensor
    label: NDArray[np.integer]
    spacing: Triple

    def as_scan(self) -> LabelledScan:
        """Return the first channel with the label, for pictures, in which ignored voxels are background."""
        label = np.where(self.label == IGNORED, 0, self.label)
        return LabelledScan(self.image[0].float().cpu().numpy(), label, self.spacing)


class AttentionRecorder(Callback):
    """Callback that writes pictures, volumes and statistics of the coefficients, and at the end a film per case.

    A network with several maps per gate has ``num_gates``; the mean of each gate's maps is recorded.

    Args:
        folder: ``attention/`` of the run, to which all is written.
        cases: the validation cases to watch.
        predict: (network, case) -> coefficients over the case's image by level, finest first; none if no skip is gated.
        labels: the classes.
        patch_size: patch (voxels) of a case shown to a network with softmax gates, whose coefficients compete over all
            that it sees and cannot be stitched.
        max_epochs_kept: epochs with pictures and volumes on disk, 2 or more; statistics are kept for all.
        tracker: receives each level of each epoch, and the films.

    Attributes:
        contrasts: of the last recorded epoch, by tracker key: ``attention/level_2/gate_1/auc``, ``…/ratio``, and
            ``…/auc/<class>``; means over the cases for which they are defined. Definitions in
            ``aunet.attention.statistics``.
    """

    def __init__(
        self,
        folder: Path,
        cases: Sequence[ValidationImage],
        predict: Callable[[nn.Module, ValidationImage], Mapping[int, LevelCoefficients]],
        labels: Labels,
        patch_size: Sequence[int],
        max_epochs_kept: int = 64,
        tracker: Tracker | None = None,
    ) -> None:
        self._archive = AttentionArchive(folder, max_epochs_kept)
        self._cases = cases
        self._predict = predict
        self._labels = labels
        self._patch_size = tuple(patch_size)
        self._tracker = tracker
        self.contrasts: dict[str, float] = {}
        self._pictures: dict[str, AttentionPicture] = {}
        self._kept_fractions: dict[Hashable, NDArray[np.float64]] = {}
        self._is_ungated = False
        self._has_logged_mean = False

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Record the epoch, except in Lightning's sanity check before the first one."""
        if trainer.is_global_zero and not trainer.sanity_checking:
            self.record(pl_module.get_submodule("network"), trainer.current_epoch)

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write the films, also for a run that was stopped after its last epoch, which has no end of training."""
        if trainer.is_global_zero:
            self.write_films(pl_module.get_submodule("network"))

    def record(self, network: nn.Module, epoch: int) -> None:
        """Record ``epoch`` for all cases, replacing rows that an interrupted run left of it and later ones."""
        if self._is_ungated or not self._cases:
            return
        rows: list[Row] = []
        for case in self._shown_cases(network):
            levels = self._coefficients(network, case)
            if not levels:
                self._is_ungated = True
                _log.info("This network gates no skip: no attention is recorded.")
                return
            rows += self._statistics(case, levels, epoch)
            self._archive.write_scan(case.case_id, case.as_scan())
            self._archive.write_volumes(case.case_id, epoch, levels)
            self._draw(network, case, levels, epoch)
        self.contrasts = _mean_contrasts(rows)
        self._archive.replace_statistics(epoch, rows)
        self._archive.remove_surplus()

    def write_films(self, network: nn.Module) -> None:
        """Write the contact sheet of each case from the epochs on disk."""
        epochs = self._archive.kept_epochs()
        if self._is_ungated or not epochs:
            return
        for case in self._shown_cases(network):
            path = self._archive.film_path(case.case_id)
            attention_film(
                case.as_scan(),
                self._archive.read_frames(case.case_id, choose_epochs(epochs)),
                self._labels,
                path,
                title=f"{case.case_id}: attention over the epochs",
                is_relative=has_softmax_gates(network),
            )
            if self._tracker:
                self._tracker.picture(f"attention/film/{case.case_id}", path)

    def _shown_cases(self, network: nn.Module) -> list[ValidationImage]:
        if not has_softmax_gates(network):
            return list(self._cases)
        return [patch_on_organ(case, self._patch_size) for case in self._cases]

    def _coefficients(self, network: nn.Module, case: ValidationImage) -> list[LevelCoefficients]:
        """Return one map per gate of each level, finest first."""
        levels = self._predict(network, case).values()
        return [self._average_gates(level, gates_per_skip(network) or len(level.values)) for level in levels]

    def _average_gates(self, level: LevelCoefficients, num_gates: int) -> LevelCoefficients:
        if len(level.values) == num_gates:
            return level
        if not self._has_logged_mean:
            self._has_logged_mean = True
            _log.info("These gates have a map for each channel: attention is recorded as their mean.")
        return average_gates(level, num_gates)

    def _statistics(self, case: ValidationImage, levels: Sequence[LevelCoefficients], epoch: int) -> list[Row]:
        rows: list[Row] = []
        for level in levels:
            fractions = self._fractions(case, level)
            place: Row = {"epoch": epoch, "case_id": case.case_id, "level": level.level}
            names, regions = self._labels.names, self._labels.regions
            rows += [place | row for row in attention_statistics(level.values, fractions, names, regions)]
        return rows

    def _fractions(self, case: ValidationImage, level: LevelCoefficients) -> NDArray[np.float64]:
        """Return the share of each class in each cell, which all epochs share; small ones are kept for them."""
        grid = level.values.shape[1:]
        key = case.case_id, grid, level.cell_size, level.offset
        if (kept := self._kept_fractions.get(key)) is not None:
            return kept
        fractions = label_fractions(
            case.label, self._labels.num_classes, grid, cell_size=level.cell_size, offset=level.offset
        )
        if fractions.nbytes + sum(one.nbytes for one in self._kept_fractions.values()) <= _KEPT_BYTES:
            self._kept_fractions[key] = fractions
        return fractions

    def _draw(self, network: nn.Module, case: ValidationImage, levels: Sequence[LevelCoefficients], epoch: int) -> None:
        if case.case_id not in self._pictures:
            self._pictures[case.case_id] = AttentionPicture(
                case.as_scan(), self._labels, is_relative=has_softmax_gates(network)
            )
        picture = self._pictures[case.case_id].draw(levels, f"{case.case_id}, epoch {epoch}")
        save_image(picture.image, self._archive.picture_path(case.case_id, epoch))
        if self._tracker:
            self._show_levels(self._tracker, case.case_id, picture, epoch)

    def _show_levels(self, tracker: Tracker, case_id: str, picture: DrawnPicture, epoch: int) -> None:
        """Show each level of ``picture`` on its own, as a tracker places the epochs side by side."""
        with TemporaryDirectory() as folder:
            for level, columns in picture.columns.items():
                part = Path(folder) / f"level_{level}.png"
                save_image(joined_columns(picture.image, columns), part)
                tracker.picture(f"attention/level_{level}/{case_id}", part, epoch)


def _mean_contrasts(rows: Sequence[Row]) -> dict[str, float]:
    """Return the means over the cases of the contrasts in ``rows``, by tracker key."""
    values: dict[str, list[float]] = {}
    for row in rows:
        for column, value in row.items():
            kind, _, name = column.partition("_inside")
            if kind in ("auc", "ratio") and not math.isnan(value):
                place = f"attention/level_{row['level']}/gate_{row['map'] + 1}"
                values.setdefault("/".join(filter(None, (place, kind, name.removeprefix("_")))), []).append(value)
    return {name: fmean(found) for name, found in values.items()}


def patch_on_organ(case: ValidationImage, patch_size: tuple[int, ...]) -> ValidationImage:
    """Return the patch at the centre of the foreground's bounding box; of the volume if there is no foreground.

    It lies within the volume and is smaller than ``patch_size`` if the volume is.
    """
    places = np.argwhere((case.label > 0) & (case.label != IGNORED))
    low, high = (places.min(axis=0), places.max(axis=0) + 1) if len(places) else (0, np.array(case.label.shape))
    middles = (np.asarray(low) + np.asarray(high)) // 2
    box = tuple(
        slice(start, start + min(extent, size))
        for start, extent, size in zip(
            _starts(middles, patch_size, case.label.shape), patch_size, case.label.shape, strict=True
        )
    )
    return replace(case, image=case.image[(slice(None), *box)], label=case.label[box])


def _starts(middles: NDArray[np.integer], patch_size: tuple[int, ...], shape: tuple[int, ...]) -> list[int]:
    return [
        min(max(int(middle) - extent // 2, 0), max(size - extent, 0))
        for middle, extent, size in zip(middles, patch_size, shape, strict=True)
    ]
