"""The tables of a probe, for the terminal and the report: changes, similarity of maps, localisation."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from aunet.attention.localisation import CHANCES, MEASURES
from aunet.attention.map_similarity import LARGEST_CORRELATION, LARGEST_SSIM, Similarity
from aunet.evaluation.paired_statistics import patient_means
from aunet.evaluation.probe_changes import LOWEST_DICE, Verdict
from aunet.evaluation.probe_maps import NUM_DRAWS
from aunet.metrics.registry import METRIC_OF
from aunet.reporting.tables import PaperTable, TableRow

_DASH = "–"
INTERVAL_NOTE = (
    "Mean over the patients of the paired change against the unchanged network, with its 95 % interval (6 patients or"
    " more). The intervals are not corrected for their number."
)
SIMILARITY_NOTE = (
    "Rank correlation: absolute value, as an inverted map shows the same structure; mean over the cases, and over"
    f" {NUM_DRAWS} draws of the weights. Maps differ if it is at most {LARGEST_CORRELATION:g}, so that they share at"
    " most a quarter of the variance of their ranks, and if the structural similarity is at most"
    f" {LARGEST_SSIM:g}, the middle between unrelated (0) and equal maps (1). A map that stays alike shows the image,"
    " not what was learned."
)
LOCALISATION_NOTE = (
    "AUC: area under the ROC curve, inside the organ against outside all organs; by chance 0.5. Pointing: share of the"
    " cases whose largest value lies on the organ. Energy: share of the map's sum inside it. In brackets the value by"
    " chance. Means over patients."
)


def change_table(changes: pd.DataFrame, metric: str, targets: Sequence[str], title: str) -> PaperTable:
    """Return the changes of ``metric``, a row per target and intervention, a column per class."""
    rows = changes.loc[(changes["metric"] == metric) & changes["target"].isin(targets)]
    classes = list(dict.fromkeys(rows["class"]))
    groups: list[tuple[tuple[str, ...], ...]] = []
    for target, of_target in rows.groupby("target", sort=False):
        lines: list[tuple[str, ...]] = []
        for intervention, of_kind in of_target.groupby("intervention", sort=False):
            cells = of_kind.set_index("class").to_dict("index")
            changed = (_change(cells[name], metric) for name in classes)
            lines.append((str(target) if not lines else "", str(intervention), *changed))
        groups.append(tuple(lines))
    before = rows.drop_duplicates("class").set_index("class")["unchanged"]
    unchanged = [f"{name} ({before[name]:.{METRIC_OF[metric].digits}f})" for name in classes]
    return PaperTable(
        f"{METRIC_OF[metric].heading}: {title}", ("Gates", "Intervention", *unchanged), tuple(groups), (INTERVAL_NOTE,)
    )


def verdict_table(verdicts: Sequence[Verdict], margin: float) -> PaperTable:
    """Return what each level's maps are worth."""
    rows = tuple((verdict.target, verdict.judgement, verdict.reason) for verdict in verdicts)
    note = (
        f"Decoration: each map can be replaced by its own mean, and the 95 % interval of every organ's change of Dice"
        f" lies within ±{margin:g}. Needed: an organ loses Dice, by an interval that excludes 0 and reaches beyond the"
        f" margin. An organ whose Dice without intervention is below {LOWEST_DICE:g} cannot lose any and is not judged."
    )
    return PaperTable(
        "Does the place matter that a gate looks at?", ("Gates", "Verdict", "Reason"), (rows,), (note,), 3
    )


def summarise_similarity(rows: Iterable[Mapping[str, object]]) -> pd.DataFrame:
    """Return the means over cases and draws of ``probe_maps.compare_maps``, and whether the maps differ or None."""
    means: list[dict[str, object]] = []
    keys = ["changed", "level", "gate"]
    groups: Any = pd.DataFrame(list(rows)).groupby(keys, sort=False)
    for (changed, level, gate), cases in groups:
        found = Similarity(float(cases["rank_correlation"].abs().mean()), float(cases["ssim"].mean()))
        names = {"changed": changed, "level": level, "gate": gate, "cases": int(cases["case_id"].nunique())}
        means.append({**names, **vars(found), "is_different": found.is_different})
    return pd.DataFrame(means)


def similarity_table(summary: pd.DataFrame) -> PaperTable:
    """Return the table of ``summarise_similarity``."""
    words = {True: "yes", False: "NO", None: "undefined"}
    rows = tuple(
        (
            str(row["changed"]),
            f"level {row['level']} gate {row['gate']}",
            _number(row["rank_correlation"]),
            _number(row["ssim"]),
            words[row["is_different"]],
        )
        for row in summary.astype(object).to_dict("records")
    )
    columns = ("Changed", "Map", "Rank correlation (absolute)", "SSIM", "Differs")
    return PaperTable("Do the maps depend on what was learned?", columns, (rows,), (SIMILARITY_NOTE,))


def summarise_localisation(rows: Iterable[Mapping[str, object]]) -> pd.DataFrame:
    """Return the means over patients of ``probe_maps.localise_coefficients`` and ``localise_grad_cam``."""
    means: list[dict[str, object]] = []
    keys = ["model", "map", "layer", "gate", "class"]
    groups: Any = pd.DataFrame(list(rows)).groupby(keys, sort=False, dropna=False)
    for names, cases in groups:
        columns = (*MEASURES, *CHANCES.values())
        values = {name: _mean(patient_means(cases[name], list(cases["patient"]))) for name in columns}
        means.append({**dict(zip(keys, names, strict=True)), **values, "cases": int(cases["auc"].count())})
    return pd.DataFrame(means)


def localisation_table(summary: pd.DataFrame) -> PaperTable:
    """Return the table of ``summarise_localisation``, a group per class."""
    groups: list[tuple[tuple[str, ...], ...]] = []
    for of_class, rows in summary.groupby("class", sort=False):
        lines: list[tuple[str, ...]] = []
        for row in rows.to_dict("records"):
            gate = "" if pd.isna(row["gate"]) else f" gate {row['gate']:.0f}"
            place = (str(of_class) if not lines else "", str(row["model"]), str(row["map"]), f"{row['layer']}{gate}")
            chances = (f"{_number(row[name], 3)} ({_number(row[chance], 3)})" for name, chance in CHANCES.items())
            lines.append((*place, _number(row["auc"]), *chances, str(row["cases"])))
        groups.append(tuple(lines))
    columns = ("Class", "Model", "Map", "Layer", "AUC", "Pointing", "Energy", "Cases")
    return PaperTable("Where do the maps look?", columns, tuple(groups), (LOCALISATION_NOTE,), 4)


def _change(row: TableRow, metric: str) -> str:
    if not row["patients"]:
        return _DASH
    digits = METRIC_OF[metric].digits
    interval = "" if math.isnan(row["low"]) else f" ({row['low']:+.{digits}f} to {row['high']:+.{digits}f})"
    undefined = f" [{row['undefined']} undefined]" if row["undefined"] else ""
    return f"{row['mean']:+.{digits}f}{interval}{undefined}"


def _number(value: float, digits: int = 2) -> str:
    return _DASH if math.isnan(value) else f"{value:.{digits}f}"


def _mean(values: NDArray[np.float64]) -> float:
    return float(np.mean(values)) if len(values) else math.nan
