"""The range of the scans that a network was trained on, and warnings for a scan beyond it."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
from nibabel.orientations import io_orientation

from aunet.data.io.volume import Volume
from aunet.data.preprocessing.image_intensities import measured_intensities
from aunet.data.preprocessing.modality_evidence import (
    cannot_be_hounsfield,
    doubt_hounsfield,
    looks_like_ct,
    modality_of_file,
)
from aunet.files import JsonObject

_log = logging.getLogger(__name__)
# Relative: headers of one nominal spacing differ by rounding.
_TOLERANCE = 0.01
_AXES = ("right-left", "back-front", "feet-head")


@dataclass(frozen=True)
class TrainingRange:
    """The modality of each channel, and the lowest and highest spacing (mm) along right, anterior and superior.

    ``spacing`` is empty if the run did not record it.
    """

    modalities: tuple[str, ...]
    spacing: tuple[tuple[float, float], ...] = ()

    @classmethod
    def of_record(cls, record: JsonObject, modalities: Sequence[str]) -> "TrainingRange":
        """Return the range in the record of a run; an older one holds no spacing."""
        found = cast(JsonObject, record.get("training_range") or {}).get("spacing_mm") or ()
        return cls(tuple(modalities), tuple((float(low), float(high)) for low, high in found))

    def warn(self, channels: Sequence[Volume]) -> None:
        """Log a warning if the spacing, and one for each channel whose modality, lies beyond the range."""
        scan = channels[0]
        if beyond := self._axes_beyond(scan):
            _log.warning("%s: the spacing of its voxels is %s. Expect a worse label map.", scan.name, ", ".join(beyond))
        for channel, modality in zip(channels, self.modalities, strict=False):
            if found := _contradiction(channel, modality):
                _log.warning(
                    "%s: %s; the run was trained on %s. Expect a label map without meaning.",
                    *(channel.name, found, modality),
                )

    def _axes_beyond(self, scan: Volume) -> list[str]:
        order = np.argsort(io_orientation(scan.affine)[:, 0])
        spacing = np.array(scan.spacing)[order].tolist()
        return [
            f"{side:.3g} mm {axis} (training: {f'{low:g} to {high:g}' if high > low else f'{low:g}'} mm)"
            for axis, side, (low, high) in zip(_AXES, spacing, self.spacing, strict=False)
            if not low * (1 - _TOLERANCE) <= side <= high * (1 + _TOLERANCE)
        ]


def _contradiction(channel: Volume, modality: str) -> str | None:
    """Return why a channel is not of ``modality``, by its DICOM header or else its values; None if it may be."""
    tag = None if channel.path is None else modality_of_file(channel.path)
    if tag is not None:
        return None if tag == modality else f"its DICOM header says {tag}"
    if modality == "picture":
        return None
    found = measured_intensities(channel.array)
    values = f"its values from {found.lowest:g} to {found.highest:g}"
    if modality == "ct":
        if cannot_be_hounsfield(found):
            return f"{values} are not HU"
        doubt = doubt_hounsfield(found)
        return f"{values} may not be HU ({doubt})" if doubt else None
    return f"{values} look like HU of a CT" if looks_like_ct(found) else None
