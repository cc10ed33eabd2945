"""What the files of a case, and of a dataset, hold: digests of their content."""

import hashlib
from collections.abc import Iterable
from pathlib import Path

from aunet.data.case import Case
from aunet.data.dicom_files import files_of_scan, series_of_path
from aunet.errors import UserError


def case_digest(case: Case) -> str:
    """SHA-256 of the images and the label of a case; of a folder of DICOM, of every file in it."""
    digest = hashlib.sha256()
    for path in (*case.images, *([case.label] if case.label else [])):
        digest.update((series_of_path(path)[1] or "").encode())
        for file in files_of_scan(path):
            digest.update(_file_digest(file, case.case_id))
    return digest.hexdigest()


def dataset_fingerprint(cases: Iterable[Case]) -> str:
    """Sixteen hexadecimal digits that change when a case comes, goes or changes, whatever the order."""
    lines = sorted(f"{case.case_id} {case_digest(case)}" for case in cases)
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]


def _file_digest(path: Path, case_id: str) -> bytes:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").digest()
    except OSError as error:
        raise UserError(
            f"{path}: the file of case {case_id} cannot be read ({error.strerror}). Restore it or take the case out."
        ) from None
