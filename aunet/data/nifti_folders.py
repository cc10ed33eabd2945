"""Pairs of images and label maps found in a folder, whichever of the usual layouts it has."""

from pathlib import Path

from aunet.data.case import Case
from aunet.data.volume import NIFTI_SUFFIXES, stem
from aunet.errors import UserError

LAYOUTS = """
  ROOT/images/NAME.nii.gz    and ROOT/labels/NAME.nii.gz
  ROOT/imagesTr/NAME.nii.gz  and ROOT/labelsTr/NAME.nii.gz
  ROOT/NAME/image.nii.gz (or ct.nii.gz, mri.nii.gz) and ROOT/NAME/label.nii.gz
  ROOT/NAME_image.nii.gz (or NAME_ct.nii.gz) and ROOT/NAME_label.nii.gz
"""
_FOLDER_PAIRS = (("images", "labels"), ("imagesTr", "labelsTr"))
_IMAGE_NAMES = ("image", "ct", "mri")


def existing_folder(root: str, key: str = "data.root") -> Path:
    """Give ``root`` as a path; refuse what is not a folder."""
    folder = Path(root).expanduser()
    if not folder.is_dir():
        raise UserError(f"{key}={root}: there is no such folder. Give the folder that holds the images and labels.")
    return folder


def cases_in_folder(root: Path) -> tuple[Case, ...]:
    """Find every pair of image and label below ``root``, sorted by case id; an image without a label is refused."""
    for finder in (_cases_in_two_folders, _cases_in_case_folders, _cases_side_by_side):
        cases = finder(root)
        if cases:
            return tuple(sorted(cases, key=lambda case: case.case_id))
    raise UserError(f"data.root={root}: no images with labels were found. Accepted layouts (.nii.gz or .nii):{LAYOUTS}")


def is_nifti(path: Path) -> bool:
    """Whether the name says NIfTI; hidden files are none."""
    return path.name.endswith(NIFTI_SUFFIXES) and not path.name.startswith(".")


def _cases_in_two_folders(root: Path) -> list[Case]:
    for images, labels in _FOLDER_PAIRS:
        if (root / images).is_dir():
            files = [path for path in sorted((root / images).iterdir()) if is_nifti(path)]
            return [_case(stem(path), path, _nifti(root / labels, stem(path))) for path in files]
    return []


def _cases_in_case_folders(root: Path) -> list[Case]:
    cases: list[Case] = []
    for folder in sorted(path for path in root.iterdir() if path.is_dir()):
        image = next((found for name in _IMAGE_NAMES if (found := _nifti(folder, name))), None)
        if image:
            cases.append(_case(folder.name, image, _nifti(folder, "label")))
    return cases


def _cases_side_by_side(root: Path) -> list[Case]:
    cases: list[Case] = []
    for path in sorted(path for path in root.iterdir() if is_nifti(path)):
        name, _, kind = stem(path).rpartition("_")
        if name and kind in _IMAGE_NAMES:
            cases.append(_case(name, path, _nifti(root, f"{name}_label")))
    return cases


def _nifti(folder: Path, name: str) -> Path | None:
    return next((path for suffix in NIFTI_SUFFIXES if (path := folder / (name + suffix)).is_file()), None)


def _case(case_id: str, image: Path, label: Path | None) -> Case:
    if label is None:
        raise UserError(
            f"{image}: case {case_id} has no label map. Every image needs one of the same name; add it or move the"
            f" image away. Accepted layouts:{LAYOUTS}"
        )
    return Case(case_id, (image,), label)
