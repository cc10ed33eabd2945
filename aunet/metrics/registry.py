"""All metrics of a label map, in the order of tables and files. A new metric is one record here.

Files, summaries, tables, comparisons, trackers and reports take their columns from these records. Tables of earlier
versions stay readable: a column that they lack is "not recorded".
"""

import math
from collections.abc import Mapping

from aunet.metrics.mesh_distance import mesh_distance
from aunet.metrics.metric import Metric
from aunet.metrics.overlap import dice, iou, precision, ratio, recall

METRICS: tuple[Metric, ...] = (
    Metric(
        key="dice",
        title="Dice",
        function=lambda pair: dice(pair.prediction, pair.reference),
        direction="higher",
        penalty="zero",
        highest=1.0,
    ),
    Metric(
        key="precision",
        title="Precision",
        function=lambda pair: precision(pair.prediction, pair.reference),
        direction="higher",
        penalty="zero",
        highest=1.0,
    ),
    Metric(
        key="recall",
        title="Recall",
        function=lambda pair: recall(pair.prediction, pair.reference),
        direction="higher",
        penalty="zero",
        highest=1.0,
    ),
    Metric(
        key="assd_mm",
        title="ASSD",
        function=lambda pair: pair.element_distances.mean(),
        direction="lower",
        unit="mm",
        digits=2,  # a hundredth of a mm is far below any voxel
        penalty="diagonal",
        is_of_surface=True,
        older_form="voxel_assd_mm",
        note="ASSD: average symmetric surface distance over surface elements weighted by their area; faces at which"
        " the scan ends are left out.",
    ),
    Metric(
        key="voxel_assd_mm",
        title="Voxel ASSD",
        function=lambda pair: pair.border_distances.mean(),
        direction="lower",
        unit="mm",
        digits=2,
        penalty="diagonal",
        is_shown=False,
        is_of_surface=True,
        note="Voxel ASSD: the form of earlier versions, over border voxels that count alike, those at the scan's edge"
        " included.",
    ),
    Metric(
        key="hd95_mm",
        title="HD95",
        function=lambda pair: pair.element_distances.percentile(0.95),
        direction="lower",
        unit="mm",
        digits=2,
        penalty="diagonal",
        is_of_surface=True,
        note="HD95: the larger of both directions' 95th percentiles of the distances between surface elements, weighted"
        " by area.",
    ),
    Metric(
        key="nsd",
        title="NSD",
        function=lambda pair: pair.element_distances.share_within(pair.tolerance_mm),
        direction="higher",
        penalty="zero",
        highest=1.0,
        is_of_surface=True,
        note="NSD: normalised surface distance (surface Dice), the share of both surfaces within a tolerance of the"
        " other (column tolerance_mm of the files).",
    ),
    Metric(
        key="volume_difference_percent",
        title="Volume",
        function=lambda pair: 100 * ratio(pair.predicted_ml - pair.reference_ml, pair.reference_ml),
        direction="zero",
        unit="%",
        digits=1,
        lowest=-100.0,
        note="Volume: prediction minus reference, in % of the reference; a missed class counts as -100 %.",
    ),
    Metric(
        key="volume_difference_ml",
        title="Volume",
        function=lambda pair: pair.volume_difference_ml,
        direction="zero",
        unit="ml",
        digits=1,
        lowest=-math.inf,
        is_shown=False,
    ),
    # In each case a function of Dice, D / (2 - D), so a table of both says everything twice.
    Metric(
        key="iou",
        title="IoU",
        function=lambda pair: iou(pair.prediction, pair.reference),
        direction="higher",
        penalty="zero",
        highest=1.0,
        is_shown=False,
    ),
    # The forms of most programs, MONAI among them, to compare numbers with theirs.
    Metric(
        key="voxel_hd95_mm",
        title="Voxel HD95",
        function=lambda pair: pair.border_distances.percentile(0.95),
        direction="lower",
        unit="mm",
        digits=2,
        penalty="diagonal",
        is_shown=False,
    ),
    Metric(
        key="voxel_nsd",
        title="Voxel NSD",
        function=lambda pair: pair.border_distances.share_within(pair.tolerance_mm),
        direction="higher",
        penalty="zero",
        highest=1.0,
        is_shown=False,
    ),
    Metric(
        key="lesion_f1",
        title="Lesion F1",
        function=lambda pair: pair.lesions.f1,
        direction="higher",
        penalty="zero",
        highest=1.0,
        extra="lesions",
        note="Lesions: connected components (joined by faces, edges or corners); one shared voxel counts as detected."
        " Recall: detected components of the reference; precision: components of the prediction that touch it.",
    ),
    Metric(
        key="lesion_recall",
        title="Lesion recall",
        function=lambda pair: pair.lesions.recall,
        direction="higher",
        penalty="zero",
        highest=1.0,
        extra="lesions",
    ),
    Metric(
        key="lesion_precision",
        title="Lesion precision",
        function=lambda pair: pair.lesions.precision,
        direction="higher",
        penalty="zero",
        highest=1.0,
        extra="lesions",
    ),
    Metric(
        key="mesh_distance_mm",
        title="Mesh S2S",
        function=lambda pair: mesh_distance(pair.prediction, pair.reference, pair.spacing),
        direction="lower",
        unit="mm",
        digits=2,
        penalty="diagonal",
        extra="mesh",
        note="Mesh S2S: average symmetric distance of triangle meshes, weighted by area (pymeshmetrics).",
    ),
    Metric(
        key="brier",
        title="Brier",
        function=lambda pair: pair.known_calibration.brier,
        direction="lower",
        digits=4,
        highest=1.0,
        extra="probabilities",
        note="Brier: mean squared error of the class's probability over all voxels of the scan.",
    ),
    Metric(
        key="ece",
        title="ECE",
        function=lambda pair: pair.known_calibration.ece,
        direction="lower",
        digits=4,
        highest=1.0,
        extra="probabilities",
        note="ECE: expected calibration error of the class's probability over all voxels of the scan, in 15 bins of"
        " equal width.",
    ),
)
METRIC_OF: Mapping[str, Metric] = {metric.key: metric for metric in METRICS}


def notes_on(keys: tuple[str, ...]) -> str:
    """Return the sentences that explain these metrics, joined."""
    return " ".join(METRIC_OF[key].note for key in keys if METRIC_OF[key].note)
