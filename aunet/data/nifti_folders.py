"""Images and label maps found by patterns in which ``*`` stands for the case: ``img/img*`` and ``label/label*``."""

import glob
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from aunet.data.case import Case
from aunet.data.dicom_files import is_folder_of_files
from aunet.data.usable_cases import usable_cases
from aunet.data.volume import NIFTI_SUFFIXES
from aunet.errors import UserError

LAYOUTS = """
  ROOT/images/NAME.nii.gz    and ROOT/labels/NAME.nii.gz
  ROOT/imagesTr/NAME.nii.gz  and ROOT/labelsTr/NAME.nii.gz
  ROOT/NAME/image.nii.gz (or ct.nii.gz, mri.nii.gz) and ROOT/NAME/label.nii.gz
  ROOT/NAME_image.nii.gz (or NAME_ct.nii.gz) and ROOT/NAME_label.nii.gz
"""
_PATTERNS = (
    (("images/*",), "labels/*"),
    (("imagesTr/*",), "labelsTr/*"),
    (("*/image", "*/ct", "*/mri"), "*/label"),
    (("*_image", "*_ct", "*_mri"), "*_label"),
)


def existing_folder(root: str | None, key: str = "data.root") -> Path:
    """Give ``root`` as a path; refuse what is not given or not a folder."""
    if root is None:
        raise UserError(f"{key} is not set: it must name the folder of the dataset, {key}=/path/to/it.")
    folder = Path(root).expanduser()
    if not folder.is_dir():
        raise UserError(f"{key}={root}: there is no such folder. Give the folder that holds the images and labels.")
    return folder


def is_nifti(path: Path) -> bool:
    """Whether the name says NIfTI; hidden files are none."""
    return path.name.endswith(NIFTI_SUFFIXES) and not path.name.startswith(".")


def cases_in_folder(root: Path, on_error: str = "stop") -> tuple[Case, ...]:
    """Find every pair of image and label below ``root``, sorted by case id; an image without a label is refused."""
    for images, labels in _PATTERNS:
        found = [files_by_case(root, pattern) for pattern in images]
        image_of_case = {case_id: path for files in reversed(found) for case_id, path in files.items()}
        if image_of_case:
            remedy = f"Accepted layouts:{LAYOUTS}"
            return paired_cases([image_of_case], files_by_case(root, labels), remedy, on_error)
    raise UserError(f"data.root={root}: no images with labels were found. Accepted layouts (.nii.gz or .nii):{LAYOUTS}")


def files_by_case(root: Path, pattern: str, suffixes: Sequence[str] = NIFTI_SUFFIXES) -> dict[str, Path]:
    """case id -> file below ``root``, with one of ``suffixes``, that fits ``pattern``.

    Every star stands for the case id, and all for the same; a pattern without one is a folder, ``images`` the same as
    ``images/*``. The suffix may be left out. The user's own pattern may be absolute.
    """
    stem = next((pattern.removesuffix(suffix) for suffix in suffixes if pattern.endswith(suffix)), pattern)
    parts = (stem if "*" in stem else f"{stem}/*").split("*")
    fixed, _, first = parts[0].rpartition("/")
    folder = root / (fixed or ("/" if parts[0].startswith("/") else ""))
    literals = [first, *parts[1:]]
    expression = re.escape(literals[0]) + "(?P<case>[^/]+?)" + "(?P=case)".join(map(re.escape, literals[1:]))
    found: dict[str, Path] = {}
    for suffix in suffixes if "**" not in stem and folder.is_dir() else ():
        for path in sorted(folder.glob("*".join(map(glob.escape, literals)) + suffix)):
            match = re.fullmatch(expression + re.escape(suffix), path.relative_to(folder).as_posix())
            if match and not path.name.startswith("."):
                _keep(match["case"], path, found)
    return found


def paired_cases(
    images: Sequence[Mapping[str, Path]],
    labels: Mapping[str, Path],
    remedy: str,
    on_error: str,
    annotated: frozenset[int] | None = None,
) -> tuple[Case, ...]:
    """A case of each id that has an image in any of the channels ``images``; one without all channels, or a label, is
    refused."""

    def case(case_id: str) -> Case:
        some = next(channel[case_id] for channel in images if case_id in channel)
        if missing := [number for number, channel in enumerate(images) if case_id not in channel]:
            raise UserError(f"{some}: case {case_id} lacks channel {missing[0]} of {len(images)}. {remedy}")
        if case_id not in labels:
            raise UserError(
                f"{some}: case {case_id} has no label map. Every image needs one of the same case; add it or move the"
                f" image away. {remedy}"
            )
        files = (*(channel[case_id] for channel in images), labels[case_id])
        for path in files:
            check_is_there(path, case_id)
        return Case(case_id, files[:-1], files[-1], annotated=annotated)

    return usable_cases(sorted({case_id for channel in images for case_id in channel}), case, on_error)


def check_is_there(path: Path, case_id: str) -> None:
    """Refuse a link that leads nowhere or to itself, and what is neither a file nor a folder of DICOM."""
    if not (path.is_file() or is_folder_of_files(path)):
        what = "a link that leads to no file" if path.is_symlink() else "no file"
        raise UserError(f"{path}: case {case_id}: {what}. Put the file in its place, or take the case out.")


def _keep(case_id: str, path: Path, found: dict[str, Path]) -> None:
    if case_id in found:
        raise UserError(f"{found[case_id]} and {path.name} are both of case {case_id}; keep one of them.")
    found[case_id] = path
