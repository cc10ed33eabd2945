"""The files of a probe: tables of all numbers, probe.json with the findings, and probe.html."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path

import pandas as pd
from rich.progress import Progress

from aunet.evaluation.probe_cases import GateGroup
from aunet.evaluation.probe_changes import judge_levels, score_changes
from aunet.evaluation.probe_tables import (
    change_table,
    localisation_table,
    similarity_table,
    summarise_localisation,
    summarise_similarity,
    verdict_table,
)
from aunet.files import JsonObject, replaced_atomically, write_json
from aunet.messages import counted
from aunet.metrics.case_scores import SHOWN_METRICS, count_cases, join_scores
from aunet.pipeline.gate_probe import GateProbing, ProbeFindings
from aunet.pipeline.probed_run import ProbedRun
from aunet.reporting.probe_section import FINDINGS, write_probe_page
from aunet.reporting.tables import PaperTable
from aunet.runs.inner_folders import ScoreFolder


def write_findings(
    folder: Path, run: ProbedRun, findings: ProbeFindings, probing: GateProbing, margin: float, progress: Progress
) -> list[PaperTable]:
    """Write all files of a probe to ``folder`` and return the tables for the terminal.

    case_scores.csv, changes.csv     scores of each intervention, and their paired changes
    similarity.csv, localisation.csv maps of changed networks, and how well maps find the organs, a row per case
    probe.json, probe.html           findings and report; pictures/ is written before
    """
    shown: list[PaperTable] = []
    folded: list[PaperTable] = []
    verdicts: list[dict[str, str]] = []
    cases = counted(len(run.cases), "case")
    if findings.scores:
        scores, targets = join_scores(findings.scores), probing.plan.targets
        cases = count_cases(scores.drop_duplicates("case_id"))
        changes = score_changes(scores, lambda groups: progress.track(groups, description="Testing the changes"))
        _write_csv(ScoreFolder(folder).case_scores, scores)
        _write_csv(folder / "changes.csv", changes)
        whole = [target.name for target in targets if "gate" not in target.name]
        judged = judge_levels(changes, whole, margin) if "mean" in probing.plan.interventions else []
        verdicts = [asdict(verdict) for verdict in judged]
        shown += [verdict_table(judged, margin)] if judged else []
        shown.append(change_table(changes, "dice", whole, f"change by each intervention, {cases}"))
        folded = _further_tables(changes, targets)
    shown += _map_tables(folder, findings)
    content = {
        "model": run.model,
        "run": str(run.folder),
        "description": f"{run.model} on {run.cohort.description}: {cases}",
        "is_phantom": run.cohort.is_phantom,
        "margin": margin,
        "notes": findings.notes,
        "pictured_cases": findings.pictured_cases,
        "verdicts": verdicts,
        "tables": [*_as_json(shown, is_folded=False), *_as_json(folded, is_folded=True)],
    }
    write_json(folder / FINDINGS, content)
    write_probe_page(folder)
    return shown


def _further_tables(changes: pd.DataFrame, targets: Sequence[GateGroup]) -> list[PaperTable]:
    """Return the tables that the report folds: every metric that was measured, for all targets."""
    names, measured = [target.name for target in targets], set(changes["metric"])
    title = "change by each intervention, all gates"
    return [change_table(changes, metric, names, title) for metric in SHOWN_METRICS if metric in measured]


def _map_tables(folder: Path, findings: ProbeFindings) -> list[PaperTable]:
    tables: list[PaperTable] = []
    if findings.similarities:
        _write_csv(folder / "similarity.csv", pd.DataFrame(findings.similarities))
        tables.append(similarity_table(summarise_similarity(findings.similarities)))
    if findings.locations:
        _write_csv(folder / "localisation.csv", pd.DataFrame(findings.locations))
        tables.append(localisation_table(summarise_localisation(findings.locations)))
    return tables


def _as_json(tables: Iterable[PaperTable], *, is_folded: bool) -> list[JsonObject]:
    return [asdict(table) | {"is_folded": is_folded} for table in tables]


def _write_csv(path: Path, table: pd.DataFrame) -> None:
    with replaced_atomically(path) as temporary:
        table.to_csv(temporary, index=False)
