"""Acts that damage the files of a dataset: each takes the root of a sound one."""

import gzip
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
from numpy.typing import NDArray
from scans import write_nifti

Act = Callable[[Path], object]


def holds(name: str, content: bytes) -> Act:
    """Write ``content`` into the file."""
    return lambda root: (root / name).write_bytes(content)


def cut(name: str, share: float) -> Act:
    """Truncate the file."""
    return lambda root: (root / name).write_bytes((content := (root / name).read_bytes())[: int(share * len(content))])


def gone(name: str) -> Act:
    """Delete the file."""
    return lambda root: (root / name).unlink()


def goes_on(name: str, more: bytes) -> Act:
    """Append bytes to the file."""
    return lambda root: (root / name).write_bytes((root / name).read_bytes() + more)


def byte_flipped(name: str, at: int) -> Act:
    """Flip a bit of the byte ``at``."""

    def act(root: Path) -> None:
        content = bytearray((root / name).read_bytes())
        content[at] ^= 1
        (root / name).write_bytes(content)

    return act


def unpacked(name: str, new_name: str, share: float = 1.0) -> Act:
    """Unpack a .nii.gz and keep a share of it."""

    def act(root: Path) -> None:
        content = gzip.decompress((root / name).read_bytes())
        (root / name).unlink()
        (root / new_name).write_bytes(content[: int(share * len(content))])

    return act


def header(name: str, **fields: Any) -> Act:
    """Fields of a NIfTI header say this; one with a number says it at that place: ``pixdim__1``."""

    def act(root: Path) -> None:
        content = gzip.decompress((root / name).read_bytes())
        found: Any = nibabel.Nifti1Header(content[:348], check=False)
        for field, value in fields.items():
            name_of_field, _, index = field.partition("__")
            if index:
                found[name_of_field][int(index)] = value
            else:
                found[name_of_field] = value
        (root / name).write_bytes(gzip.compress(found.binaryblock + content[348:]))

    return act


def voxels(name: str, change: Callable[[NDArray[Any]], NDArray[Any]]) -> Act:
    """Change the array of a NIfTI file."""

    def act(root: Path) -> None:
        image: Any = nibabel.load(root / name)
        write_nifti(root / name, change(np.asarray(image.dataobj)), image.affine)

    return act


def with_value(value: float, dtype: type[np.generic]) -> Callable[[NDArray[Any]], NDArray[Any]]:
    """One voxel holds ``value``."""

    def change(array: NDArray[Any]) -> NDArray[Any]:
        changed = array.astype(dtype)
        changed[1, 2, 3] = value
        return changed

    return change


def moved(name: str, change: Callable[[NDArray[np.float64]], NDArray[np.float64]]) -> Act:
    """Change the affine of a NIfTI file."""

    def act(root: Path) -> None:
        image: Any = nibabel.load(root / name)
        write_nifti(root / name, np.asarray(image.dataobj), change(image.affine))

    return act


def link(name: str, target: str) -> Act:
    """Replace the file by a link."""

    def act(root: Path) -> None:
        (root / name).unlink()
        (root / name).symlink_to(target)

    return act


def elsewhere(name: str) -> Act:
    """Move the file out of the dataset and leave a link in its place."""

    def act(root: Path) -> None:
        (root / name).rename(root.parent / "elsewhere.nii.gz")
        (root / name).symlink_to(root.parent / "elsewhere.nii.gz")

    return act


def folder_in_place(name: str) -> Act:
    """Replace the file by a folder."""

    def act(root: Path) -> None:
        (root / name).unlink()
        (root / name).mkdir()

    return act


def pipe(name: str) -> Act:
    """Replace the file by a named pipe, which blocks whoever opens it."""

    def act(root: Path) -> None:
        (root / name).unlink()
        os.mkfifo(root / name)

    return act


def also(*acts: Act) -> Act:
    """One after the other."""
    return lambda root: [act(root) for act in acts]


def copied(name: str, new_name: str) -> Act:
    """Copy the file under another name."""
    return lambda root: shutil.copy(root / name, root / new_name)


def described(**changes: Any) -> Act:
    """dataset.json says this."""

    def act(root: Path) -> None:
        file = root / "dataset.json"
        content = json.loads(file.read_text()) | changes
        file.write_text(json.dumps({key: value for key, value in content.items() if value is not None}))

    return act


def first_entry(**changes: Any) -> Act:
    """Change the first case that dataset.json lists."""

    def act(root: Path) -> None:
        entries = json.loads((root / "dataset.json").read_text())["training"]
        entry = entries[0] | changes
        entries[0] = {key: value for key, value in entry.items() if value is not None}
        described(training=entries)(root)

    return act


def listed_twice(root: Path) -> None:
    entries = json.loads((root / "dataset.json").read_text())["training"]
    described(training=[*entries, entries[0]])(root)


def emptied(name: str) -> Act:
    """Empty the folder; "" is the root."""

    def act(root: Path) -> None:
        shutil.rmtree(root / name)
        (root / name).mkdir()

    return act


def table(change: Callable[[str], str]) -> Act:
    """Change the text of cases.csv."""
    return lambda root: (root / "cases.csv").write_text(
        change((root / "cases.csv").read_text(encoding="utf-8")), encoding="utf-8"
    )


def splits(**parts: list[str]) -> Act:
    """Write a file of splits beside the data."""
    return lambda root: (root / "splits.json").write_text(json.dumps(parts))


def renamed_everywhere(root: Path) -> None:
    """Rename files as people write names."""
    for kind in ("images", "labels"):
        for file in sorted((root / kind).iterdir()):
            file.rename(file.with_name(file.name.replace("case_0", "Müller, Zoë (2) 腹部 'a' #1 [x]")))


def turned(affine: NDArray[np.float64]) -> NDArray[np.float64]:
    rotation = np.eye(4)
    rotation[:2, :2] = [[np.cos(0.2), -np.sin(0.2)], [np.sin(0.2), np.cos(0.2)]]
    return rotation @ affine


def shifted(affine: NDArray[np.float64]) -> NDArray[np.float64]:
    return affine + np.array([[0, 0, 0, 5.0], *[[0] * 4] * 3])


def stored_in(dtype: Any) -> Callable[[NDArray[Any]], NDArray[Any]]:
    return lambda array: np.zeros(array.shape, dtype)
