"""One run from its configuration to its report, in this process or in several."""

import logging
import shlex
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from aunet.classes import describe_classes
from aunet.config.draft import Draft
from aunet.config.schema import RunConfig, TrainerConfig
from aunet.config.words import quote
from aunet.errors import UserError, is_disk_full, is_worker_killed
from aunet.machine import is_started_as_rank
from aunet.messages import counted, train_command
from aunet.pipeline.ended_run import is_nothing_left
from aunet.pipeline.launch import train_on_ranks, words_of_ranks
from aunet.pipeline.places import check_places, claim_folder, is_folder_named
from aunet.pipeline.slurm import mark_job, stopping_on_signal, warn_of_copies
from aunet.runs.rank_ends import RankEnd, first_end, forget_ends
from aunet.runs.ranks import first_rank_first, join_ranks, leave_ranks, of_first_rank, rank
from aunet.runs.run_folder import RunFolder
from aunet.runs.run_lock import check_unlocked, locked_folder

if TYPE_CHECKING:
    import pandas as pd

    from aunet.data.cohort.case import Cohort
    from aunet.runs.run_record import RunRecord
    from aunet.tracking.tracker_group import TrackerGroup

_log = logging.getLogger(__name__)


def start_run(draft: Draft, folder: Path, words: Sequence[str]) -> None:
    """Train, score and report the run that ``draft`` describes, unless it is one that has finished.

    Args:
        draft: the configuration of the run.
        folder: of the run.
        words: the overrides from which ``draft`` was made, for further processes.

    Raises:
        UserError: if the data, the folder or the machine does not fit the configuration.
        KeyboardInterrupt: the user stopped it, and its checkpoint is written.
    """
    if draft.resume and is_nothing_left(folder, draft.trainer.max_time):
        return
    warn_of_copies()
    with stopping_on_signal(is_requeued=draft.trainer.requeue):
        if number := _count_processes_to_start(draft.trainer):
            _launch(draft, folder, words_of_ranks(words, folder) if draft.resume else words, number)
        else:
            _run(draft, folder, words)


def _count_processes_to_start(trainer: TrainerConfig) -> int:
    """Return the number of ranks that this process must start on this machine; 0 if it trains itself."""
    from aunet.training.hardware import num_devices

    number = num_devices(trainer.devices, trainer.accelerator)
    return 0 if number == 1 or is_started_as_rank() else number


def _launch(draft: Draft, folder: Path, words: Sequence[str], number: int) -> None:
    """Check the settings and prepare the data here, once; then train in ``number`` processes."""
    if draft.resume or is_folder_named(words):
        _check_new(draft, folder)
    check_places(draft, folder)
    _prepare_for_ranks(draft, folder, number)
    is_claimed = not draft.resume and not is_folder_named(words)
    if is_claimed:
        folder = claim_folder(folder)
    place = [] if draft.resume else [f"hydra.run.dir={quote(str(folder))}"]
    try:
        train_on_ranks([*words, *place], folder, number)
    except BaseException:
        with suppress(OSError):  # it is not empty
            if is_claimed:
                folder.rmdir()
        raise


def _prepare_for_ranks(draft: Draft, folder: Path, number: int) -> None:
    from aunet.build.data import build_cohort, build_splits, fill_in_facts
    from aunet.build.preprocessing import fill_in_intensities
    from aunet.build.start import build_test_start
    from aunet.build.store import use_own_region
    from aunet.build.task import build_data
    from aunet.pipeline.region import check_region
    from aunet.training.init_overlap import check_overlap

    cohort = build_cohort(draft.data, draft.trusted_modules)
    config = fill_in_facts(draft, cohort)
    _log.info(
        "%d processes share each batch of %d; the learning rate is what it is for one.",
        number,
        config.dataset.batch_size,
    )
    splits = build_splits(config.data, cohort)
    config = fill_in_intensities(config, cohort, splits, is_begun=RunFolder(folder).splits.is_file())
    if config.init and not draft.resume:
        start = build_test_start(config.data, config.init, cohort, splits)
        check_overlap(start, is_allowed=config.init_overlap == "allow")
    if not draft.resume:
        check_region(config, cohort, splits)
    build_data(use_own_region(config, folder), cohort, splits, num_ranks=number).setup("fit")


def _check_new(draft: Draft, folder: Path) -> None:
    check_unlocked(folder)
    if draft.resume is None and RunFolder(folder).record.exists():
        raise UserError(
            f"hydra.run.dir={folder}: holds a run already. Give another folder, or continue it with resume={folder}."
        )


def _run(draft: Draft, folder: Path, words: Sequence[str]) -> None:
    """Train in this process, alone or as one rank of several."""
    join_ranks(draft.trainer.accelerator)
    try:
        folder = of_first_rank(folder)
        if rank() == 0:
            if draft.resume or is_folder_named(words):
                _check_new(draft, folder)
            check_places(draft, folder)
        else:
            logging.getLogger("aunet").setLevel(logging.ERROR)
        _train_test_report(draft, folder, words)
    finally:
        leave_ranks()


def _train_test_report(draft: Draft, folder: Path, words: Sequence[str]) -> None:
    from aunet.build.data import build_cohort, fill_in_facts

    with first_rank_first():
        cohort = build_cohort(draft.data, draft.trusted_modules)
    config = fill_in_facts(draft, cohort)
    is_claimed = rank() == 0 and not draft.resume and not is_folder_named(words)
    if is_claimed:
        folder = claim_folder(folder)
    if rank() == 0:
        forget_ends(folder)
    folder = of_first_rank(folder)
    _announce(config, cohort, folder)
    with locked_folder(folder, is_new=is_claimed):
        _run_parts(config, cohort, folder, words)


def _requests_to_stop() -> tuple[type[BaseException], ...]:
    from pytorch_lightning.utilities.exceptions import SIGTERMException

    from aunet.training.callbacks.checkpoints import RunInterruptedError

    # For a SIGTERM just before the first step Lightning raises its own, which would be an exit with status 0; for a
    # KeyboardInterrupt outside of the steps it exits with status 1.
    return (RunInterruptedError, KeyboardInterrupt, SIGTERMException, SystemExit)


def _run_parts(config: RunConfig, cohort: "Cohort", folder: Path, words: Sequence[str]) -> None:
    from aunet.build.tracker import build_tracker
    from aunet.runs.run_record import RunRecord

    record = RunRecord(folder)
    if mark := mark_job(words):
        record.facts.setdefault("slurm_job", mark)
    tracker = build_tracker(config, folder) if rank() == 0 else None
    resume = _words_of_resume(folder)
    try:
        summary = _train_and_score(config, cohort, folder, record, tracker)
        record.end("finished")
    except BaseException as error:
        is_stop = isinstance(error, _requests_to_stop())
        end = first_end(folder, error, is_stop=is_stop)
        if end.status == "interrupted":
            _end_interrupted(record, resume)
        _record_failure(record, folder, end, error, resume)
        if is_stop or end.rank not in (None, rank()):
            _log.error("%s. The run ends, as its processes need each other.", end)
            raise SystemExit(1) from None
        if sentence := _describe_fault(error, folder, resume if record.is_started else "the same command again"):
            raise UserError(sentence) from None
        raise
    finally:
        if tracker:
            tracker.finish()
    if summary is not None and rank() == 0:
        from aunet.pipeline.steps import report_run

        report_run(summary, cohort, folder, record.facts.get("caveats", ()))


def _end_interrupted(record: "RunRecord", resume: str) -> NoReturn:
    record.end("interrupted")
    if record.is_started:
        _log.warning("Stopped. Continue with: %s", resume)
    else:
        _log.warning("Stopped before the training began. Start again with the same command.")
    raise KeyboardInterrupt from None


def _record_failure(record: "RunRecord", folder: Path, end: RankEnd, error: BaseException, resume: str) -> None:
    is_gone = record.is_started and not RunFolder(folder).config.is_file()
    with suppress(OSError):
        if not is_gone:
            record.end("failed", str(end))
    if is_gone and isinstance(error, OSError):
        raise UserError(
            f"{folder}: the folder was moved or deleted while the run wrote to it. Put it back, then: {resume}"
        ) from None


def _words_of_resume(folder: Path) -> str:
    return f"{train_command()} {shlex.quote(f'resume={folder}')}"


def _describe_fault(error: BaseException, folder: Path, again: str) -> str | None:
    """Return one sentence on a fault of the machine in a run, with the command that continues it; None for another."""
    if is_disk_full(error):
        place = (error.filename if isinstance(error, OSError) else None) or folder  # the cache may be on another disk
        return f"{place}: the disk is full; the checkpoint before, if any, is kept. Free some space, then: {again}"
    if is_worker_killed(error):
        return (
            f"{folder}: the system killed a process that reads patches, mostly for lack of memory (or of /dev/shm)."
            f" Read without processes: {again} data.num_workers=0"
        )
    return None


def _train_and_score(
    config: RunConfig, cohort: "Cohort", folder: Path, record: "RunRecord", tracker: "TrackerGroup | None"
) -> "pd.DataFrame | None":
    """Return the summary of the test scores; None for a probe, which has none."""
    from aunet.pipeline.steps import score_run, train_run

    if config.trainer.probe is not None:
        from aunet.pipeline.probe import run_probe

        run_probe(config, cohort, folder, record, tracker)
        return None
    splits = train_run(config, cohort, folder, record, tracker)
    try:
        return score_run(config, cohort, splits, folder, record, tracker)
    except UserError as error:
        raise UserError(f"{error} The training is done; then score it with: {_words_of_resume(folder)}") from None


def _announce(config: RunConfig, cohort: "Cohort", folder: Path) -> None:
    from aunet.data.cohort.selection import annotation_notes

    facts, trainer = config.dataset, config.trainer
    _log.warning("Data: %s", cohort.description) if cohort.is_phantom else _log.info("Data: %s", cohort.description)
    modalities = dict.fromkeys(facts.modalities or [facts.modality])
    _log.info("Classes: %s; modality %s", describe_classes(facts.labels), ", ".join(modalities))
    for note in annotation_notes(cohort):
        _log.warning("Partial labels: %s", note)
    _log.info(
        "Spacing %s mm, patches of %s voxels, %d a batch, %d batches an epoch, %s%s",
        _join(f"{side:g}" for side in facts.spacing),
        _join(map(str, facts.patch_size)),
        facts.batch_size,
        trainer.batches_per_epoch,
        counted(trainer.max_epochs, "epoch"),
        f" or {trainer.max_time} (DD:HH:MM:SS), which makes the run not repeatable" if trainer.max_time else "",
    )
    _log.info("Run folder: %s", folder)


def _join(sides: Iterable[str]) -> str:
    return "x".join(sides)
