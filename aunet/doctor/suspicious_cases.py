"""Pictures of the cases that the doctor flags for a look."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from aunet.data.cohort.case import Case, Cohort
from aunet.data.io.volume import read_channels
from aunet.data.preprocessing.intensity_scale import Window
from aunet.doctor.case_facts import counted_values, with_classes
from aunet.doctor.case_picture import NO_CLASS, case_picture
from aunet.doctor.examination import Examination, class_of_integer, read_integers
from aunet.doctor.finding import NOT_HOUNSFIELD, Finding, Severity
from aunet.terminal import shown


def draw_suspicious(cohort: Cohort, examination: Examination, window: Window | None, folder: Path) -> list[Path]:
    """Write ``folder``/<case_id>.png for each readable case with an error or warning; return the paths.

    A CT in HU is shown in ``window``; without one, between robust ends, as any other image.
    """
    readable = {facts.case_id for facts in examination.facts}
    told = [found for found in examination.findings if found.kind.severity is not Severity.NOTE]
    ids = {found.case_id for found in told} & readable
    cases = [case for case in cohort.cases if case.case_id in ids]
    paths: list[Path] = []
    for case in shown(cases, "Drawing suspicious cases", len(cases)):
        findings = [found for found in told if found.case_id == case.case_id]
        paths.append(_draw(case, cohort, findings, window, folder / f"{case.case_id}.png"))
    return paths


def _draw(case: Case, cohort: Cohort, findings: Sequence[Finding], window: Window | None, path: Path) -> Path:
    image, label = read_channels(case.images[0])[0], read_integers(case, cohort)
    values = counted_values(label.array)
    class_of_value = class_of_integer(case, cohort)
    if not cohort.is_other_background:
        class_of_value = {value: class_of_value.get(value, NO_CLASS) for value in values}
    classes = with_classes(label, class_of_value, values)
    low, high = np.percentile(image.array[::2, ::2, ::2], (0.5, 99.5)).tolist()
    is_ct = cohort.channel_modalities[0] == "ct"
    is_in_window = is_ct and window is not None and low < window[1] and high > window[0]
    is_hounsfield = is_in_window and all(found.kind is not NOT_HOUNSFIELD for found in findings)
    case_picture(
        (image.array, image.affine),
        (classes.array, classes.affine),
        cohort.labels,
        path,
        title=f"{case.case_id}: {', '.join(dict.fromkeys(found.kind.name for found in findings))}",
        remarks=[found.message for found in findings],
        intensities=window if is_hounsfield else None,
    )
    return path
