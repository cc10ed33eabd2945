"""NIH Pancreas-CT ("CT-82") as TCIA distributes it: a folder of DICOM a patient, and NIfTI labels of the pancreas.

The labels' affines do not agree with the scans: how their axes run is read off the voxels instead. Newer releases lack
patients 25 and 70. Source: Roth et al. 2016, doi.org/10.7937/K9/TCIA.2016.tNB1kqBU.
"""

import logging
import re
from collections.abc import Mapping
from pathlib import Path

from aunet.data.case import Case, Cohort
from aunet.data.ct82_labels import placed_labels
from aunet.data.dicom_files import files_below, is_dicom
from aunet.data.dicom_slices import read_dicom_file
from aunet.data.nifti_folders import existing_folder
from aunet.errors import UserError
from aunet.labels import Labels

_logger = logging.getLogger(__name__)

LAYOUT = """
  ROOT/Pancreas-CT/PANCREAS_0001/<study>/<series>/*.dcm (or PANCREAS_0001.nii.gz)
  ROOT/TCIA_pancreas_labels-02-05-2017/label0001.nii.gz
"""
_DEPTHS = ("", "*/", "*/*/")  # the archives unpack into a folder or two of their own
_SCAN = re.compile(r"PANCREAS_(\d{4})(\.nii(\.gz)?)?$")
_LABEL = re.compile(r"label(\d{4})\.nii(\.gz)?$")


def ct82_cohort(root: str | None, cache: str, on_error: str = "stop") -> Cohort:
    """Match scans and labels by the number of the patient.

    Args:
        root: folder below which both lie; see ``LAYOUT``.
        cache: folder that keeps the labels turned onto the grids of their scans; the originals are left as they are.
        on_error: "stop" or "skip": what a case is whose scan or label cannot be used.
    """
    if root is None:
        raise UserError(f"data.root is not set: data=ct82 needs the folder of NIH Pancreas-CT, which holds{LAYOUT}")
    folder = existing_folder(root)
    scans, labels = (_numbered(folder, *kind) for kind in (("PANCREAS_*", _SCAN), ("label*", _LABEL)))
    _check_labelled(scans, labels, folder)
    found = [_case(number, scans[number], labels[number]) for number in sorted(scans)]
    cases = placed_labels(found, Path(cache).expanduser() / "ct82", on_error)
    return Cohort(
        name="ct82",
        cases=cases,
        labels=Labels(("background", "pancreas")),
        class_of_value={0: 0, 1: 1},
        modality="ct",
        description=f"{len(cases)} CT scans of NIH Pancreas-CT from {root}",
    )


def _numbered(root: Path, pattern: str, name: re.Pattern[str]) -> dict[str, Path]:
    """What lies near ``root`` under such a name, by the number in it; one number twice is refused."""
    found: dict[str, Path] = {}
    for path in sorted(path for depth in _DEPTHS for path in root.glob(depth + pattern)):
        if match := name.match(path.name):
            first = found.setdefault(match[1], path)
            if first != path:
                raise UserError(
                    f"data.root={root}: patient {match[1]} is there twice, as {first} and {path}; keep one."
                )
    return found


def _check_labelled(scans: Mapping[str, Path], labels: Mapping[str, Path], root: Path) -> None:
    if not scans:
        raise UserError(f"data.root={root}: no scan of NIH Pancreas-CT was found. It must hold{LAYOUT}")
    missing = sorted(scans.keys() - labels.keys())
    if missing:
        raise UserError(
            f"data.root={root}: {len(missing)} scans have no label, the first is label{missing[0]}.nii.gz. Unpack the"
            f" archive of labels beside the scans:{LAYOUT}"
        )
    unused = sorted(labels.keys() - scans.keys())
    if unused:
        _logger.info("%s: labels without a scan are left out: %s", root, ", ".join(unused))


def _case(number: str, scan: Path, label: Path) -> Case:
    """A case whose scan says that it is of the patient it is filed under."""
    name = f"PANCREAS_{number}"
    first = next((file for file in files_below(scan) if is_dicom(file)), None) if scan.is_dir() else None
    if first and (patient := read_dicom_file(first).patient.upper()) not in ("", name):
        raise UserError(f"{first}: its PatientID is {patient}, its folder is {name}; file it under its own patient.")
    return Case(name, (scan,), label)
