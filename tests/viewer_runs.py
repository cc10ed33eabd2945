"""A made-up run with scans for the viewer whose every value is known."""

from pathlib import Path

import numpy as np

from aunet.classes import Labels
from aunet.files import write_json
from aunet.inference.coefficient_files import write_coefficients
from aunet.inference.coefficients import LevelCoefficients
from aunet.metrics.case_scores import join_scores, summarise, summary_as_mapping, write_case_scores
from aunet.metrics.label_map_scores import score_case
from aunet.reporting.pictures.planes import LabelledScan
from aunet.reporting.viewer.stored_scan import store_scan, write_scan
from aunet.runs.run_folder import RunFolder

LABELS = Labels(("background", "left <kidney>", "spleen"))
SPACING = (1.0, 1.0, 3.0)
SHAPE = (20, 16, 10)
EPOCHS = (0, 3, 7)


def write_viewed_run(folder: Path, *, with_scans: bool = True) -> RunFolder:
    """Write a run of three test cases and one validation case; case k has k + 1 of 3 kidney slices right."""
    run = RunFolder(folder)
    facts = {"status": "finished", "model": "attention", "data": "ct150", "class_names": list(LABELS.names)}
    write_json(run.record, facts | {"is_phantom": True, "data_description": "PHANTOM: made up", "seed": 0})
    tables = list[object]()
    for number in range(3):
        reference = np.zeros(SHAPE, dtype=np.uint8)
        reference[2:6, 4:9, 3:6] = 1
        reference[12:16, 6:10, 2:8] = 2
        prediction = reference.copy()
        prediction[2:6, :, 4 + number : 6] = 0
        tables.append(score_case(f"case_{number}", prediction, reference, SPACING, LABELS))
        if with_scans:
            scan = store_scan(LabelledScan(_ramp(), reference, SPACING), prediction, (0.0, 19.0))
            write_scan(run.test.scan(f"case_{number}"), scan)
            write_scan(run.attention.scan("watched"), store_scan(LabelledScan(_ramp(), reference, SPACING)))
    scores = join_scores(tables)
    write_case_scores(run.test.case_scores, scores)
    write_json(run.test.summary, summary_as_mapping(summarise(scores)))
    for epoch in EPOCHS:
        values = np.full((1, 10, 8, 5), (epoch + 1) / 10)
        values[0, 0] = 0.0  # the patient's left
        write_coefficients(run.attention.volume("watched", epoch), [LevelCoefficients(2, values, (2.0, 2.0, 2.0))])
    return run


def _ramp() -> np.ndarray:
    """Return an image that brightens towards the patient's right."""
    return np.broadcast_to(np.arange(SHAPE[0], dtype=np.float32)[:, None, None], SHAPE)
