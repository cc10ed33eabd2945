"""The viewer's part of a report: its cases within a budget of bytes, colours and marks."""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import matplotlib
import numpy as np

from aunet.reporting.html import render_page
from aunet.reporting.pictures.prediction import DIFFERENCES
from aunet.reporting.viewer.payload import Payload, encode_case
from aunet.reporting.viewer.shown_case import ShownCase, read_shown_cases
from aunet.reporting.viewer.stored_scan import MOST_VOXELS
from aunet.runs.run_folder import RunFolder

# A page of 20 MB opens on a laptop in a second and passes most mail servers.
MOST_BYTES_OF_PAGE = 20_000_000
_FEWEST_VOXELS = 20_000
_CODE_BYTES = 500_000  # more than viewer.html, the scripts and the descriptions of the cases


@dataclass(frozen=True)
class ViewerSection:
    """The section that ``templates/viewer.html`` lays out; ``settings`` is all that viewer.js reads but the blobs."""

    settings: Mapping[str, object]
    blobs: dict[str, str]


def render_with_viewer(template: str, parts: Mapping[str, object], runs: Mapping[str, RunFolder]) -> str:
    """Return the page of ``parts`` with the viewer of the cases of ``runs`` (by name) in the bytes that they leave."""
    others = len(render_page(template, **parts, viewer=None).encode())
    section = viewer_section(runs, MOST_BYTES_OF_PAGE - others - _CODE_BYTES)
    return render_page(template, **parts, viewer=section)


def viewer_section(runs: Mapping[str, RunFolder], most_bytes: int) -> ViewerSection | None:
    """Return the viewer in at most ``most_bytes`` of the page; None if no run stored a scan, as older ones.

    The runs, by name, have the same classes; titles begin with the name if there are several.
    """
    cases = [
        replace(case, title=f"{name}: {case.title}") if len(runs) > 1 else case
        for name, run in runs.items()
        for case in read_shown_cases(run)
    ]
    payloads = fit_cases(cases, most_bytes)
    if not payloads:
        return None
    labels = next(iter(runs.values())).labels
    settings = {
        "cases": [payload.description for payload in payloads],
        "classes": [{"name": name, "color": _rgb(labels.color(index))} for index, name in labels.foreground],
        "differences": [{"name": name, "color": _rgb(color)} for name, color in DIFFERENCES.items()],
        "colors": _inferno(),
        "omitted": len(cases) - len(payloads),
    }
    return ViewerSection(settings, {key: blob for payload in payloads for key, blob in payload.blobs.items()})


def fit_cases(cases: Sequence[ShownCase], most_bytes: int) -> list[Payload]:
    """Return as many cases as fit, all coarsened alike until they do; the last ones are left out if they cannot."""
    voxels, kept = MOST_VOXELS, list(cases)
    while kept:
        payloads = [encode_case(case, f"case-{number}", voxels) for number, case in enumerate(kept)]
        if sum(payload.size for payload in payloads) <= most_bytes:
            return payloads
        voxels, kept = (voxels // 2, kept) if voxels > _FEWEST_VOXELS else (MOST_VOXELS, kept[:-1])
    return []


def _rgb(color: tuple[float, float, float]) -> list[int]:
    return [round(255 * part) for part in color]


def _inferno() -> str:
    """Return the 256 colours of the pictures of coefficients, three bytes each, in base64."""
    colors = matplotlib.colormaps["inferno"](np.arange(256), bytes=True)[:, :3]
    return base64.b64encode(np.ascontiguousarray(colors).tobytes()).decode()
