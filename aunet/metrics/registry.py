"""All metrics of a label map, in the order of tables and files. A new metric is one record here.

Files, summaries, tables, comparisons, trackers and reports take their columns from these records. Tables of earlier
versions stay readable: a column that they lack is "not recorded".
"""

from collections.abc import Mapping

from aunet.metrics.metric import Metric
from aunet.metrics.overlap import dice, precision, recall

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
)
METRIC_OF: Mapping[str, Metric] = {metric.key: metric for metric in METRICS}


def notes_on(keys: tuple[str, ...]) -> str:
    """Return the sentences that explain these metrics, joined."""
    return " ".join(METRIC_OF[key].note for key in keys if METRIC_OF[key].note)
