import re

from aunet.reporting.latex import as_latex, escape
from aunet.reporting.tables import PaperTable

TABLE = PaperTable(
    title="ct150: 30 % & more",
    columns=("Metric", "Class", "unet_6m"),
    groups=((("Dice", "pancreas", "0.840 ± 0.087"), ("", "spleen", "-0.003")), (("Patch", "", "8×8"),)),
    notes=("p < 0.05 – a note.",),
)


def test_a_table_has_a_line_per_row_and_a_rule_per_group() -> None:
    text = as_latex(TABLE)

    assert r"Dice & pancreas & 0.840 $\pm$ 0.087 \\" in text
    assert r" & spleen & $-0.003$ \\" in text
    assert text.count(r"\midrule") == 2
    assert r"\begin{tabular}{llr}" in text
    assert r"\caption{ct150: 30 \% \& more}" in text


def test_braces_and_environments_are_balanced() -> None:
    text = re.sub(r"\\[{}]", "", as_latex(TABLE))

    assert text.count("{") == text.count("}")
    assert sorted(re.findall(r"begin{(\w+)}", text)) == sorted(re.findall(r"end{(\w+)}", text))


def test_special_characters_are_escaped_and_nothing_outside_ascii_remains_in_numbers() -> None:
    assert escape("a_b % $ # & {} ~ ^ \\") == (
        r"a\_b \% \$ \# \& \{\} \textasciitilde{} \textasciicircum{} \textbackslash{}"
    )
    assert escape("1 ± 2 × 3 – 4 < 5 ∞").isascii()
