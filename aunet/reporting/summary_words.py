"""The result of a run in a few sentences, for the top of its report."""

from math import isnan, nan
from statistics import fmean

import pandas as pd

from aunet.metrics.case_scores import count_cases, summarise, summary_as_mapping
from aunet.reporting.attention_curves import AREA, is_recorded
from aunet.reporting.score_section import case_means, mean_and_sd_of
from aunet.runs.epoch_rows import Columns, read_columns
from aunet.runs.run_folder import RunFolder


def summarise_in_words(run: RunFolder) -> list[str]:
    """Return sentences on test scores, best epoch and contrast of attention; parts that the run lacks are left out."""
    scores = run.case_scores
    found = [] if scores is None or scores.empty else _test_sentences(run, scores)
    return [*found, *_epoch_sentences(run), *_attention_sentences(run)]


def _test_sentences(run: RunFolder, scores: pd.DataFrame) -> list[str]:
    means = case_means(scores)
    classes = [
        f"{name} {mean_and_sd_of(entry['dice'], 'dice')}"
        for name, entry in summary_as_mapping(summarise(scores)).items()
    ]
    kind = "synthetic (phantom) test scans" if run.facts.get("is_phantom") else "test scans"
    words = [f"Dice on the {kind}, mean ± sd over {count_cases(scores)}: {', '.join(classes)}."]
    if len(means) > 1:
        ranked = list(means.items())
        (worst, low), (best, high) = ranked[0], ranked[-1]
        of_case = "Dice" if len(classes) == 1 else "The mean over the classes"
        words.append(f"{of_case} ranges from {low:.3f} ({worst}) to {high:.3f} ({best}).")
    return [*words, "These numbers are of one training: compare models over several seeds (aunet compare)."]


def _epoch_sentences(run: RunFolder) -> list[str]:
    metrics, best = read_columns(run.metrics), run.facts.get("best_epoch")
    if metrics is None or best is None or "val/dice" not in metrics:
        return []
    dice = dict(zip(metrics["epoch"].astype(int).tolist(), metrics["val/dice"].tolist(), strict=True)).get(best, nan)
    last = int(metrics["epoch"].max())
    if isnan(dice):
        return []
    late = " The last one was the best, so a longer training may help." if best == last else ""
    return [f"The best validation Dice, {dice:.3f}, is that of epoch {best} ({best + 1} of {last + 1}).{late}"]


def _attention_sentences(run: RunFolder) -> list[str]:
    statistics = read_columns(run.attention.statistics)
    if statistics is None or not is_recorded(statistics, AREA):
        return []
    levels = ", ".join(f"{value:.2f} at level {level}" for level, value in _last_areas(statistics).items())
    if not levels:
        return []
    return [
        "In the last recorded epoch, the area under the ROC curve of the coefficients inside the classes against"
        f" outside is {levels} (mean over gates and validation cases; 0.5 is chance)."
    ]


def _last_areas(statistics: Columns) -> dict[int, float]:
    """Return the mean area of each level in the last epoch, over gates and cases for which it is defined."""
    areas: dict[int, list[float]] = {}
    last = statistics["epoch"].max()
    for epoch, level, area in zip(statistics["epoch"], statistics["level"], statistics[AREA.overall[0]], strict=True):
        if epoch == last and not isnan(area):
            areas.setdefault(int(level), []).append(float(area))
    return {level: fmean(values) for level, values in sorted(areas.items())}
