"""The worst, median and best test case, kept for the viewer of the report with the coefficients over them."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import torch
from nibabel.orientations import inv_ornt_aff, io_orientation
from numpy.typing import NDArray

from aunet.data.cohort.case import Case, Cohort
from aunet.data.cohort.references import read_scan_and_reference
from aunet.data.io.volume import Volume, label_suffix, read_label
from aunet.data.preprocessing.region import find_box
from aunet.errors import is_out_of_memory
from aunet.inference.coefficient_files import write_coefficients
from aunet.inference.coefficients import LevelCoefficients
from aunet.inference.gate_volumes import average_gates
from aunet.inference.predictor import Predictor
from aunet.metrics.case_scores import read_case_scores
from aunet.networks.protocols import AttentionNetwork, gates_per_skip, has_softmax_gates
from aunet.reporting.pictures.planes import LabelledScan, in_ras_order
from aunet.reporting.score_section import notable_cases
from aunet.reporting.viewer.stored_scan import store_scan, write_scan
from aunet.runs.inner_folders import ScoreFolder

_logger = logging.getLogger(__name__)


def store_viewer_cases(predictor: Predictor, cases: Mapping[str, Case], cohort: Cohort, folder: ScoreFolder) -> None:
    """Write the scans of the cases (by id) that the scores in ``folder`` single out, and the coefficients over them.

    Coefficients of softmax gates compete over a window, so those of a whole scan are undefined and left out, as are
    those that memory does not hold, with a warning.
    """
    for case_id in notable_cases(read_case_scores(folder.case_scores)).values():
        case = cases[case_id]
        channels, reference = read_scan_and_reference(case, cohort)
        found = read_label(folder.predictions / (case_id + label_suffix(case.images[0])))
        image, spacing = in_ras_order(channels[0].array, channels[0].affine)
        truth, prediction = (in_ras_order(array, channels[0].affine)[0] for array in (reference.array, found.array))
        window = predictor.preprocessing.shown_window()
        write_scan(folder.scan(case_id), store_scan(LabelledScan(image, truth, spacing), prediction, window))
        try:
            levels = _coefficients(predictor, channels)
        except (MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error):
                raise
            # Whole maps need more memory than the test, which succeeded.
            _logger.warning("case %s: the viewer shows no coefficients, as memory does not hold their maps", case_id)
            continue
        if levels:
            write_coefficients(folder.coefficients(case_id), levels)


def _coefficients(predictor: Predictor, channels: Sequence[Volume]) -> list[LevelCoefficients]:
    """Return one map per gate of each level, finest first, over the scan in RAS order; none of softmax gates.

    The maps cover the part of the scan that the network sees, as in ``Predictor.predict_volume``.
    """
    if not isinstance(predictor.network, AttentionNetwork) or has_softmax_gates(predictor.network):
        return []
    box = find_box(predictor.region, channels)
    prepared = predictor.preprocessing.image([box.cut(channel) for channel in channels])
    found = predictor.predict_preprocessed(torch.from_numpy(prepared.array), with_attention=True).coefficients
    scan, num_gates = channels[0], gates_per_skip(predictor.network)
    return [
        over_scan(average_gates(level, num_gates or len(level.values)), prepared.affine, scan.affine, scan.array.shape)
        for level in found.values()
    ]


def over_scan(
    level: LevelCoefficients, affine: NDArray[np.float64], scan_affine: NDArray[np.float64], shape: Sequence[int]
) -> LevelCoefficients:
    """Return ``level`` with cells that count voxels of a scan in RAS order instead of those of the preprocessed image.

    Args:
        level: coefficients over the preprocessed image.
        affine: of the preprocessed image (voxel -> RAS+ mm), whose axes are parallel to the scan's.
        scan_affine: of the scan as stored.
        shape: the scan's number of voxels along each stored axis.
    """
    ras_affine = scan_affine @ inv_ornt_aff(io_orientation(scan_affine), shape)
    to_scan = np.linalg.inv(ras_affine) @ affine
    scales = np.diag(to_scan)[:3]
    # A voxel's index is that of its centre, half a voxel behind the edge that cells count from.
    first, second, third = scales * (np.asarray(level.offset) - 0.5) + to_scan[:3, 3] + 0.5
    height, width, depth = scales * np.asarray(level.cell_size)
    return replace(
        level, cell_size=(float(height), float(width), float(depth)), offset=(float(first), float(second), float(third))
    )
