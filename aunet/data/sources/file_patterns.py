"""Images and label maps found by patterns in which ``*`` is the case: ``img/img*`` and ``label/label*``."""

import glob
import logging
import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from aunet.data.cohort.case import Case
from aunet.data.cohort.faulty_cases import usable_cases
from aunet.data.io.dicom_files import holds_dicom, is_folder_of_files
from aunet.data.io.formats import SUFFIXES
from aunet.data.io.pictures import is_picture
from aunet.data.sources.listed_paths import listed_path, nearby_root, plain_name, without_slicer_ending
from aunet.errors import UserError
from aunet.messages import shortened

_logger = logging.getLogger(__name__)

LAYOUTS = """
  ROOT/images/NAME.nii.gz    and ROOT/labels/NAME.nii.gz
  ROOT/imagesTr/NAME.nii.gz  and ROOT/labelsTr/NAME.nii.gz
  ROOT/NAME/image.nii.gz (or ct.nii.gz, mri.nii.gz) and ROOT/NAME/label.nii.gz
  ROOT/NAME_image.nii.gz (or NAME_ct.nii.gz) and ROOT/NAME_label.nii.gz
in any format: .nii.gz, .nii, .hdr, .nrrd, .nhdr, .mha, .mhd, .dcm, or a folder of DICOM in place of a file
"""
_PATTERNS = (
    (("images/*",), "labels/*"),
    (("imagesTr/*",), "labelsTr/*"),
    (("*/image", "*/ct", "*/mri"), "*/label"),
    (("*_image", "*_ct", "*_mri"), "*_label"),
)
_MOST_NAMED = 5
_VOXELS_OF_PAIR = re.compile(r"\.img(\.gz)?$")  # the pair is found by its header
_FORMS = ("NFC", "NFD")
_SERIES = re.compile(r"#([0-9.]+)$")  # behind a folder of DICOM, as in ``FOLDER#3``

# Case id -> its files of one kind, of which there should be one.
FilesOfCase = Mapping[str, tuple[Path, ...]]


@dataclass(frozen=True)
class FileKind:
    """A kind of files: their name in messages, how their names end, and whether a folder of DICOM may be one."""

    name: str
    suffixes: Sequence[str]
    has_folders: bool = False


SCANS = FileKind("NIfTI file (.nii.gz or .nii), NRRD, MetaImage, DICOM or picture", SUFFIXES, has_folders=True)


def existing_folder(root: str | None, key: str = "data.root") -> Path:
    """Return ``root`` as a path; raise UserError if it is not given or not a folder."""
    if root is None:
        raise UserError(f"{key} is not set: it must name the folder of the dataset, {key}=/path/to/it.")
    folder = Path(root).expanduser()
    if not folder.is_dir():
        raise UserError(f"{key}={root}: no such folder. Give the folder that holds the images and labels.")
    return folder


def cases_in_folder(root: Path, on_error: str = "stop") -> tuple[Case, ...]:
    """Find every pair of image and label below ``root``, sorted by case id; an image without a label is refused."""
    for images, labels in _PATTERNS:
        found = [files_by_case(root, pattern) for pattern in images]
        image_of_case = {case_id: path for files in reversed(found) for case_id, path in files.items()}
        if image_of_case:
            remedy = f"Accepted layouts:{LAYOUTS}"
            return paired_cases([image_of_case], files_by_case(root, labels), remedy, on_error)
    raise UserError(f"data.root={root}: no images with labels were found. Accepted layouts:{LAYOUTS}")


def cases_by_patterns(
    root: Path,
    images: str | Sequence[str],
    labels: str,
    on_error: str,
    annotated: frozenset[int] | None,
    kind: FileKind = SCANS,
) -> tuple[Case, ...]:
    """Pair the files of the user's patterns, ``data.source.images``, one per channel, and ``data.source.labels``."""
    patterns = [images] if isinstance(images, str) else list(images)
    channels = [_fitting(root, "images", pattern, kind) for pattern in patterns]
    remedy = f"Images are looked for as data.source.images={patterns}, labels as data.source.labels={labels}."
    return paired_cases(channels, _fitting(root, "labels", labels, kind), remedy, on_error, annotated)


def files_by_case(root: Path, pattern: str, kind: FileKind = SCANS) -> FilesOfCase:
    """Map case id to the files and folders of DICOM below ``root`` that fit ``pattern``; several are a mistake.

    All stars are the same case id, in composed form (NFC). A pattern without a star is a folder: ``images`` equals
    ``images/*``. The suffix may be left out. The user's own pattern may be absolute. Pictures beside a scan of the same
    case are previews and left out. ``images/*#3`` is the series 3 of each folder of DICOM, unless names end so.
    """
    pattern = _VOXELS_OF_PAIR.sub(r".hdr\1", pattern)
    ending = _suffix(pattern, kind)
    stem = pattern[: len(pattern) - len(ending)]
    parts = (stem if "*" in stem else f"{stem}/*").split("*")
    fixed, _, first = parts[0].rpartition("/")
    folder = listed_path(fixed or ("/" if parts[0].startswith("/") else ""), root, pattern)
    literals = [first, *parts[1:]]
    expression = re.escape(plain_name(literals[0])) + "(?P<case>[^/]+?)"
    expression += "(?P=case)".join(re.escape(plain_name(literal)) for literal in literals[1:])
    found: dict[str, tuple[Path, ...]] = {}
    for path in _candidates(folder, literals) if "**" not in stem and folder.is_dir() else ():
        suffix = _suffix(path.name, kind)
        if not suffix and not (kind.has_folders and path.is_dir() and holds_dicom(path)):
            continue
        name = path.relative_to(folder).as_posix()
        match = re.fullmatch(expression, plain_name(name[: len(name) - len(suffix)]))
        if match and not path.name.startswith("."):
            found[match["case"]] = (*found.get(match["case"], ()), path)
    if not found and kind.has_folders and (series := _SERIES.search(pattern)):
        scans = files_by_case(root, pattern[: series.start()], kind)
        return {case_id: tuple(_series(scan, series[0]) for scan in paths) for case_id, paths in scans.items()}
    return {case_id: _preferred(paths, ending) for case_id, paths in found.items()}


def _series(scan: Path, mark: str) -> Path:
    """Return the path of a series of a folder of DICOM; a file is a scan of its own."""
    return scan.with_name(scan.name + mark) if scan.is_dir() else scan


def _candidates(folder: Path, literals: Sequence[str]) -> list[Path]:
    """Return what may fit, whatever its suffix, also if accents are stored in the other form."""
    found: set[Path] = set()
    for form in _FORMS:
        wild = "*".join(glob.escape(unicodedata.normalize(form, literal)) for literal in literals)
        found.update(folder.glob(wild if wild.endswith("*") else f"{wild}*"))
    return sorted(found)


def _suffix(name: str, kind: FileKind) -> str:
    """Return the suffix of ``name`` as it is written, if it is one of the kind."""
    lower = name.lower()
    length = max((len(suffix) for suffix in kind.suffixes if lower.endswith(suffix)), default=0)
    return name[len(name) - length :]


def _preferred(paths: tuple[Path, ...], ending: str) -> tuple[Path, ...]:
    """Return the files with the suffix that the pattern ends in, if there are any, else scans before pictures."""
    asked = tuple(path for path in paths if ending and path.name.endswith(ending))
    scans = tuple(path for path in paths if not is_picture(path))
    return asked or scans or paths


def paired_cases(
    images: Sequence[FilesOfCase],
    labels: FilesOfCase,
    remedy: str,
    on_error: str,
    annotated: frozenset[int] | None = None,
) -> tuple[Case, ...]:
    """Build a case for each id that has an image in any of the channels ``images``.

    A case that lacks a channel or a label, or has several files of a kind, is refused. Labels without an image are
    logged.
    """
    case_ids = {case_id for channel in images for case_id in channel}
    labels = without_slicer_ending(labels, case_ids)

    def case(case_id: str) -> Case:
        some = next(channel[case_id][0] for channel in images if case_id in channel)
        if missing := [number for number, channel in enumerate(images) if case_id not in channel]:
            raise UserError(f"{some}: case {case_id} lacks channel {missing[0]} of {len(images)}. {remedy}")
        if case_id not in labels:
            raise UserError(
                f"{some}: case {case_id} has no label map. Every image needs one of the same case; add it or move the"
                f" image away. {remedy}"
            )
        files = tuple(the_file(channel[case_id], case_id) for channel in (*images, labels))
        return Case(case_id, files[:-1], files[-1], annotated=annotated)

    tell_unused(path for case_id, paths in labels.items() if case_id not in case_ids for path in paths)
    return usable_cases(sorted(case_ids), case, on_error)


def the_file(paths: Sequence[Path], case_id: str) -> Path:
    """Return the only file of its kind that a case has; raise UserError for several, and as ``check_is_there`` does."""
    if len(paths) > 1:
        raise UserError(f"{paths[0]} and {paths[1].name} are both of case {case_id}; keep one of them.")
    check_is_there(paths[0], case_id)
    return paths[0]


def tell_unused(labels: Iterable[Path]) -> None:
    """Log in one line which label maps belong to no image."""
    if unused := sorted(labels):
        named = shortened([path.name for path in unused], _MOST_NAMED)
        _logger.warning("%s: no image belongs to the label maps %s; they are left out.", unused[0].parent, named)


def check_is_there(path: Path, case_id: str, place: str = "") -> None:
    """Raise UserError for a link that leads nowhere or to itself, and for anything but a file or a folder of DICOM.

    ``place`` names where the path is listed.
    """
    try:
        if path.is_file() or is_folder_of_files(path):
            return
        what = "a link that leads to no file" if path.is_symlink() else "no file"
    except OSError as error:  # a name that is too long, a network share that is gone
        what = f"no file ({error.strerror})"
    listed = f"{place}: " if place else ""
    raise UserError(f"{listed}{path}: case {case_id}: {what}. Put the file in its place, or take the case out.")


def _fitting(root: Path, key: str, pattern: str, kind: FileKind) -> FilesOfCase:
    found = files_by_case(root, pattern, kind)
    if not found:
        near = nearby_root(root, lambda folder: bool(files_by_case(folder, pattern, kind)))
        raise UserError(
            f"data.source.{key}={pattern}: no {kind.name} in {root} fits. Name a folder below data.root, or a pattern"
            f" in which * is the case, such as img/img*.{near}"
        )
    return found
