"""The model card beside exported files."""

import re
from collections.abc import Sequence

from aunet.export.parity import SMALLEST_SHARE, Parity

# A path of this machine's, of which the last part alone is kept: the rest may name a user or a patient.
_PATH = re.compile(r"(?<![\w.:/])(?:~|[A-Za-z]:)?(?:[/\\][\w.@+-]+)+[/\\]([\w.@+-]+)")


def describe_model(
    title: str, topics: Sequence[tuple[str, str]], usage: str, parity: Parity, left_out: Sequence[str]
) -> str:
    """Return the card in Markdown: ``topics`` with their answers, the use, and the agreement with aunet."""
    rows = [f"| {name} | {without_paths(answer).replace('|', '/')} |" for name, answer in topics]
    check = [parity.sentence()]
    if not parity.is_equal:
        check.append(f"That is below {SMALLEST_SHARE}: do not take these files for the same model.")
    if left_out:
        check.append(f"Settings of the run that these files do not apply: {', '.join(map(without_paths, left_out))}.")
    parts = [f"# {title}", "\n".join(["| | |", "|---|---|", *rows]), "## Use", usage, "## Check", "\n\n".join(check)]
    return "\n\n".join(parts) + "\n"


def without_paths(text: str) -> str:
    """Return ``text`` with the last part of each absolute path alone.

    Examples:
        >>> without_paths("12 scans of /home/me/Task04_Hippocampus, 3 and/or 4")
        '12 scans of Task04_Hippocampus, 3 and/or 4'
    """
    return _PATH.sub(r"\1", text)
