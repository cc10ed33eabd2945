"""NIH Pancreas-CT ("CT-82") as TCIA distributes it: a DICOM folder per patient, and NIfTI labels of the pancreas.

The labels' affines do not agree with the scans, so their axes are found from the voxels instead. Newer releases lack
patients 25 and 70. Source: Roth et al. 2016, doi.org/10.7937/K9/TCIA.2016.tNB1kqBU.
"""

import logging
import re
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

from aunet.data.cohort.case import Case, Cohort
from aunet.data.cohort.class_mapping import Classes, label_map, mapped_cohort
from aunet.data.cohort.faulty_cases import attempt
from aunet.data.io.dicom_files import files_below, is_dicom
from aunet.data.io.dicom_slices import read_dicom_file
from aunet.data.sources.ct82_labels import placed_label
from aunet.data.sources.file_patterns import FilesOfCase, existing_folder
from aunet.errors import UserError
from aunet.terminal import shown

_logger = logging.getLogger(__name__)

LAYOUT = """
  ROOT/Pancreas-CT/PANCREAS_0001/<study>/<series>/*.dcm (or PANCREAS_0001.nii.gz)
  ROOT/TCIA_pancreas_labels-02-05-2017/label0001.nii.gz
"""
_THREADS = 2  # each holds a scan
_DEPTHS = ("", "*/", "*/*/")  # the archives unpack into a folder or two of their own
_SCAN = re.compile(r"PANCREAS_(\d{4})(\.nii(\.gz)?)?$")
_VALUES = {"background": [0], "pancreas": [1]}
_LABEL = re.compile(r"label(\d{4})\.nii(\.gz)?$")


def ct82_cohort(
    root: str | None,
    cache: str,
    classes: Classes | None = None,
    other_labels: str = "error",
    on_error: str = "stop",
    regions: Classes | None = None,
) -> Cohort:
    """Match scans and labels by the number of the patient.

    Args:
        root: folder below which both lie; see ``LAYOUT``.
        cache: folder that keeps the labels flipped onto the grids of their scans; the originals stay unchanged.
        classes: see ``label_map``; the only name is pancreas.
        other_labels: see ``label_map``.
        on_error: how to treat a case with an unusable scan or label: "stop", or "skip" with a warning.
        regions: regions in place of classes; see ``label_map``.
    """
    if root is None:
        raise UserError(f"data.root is not set: data=ct82 needs the folder of NIH Pancreas-CT, which holds{LAYOUT}")
    folder = existing_folder(root)
    scans, labels = (_numbered(folder, *kind) for kind in (("PANCREAS_*", _SCAN), ("label*", _LABEL)))
    if not scans:
        raise UserError(f"data.root={root}: no scan of NIH Pancreas-CT was found. It must hold{LAYOUT}")
    if unused := sorted(labels.keys() - scans.keys()):
        _logger.info("%s: labels without a scan are left out: %s", root, ", ".join(unused))
    mapping = label_map(classes, _VALUES, other_labels, root, regions)
    place = Path(cache).expanduser() / "ct82"
    cases = _usable(sorted(scans), lambda number: _case(number, scans[number], labels.get(number, ()), place), on_error)
    annotated = tuple(replace(case, annotated=mapping.annotated) for case in cases)
    description = f"{len(cases)} CT scans of NIH Pancreas-CT from {root}"
    return mapped_cohort(mapping, "ct82", annotated, ["ct"], description, folder)


def _numbered(root: Path, pattern: str, name: re.Pattern[str]) -> FilesOfCase:
    """Return the files and folders near ``root`` with such a name, by the number in it."""
    found: dict[str, tuple[Path, ...]] = {}
    for path in sorted(path for depth in _DEPTHS for path in root.glob(depth + pattern)):
        if match := name.match(path.name):
            found[match[1]] = (*found.get(match[1], ()), path)
    return found


def _case(number: str, scans: Sequence[Path], labels: Sequence[Path], place: Path) -> Case:
    """Return the case of one patient, with its label on the scan's grid; the scan must name the same patient."""
    name = f"PANCREAS_{number}"
    if not labels:
        raise UserError(
            f"{scans[0]}: case {name} has no label{number}.nii.gz. Unpack the labels beside the scans:{LAYOUT}"
        )
    for paths in (scans, labels):
        if len(paths) > 1:
            raise UserError(f"patient {number} has two scans, {paths[0]} and {paths[1]}; keep one.")
    scan, label = scans[0], labels[0]
    first = next((file for file in files_below(scan) if is_dicom(file)), None) if scan.is_dir() else None
    if first and (patient := read_dicom_file(first).patient.upper()) not in ("", name):
        raise UserError(f"{first}: its PatientID is {patient}, its folder is {name}; file it under its own patient.")
    return placed_label(Case(name, (scan,), label), place)


def _usable(numbers: Sequence[str], case: Callable[[str], Case], on_error: str) -> tuple[Case, ...]:
    """Build the case of each patient, with progress; if ``on_error`` is "skip", log and leave out unusable ones."""
    with ThreadPoolExecutor(_THREADS) as threads:
        placed = threads.map(lambda number: attempt(case, number, on_error), numbers)
        attempts = shown(placed, "Placing labels", len(numbers))
        usable = tuple(found for found in attempts if found)
    if not usable:
        raise UserError(f"None of the {len(numbers)} cases can be used, for the reasons above. Mend them one by one.")
    return usable
