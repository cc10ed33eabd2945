"""The fingerprint is what numpy says of the same cases."""

from pathlib import Path

import numpy as np
import pytest
from abdomens import CLASSES, abdomens, write_abdomens

from aunet.data.sources.folder import folder_cohort
from aunet.doctor.cohort_statistics import cohort_statistics
from aunet.doctor.examination import examine_cohort


def test_medians_and_ranges_over_the_cases(tmp_path: Path) -> None:
    cases = abdomens(3)
    cases["case_1"].affine[2, 2] = cases["case_1"].label_affine[2, 2] = 10.0
    cases["case_2"].label[cases["case_2"].label == 1] = 0
    cohort = folder_cohort(str(write_abdomens(tmp_path, cases)), "images", "labels", "ct", CLASSES)
    found = cohort_statistics(examine_cohort(cohort).facts, cohort)

    assert [(axis.median, axis.lowest, axis.highest) for axis in found.spacing] == [(8, 8, 8), (8, 8, 8), (8, 8, 10)]
    assert (found.extent[2].lowest, found.extent[2].highest) == (24 * 8, 24 * 10)
    spleen = found.classes[0]
    assert (spleen.name, spleen.num_cases, spleen.num_annotated) == ("spleen", 2, 3)
    counts = [int((case.label == 1).sum()) for case in cases.values()]
    assert spleen.share_of_voxels == pytest.approx(sum(counts) / (3 * cases["case_0"].label.size))
    assert spleen.volume_ml is not None
    volumes = [counts[0] * 0.512, counts[1] * 0.64]
    assert (spleen.volume_ml.lowest, spleen.volume_ml.highest) == pytest.approx((min(volumes), max(volumes)))
    medians = [np.median(case.image) for case in cases.values()]
    assert found.image_percentiles[2] == pytest.approx(np.median(medians))
