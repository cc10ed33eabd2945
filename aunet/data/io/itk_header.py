"""Headers of NRRD and MetaImage files as text, checked before a library that may crash on them reads them."""

import re
from pathlib import Path

from aunet.errors import UserError

_HEADER_BYTES = 2**16
# NrrdIO, which SimpleITK contains, writes a line that it refuses to a buffer of 1024 characters, with more text.
_LONGEST_LINE = 500
_MOST_AXES = 10  # more end MetaIO, which SimpleITK contains, with a segmentation fault
# Lines of NRRD that may be long: comments, pairs of key and value, and the free text of ``content``.
_FREE_LINE = re.compile(rb"#|[^:]*:=|content:")
_NUM_AXES = re.compile(rb"^\s*NDims\s*[=:]?\s*(\S*)", re.MULTILINE)


def header_text(path: Path) -> bytes:
    """Return the part of a file that is text: up to an empty line, or up to the name of the file with the voxels."""
    with path.open("rb") as file:
        head = file.read(_HEADER_BYTES)
    head = head.replace(b"\r\n", b"\n").split(b"\n\n", 1)[0]
    match = re.search(rb"^ElementDataFile[^\n]*", head, re.MULTILINE)
    return head[: match.end()] if match else head


def check_header(path: Path) -> None:
    """Raise UserError for a header on which the libraries inside SimpleITK would end the process."""
    header = header_text(path)
    if header.startswith(b"NRRD"):
        for number, line in enumerate(header.split(b"\n"), start=1):
            if len(line) > _LONGEST_LINE and not _FREE_LINE.match(line):
                raise UserError(
                    f"{path}: line {number} of its header has {len(line)} characters, more than {_LONGEST_LINE};"
                    " it is damaged: copy it again."
                )
    for match in _NUM_AXES.finditer(header):
        if not match[1].isdigit() or not 1 <= int(match[1]) <= _MOST_AXES:
            raise UserError(
                f"{path}: NDims is {match[1].decode(errors='replace')[:40]!r}, not a number from 1 to {_MOST_AXES};"
                " it is damaged: copy it again."
            )
