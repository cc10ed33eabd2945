"""Tables as LaTeX, for a paper: ``booktabs`` rules, notes below."""

from aunet.reporting.tables import PaperTable

_ESCAPES = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    **{character: f"\\{character}" for character in "&%$#_"},
    "±": r"$\pm$",
    "×": r"$\times$",
    "∞": r"$\infty$",
    "<": "$<$",
    ">": "$>$",
    "–": "--",
    "—": "---",
    "…": r"\ldots{}",
}


def as_latex(table: PaperTable) -> str:
    """Return ``table`` as a LaTeX table that needs the package booktabs."""
    numbers = len(table.columns) - table.name_columns
    lines = [
        r"\begin{table}",
        rf"\caption{{{escape(table.title)}}}",
        r"\centering\small",
        rf"\begin{{tabular}}{{{'l' * table.name_columns}{'r' * numbers}}}",
        r"\toprule",
        _row(table.columns),
    ]
    for rows in table.groups:
        lines += [r"\midrule", *map(_row, rows)]
    lines += [r"\bottomrule", r"\end{tabular}"]
    lines += [rf"\par\smallskip\footnotesize {escape(note)}" for note in table.notes]
    return "\n".join([*lines, r"\end{table}"]) + "\n"


def escape(text: str) -> str:
    """Return ``text`` with LaTeX's special characters escaped."""
    return "".join(_ESCAPES.get(character, character) for character in text)


def _row(cells: tuple[str, ...]) -> str:
    return " & ".join(_cell(cell) for cell in cells) + r" \\"


def _cell(text: str) -> str:
    """Escape a cell; a signed number is set in math, so that its minus is as long as its plus."""
    number = text[1:].replace(".", "", 1)
    return f"${text}$" if text[:1] in ("+", "-") and number.isdigit() else escape(text)
