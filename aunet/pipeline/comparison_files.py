"""The files of a comparison: tables in four forms, the summary in words, and the figures."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pandas as pd

from aunet.errors import UserError
from aunet.evaluation.arm_tables import arm_table, effect_table, missing_notes, size_table
from aunet.evaluation.arms import Arm, tidy_scores
from aunet.evaluation.comparison import comparison_table, data_title, mark_of, population, run_notes, settings_table
from aunet.evaluation.comparison_scores import ScoreForm, comparison_rows, differences_to_first, score_forms
from aunet.evaluation.effects import MARGIN, effects
from aunet.evaluation.families import EVERYTHING, PRIMARY
from aunet.evaluation.planning_tables import planning_table, ranking_table
from aunet.evaluation.ranking import ranking_stability
from aunet.evaluation.setting_differences import setting_differences
from aunet.evaluation.sign_flip_test import KnownInferences
from aunet.evaluation.verdicts import verdicts
from aunet.files import replaced_atomically, write_text
from aunet.metrics.registry import METRIC_OF, METRICS
from aunet.pipeline.second_process import Work, Worker
from aunet.reporting.comparison_report import DrawnFigure, write_comparison_report
from aunet.reporting.latex import as_latex
from aunet.reporting.tables import PHANTOM_NOTE, PaperTable
from aunet.runs.run_folder import RunFolder
from aunet.terminal import shown, table_console


@dataclass(frozen=True)
class ComparisonOptions:
    """Options of a comparison.

    Attributes:
        margin: of equivalence, for overlaps.
        margin_mm: of equivalence, for distances; None for none.
        has_figures: whether to draw figures.
        primary: metrics of the primary family, whose differences are corrected apart and told in words.
    """

    margin: float = MARGIN
    margin_mm: float | None = None
    has_figures: bool = True
    primary: tuple[str, ...] = PRIMARY

    @property
    def margins(self) -> dict[str, float]:
        """Return the margin of each metric that has one."""
        of_unit = {"": self.margin, "mm": self.margin_mm}  # volumes have no margin
        margins = {metric.key: of_unit.get(metric.unit) for metric in METRICS}
        return {key: margin for key, margin in margins.items() if margin is not None}


@dataclass(frozen=True)
class Results:
    """The scores of a comparison and the tests of their differences, which need no network.

    Attributes:
        scores: tidy scores of the arms.
        effects: of the other arms against the first.
        paired: of single runs, the differences to the first; None if an arm has several runs or is alone.
    """

    scores: pd.DataFrame
    effects: pd.DataFrame
    paired: pd.DataFrame | None


def judge_differences(arms: Sequence[Arm], options: ComparisonOptions) -> Results:
    """Return the tidy scores of ``arms``, the first of them the baseline, and the tests of their differences.

    Raises:
        UserError: an unknown primary metric.
    """
    runs = [run for arm in arms for run in arm.runs]
    _check_primary(options.primary, score_forms(runs))
    table, known = tidy_scores(arms), KnownInferences()
    rows = effects(
        table,
        [arm.name for arm in arms],
        options.margins,
        lambda kinds: shown(kinds, "Testing the differences"),
        options.primary,
        known,
    )
    are_single = len(arms) > 1 and all(len(arm.runs) == 1 for arm in arms)
    return Results(table, rows, differences_to_first(runs, known=known) if are_single else None)


def begin_figures(
    arms: Sequence[Arm], results: Results, options: ComparisonOptions, worker: Worker
) -> Work[list[DrawnFigure]]:
    """Begin to draw the figures of ``arms``, which show nothing of their networks; none without ``has_figures``."""
    if not options.has_figures:
        return Work(list)
    return worker.begin(partial(_draw_figures, arms, results, options.margin))


def _draw_figures(arms: Sequence[Arm], results: Results, margin: float) -> list[DrawnFigure]:
    from aunet.pipeline.comparison_pictures import draw_figures  # loads matplotlib

    return list(draw_figures(arms, results.scores, results.effects, margin))


def write_comparison(
    arms: Sequence[Arm],
    results: Results,
    folder: Path,
    timing_note: str,
    options: ComparisonOptions,
    figures: Work[list[DrawnFigure]],
    worker: Worker,
) -> None:
    """Print the comparison of ``arms``, the first of them the baseline, and write it to ``folder``.

    Files: report.html, comparison.md, comparison.tex, comparison.csv (a row per run), scores.csv (every score),
    figures/ and, for two or more arms, effects.csv, ranks.csv and summary.txt; if no arm has several runs, also
    paired_differences.csv.

    Args:
        arms: with the costs of their networks.
        results: of ``judge_differences``.
        folder: for the files.
        timing_note: on the measurement of the networks.
        options: as given to ``judge_differences``.
        figures: of ``begin_figures``.
        worker: writes the figures and the page.
    """
    runs = [run for arm in arms for run in arm.runs]
    forms, names = score_forms(runs), [arm.name for arm in arms]
    frames = {"comparison.csv": comparison_rows(runs), "scores.csv": results.scores}
    tables = list(_score_tables(arms, results.scores, frames["comparison.csv"], timing_note))
    sentences: list[str] = []
    if len(arms) > 1:
        ranks = _ranks(results.scores, names)
        frames["effects.csv"] = results.effects
        frames["ranks.csv"] = pd.concat([found.assign(**{"class": name}) for name, found in ranks.items()])
        tables += [*_effect_tables(arms, results.effects, forms), planning_table(results.effects)]
        tables.append(ranking_table(ranks, METRIC_OF["dice"].title))
        told = [key for key in dict.fromkeys(options.primary) if key != EVERYTHING] or list(PRIMARY)
        sentences = [sentence for metric in told for sentence in verdicts(results.effects, metric)]
        sentences = [*([PHANTOM_NOTE] if runs[0].is_phantom else []), *sentences, *missing_notes(arms)]
    if results.paired is not None:
        frames["paired_differences.csv"] = results.paired
    _write(folder, frames, tables, sentences)
    text = (f"Comparison of {', '.join(names)}", sentences, tables)
    runs_to_show = _runs_to_show(arms) if options.has_figures else {}

    def begin_page() -> Work[None]:
        return worker.begin(partial(write_comparison_report, folder, *text, figures.result(), runs_to_show))

    page = begin_page() if figures.is_ready else None  # written while this process prints
    console = table_console()
    for of_table in tables:
        console.print(of_table, "")
    for sentence in sentences:
        console.print(sentence, soft_wrap=True, markup=False)
    (page or begin_page()).result()
    console.print(f"Comparison written to {folder}", soft_wrap=True, markup=False)


def _check_primary(primary: Sequence[str], forms: Sequence[ScoreForm]) -> None:
    """Raise UserError for a primary metric that the tables do not hold."""
    known = [*dict.fromkeys(form.metric for form in forms), EVERYTHING]
    if unknown := [key for key in primary if key not in known]:
        raise UserError(f"--primary {unknown[0]}: not a metric of these tables. Choose from {', '.join(known)}.")


def _runs_to_show(arms: Sequence[Arm]) -> dict[str, RunFolder]:
    """Return the first run of each arm, by the arm's name; a pooled cross-validation has no folder of a run."""
    firsts = {arm.name: RunFolder(arm.runs[0].folder) for arm in arms if arm.runs}
    return {name: run for name, run in firsts.items() if run.record.is_file()}


def _write(
    folder: Path, frames: Mapping[str, pd.DataFrame], tables: Sequence[PaperTable], sentences: Sequence[str]
) -> None:
    for name, frame in frames.items():
        with replaced_atomically(folder / name) as temporary:
            frame.to_csv(temporary, index=False)
    listed = "".join(f"- {sentence}\n" for sentence in sentences)
    write_text(folder / "comparison.md", "\n".join([*(table.as_markdown() for table in tables), listed]))
    write_text(folder / "comparison.tex", "\n".join(map(as_latex, tables)))
    if sentences:
        write_text(folder / "summary.txt", "\n".join(sentences) + "\n")


def _score_tables(
    arms: Sequence[Arm], table: pd.DataFrame, rows: pd.DataFrame, timing_note: str
) -> Iterator[PaperTable]:
    """Yield the paper's table and, if settings besides the model differ, their table."""
    firsts = [arm.runs[0] for arm in arms if arm.runs]
    differences = setting_differences(firsts)
    if all(len(arm.runs) == 1 for arm in arms) and not any(arm.missing for arm in arms):
        yield comparison_table(firsts, rows, differences, timing_note)
    else:
        title = f"{data_title(firsts)}: {population(firsts)}{mark_of(firsts, differences)}"
        yield arm_table(arms, table, score_forms(firsts), title, timing_note)
    if differences:
        yield settings_table(firsts, differences)


def _effect_tables(arms: Sequence[Arm], rows: pd.DataFrame, forms: Sequence[ScoreForm]) -> Iterator[PaperTable]:
    firsts = [arm.runs[0] for arm in arms if arm.runs]
    mark = mark_of(firsts, setting_differences(firsts))
    are_arms = any(len(arm.runs) > 1 for arm in arms)
    notes = run_notes([run for arm in arms for run in arm.runs], are_arms)
    for arm, found in rows.groupby("arm", sort=False):
        yield effect_table(found, forms, f"Paired differences: {arm} minus {arms[0].name}{mark}", notes)
        yield size_table(found, forms, f"Equivalence, risk and size: {arm} minus {arms[0].name}{mark}")


def _ranks(table: pd.DataFrame, names: Sequence[str]) -> dict[str, pd.DataFrame]:
    """Return the stability of the ranks by Dice, by class."""
    chosen = table.loc[(table["metric"] == "dice") & (table["form"] == "common cases")]
    return {
        str(of_class): ranking_stability(scores, names, is_lower_better=False)
        for of_class, scores in chosen.groupby("class", sort=False)
    }
