"""``aunet train``: one run from the configuration to the report, or a sweep of runs."""

import logging
from argparse import ArgumentParser
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aunet.errors import UserError, is_disk_full
from aunet.pipeline.config_printing import print_config, split_cfg

if TYPE_CHECKING:
    from omegaconf import DictConfig

    from aunet.data.cohort.case import Cohort

_log = logging.getLogger(__name__)

# Keys that may be given anew to a resumed run, and to an extended one; all others keep the run's values.
_RESUME_KEYS = ("trainer.max_time", "trusted_modules")
_EXTEND_KEYS = ("trainer.max_epochs", *_RESUME_KEYS)


def train(words: Sequence[str]) -> None:
    """Train with the Hydra overrides in ``words``; with ``-m``, once for each of their combinations."""
    part, is_resolved, others = split_cfg(words)
    options, overrides = _parser().parse_known_args(others)
    if unknown := [word for word in overrides if word.startswith("-")]:
        raise UserError(f"{unknown[0]}: no such option. Settings are written key=value; see 'aunet train --help'.")
    if number := next((word.partition("=")[2] for word in overrides if word.startswith("jobs=")), None):
        raise UserError(f"jobs={number}: is no setting of a run. How many go at once is written --jobs {number}.")
    for word, is_given in (("--info", options.info), ("--cfg", part is not None)):
        if options.multirun and is_given:
            raise UserError(f"-m with {word}: it is about one run. Leave -m out.")
    if options.multirun:
        from aunet.commands.sweep import run_sweep

        run_sweep(overrides, options.jobs)
        return
    if options.jobs is not None:
        raise UserError(
            f"--jobs {options.jobs}: it tells how many runs of a sweep go at once; add -m, or leave it out."
        )
    if options.info and any(word.startswith("extend=") and word != "extend=null" for word in overrides):
        raise UserError("--info with extend=: an extension changes its run. Give resume= to see what the run costs.")
    from aunet.config.composition import check_config

    config, folder = _configuration(overrides)
    check_config(config)
    if part is not None:
        print_config(config, part, is_resolved=is_resolved)
    elif options.info:
        from aunet.pipeline.costs import print_costs

        print_costs(config)
    elif config.resume and _is_nothing_left(config, folder):
        return
    elif number := _processes_to_start(config):
        _launch(config, folder, words_of_ranks(overrides, folder) if config.resume else overrides, number)
    else:
        _run(config, folder)


def _parser() -> ArgumentParser:
    parser = ArgumentParser(
        prog="aunet train",
        description="Train a network, record where it attends, predict and score the test cases, write a report.",
        epilog="Settings are Hydra overrides: model=attention data=ct150 data.root=/scans seed=1."
        " With -m, model=unet,attention is a sweep of two runs. Groups and their options stand in conf/.",
    )
    parser.add_argument("-m", "--multirun", action="store_true", help="a run for each combination of listed values")
    parser.add_argument("--jobs", type=int, metavar="N", help="with -m: N runs at once, sharing the processor's cores")
    # split_cfg parses it; it is here for --help.
    parser.add_argument("--cfg", action="store_true", help="print the configuration instead; --cfg job as Hydra does")
    parser.add_argument("--info", action="store_true", help="print cost, speed and expected end instead")
    return parser


def _configuration(overrides: Sequence[str]) -> tuple["DictConfig", Path]:
    """Return the configuration and the run folder: new ones, or with ``resume=`` or ``extend=`` an earlier run's."""
    from aunet.config.composition import compose_config

    for word, keys in (("extend", _EXTEND_KEYS), ("resume", _RESUME_KEYS)):
        chosen = [text.partition("=")[2] for text in overrides if text.startswith(f"{word}=")]
        if not chosen or chosen[-1] == "null":
            continue
        others = [text for text in overrides if not text.startswith(f"{word}=")]
        if refused := [text for text in others if text.partition("=")[0] not in keys]:
            raise UserError(
                f"{refused[0]}: with {word}= a run keeps the settings it began with; only {' and '.join(keys)} may be"
                " given anew. Leave it out, or start another run."
            )
        return _config_of_run(Path(chosen[-1]), others, is_extended=word == "extend"), Path(chosen[-1])
    config = compose_config(overrides)
    return config, Path(str(config.hydra.run.dir))


def _config_of_run(folder: Path, overrides: Sequence[str], is_extended: bool) -> "DictConfig":
    from omegaconf import OmegaConf

    from aunet.config.composition import load_run_config

    words = {key: value for key, _, value in (text.partition("=") for text in overrides)}
    trusted_modules = OmegaConf.from_dotlist(list(overrides)).get("trusted_modules") or ()
    config = load_run_config(folder, trusted_modules, built=None)
    if config.trainer.probe is not None:
        raise UserError(f"{folder}: trainer={config.trainer.name} ends in minutes and is not resumed. Start it again.")
    config["resume"] = str(folder)
    limits = _limits(words)
    if is_extended:
        from aunet.pipeline.extension import extend_run

        extend_run(config, folder, limits)
    config["trainer"].update(limits)
    return config


def _limits(words: Mapping[str, str]) -> dict[str, Any]:
    """Return the training's limits among overrides, typed here: YAML would read 10:00:00:00 as a number of seconds."""
    limits: dict[str, Any] = {}
    if (epochs := words.get("trainer.max_epochs")) is not None:
        limits["max_epochs"] = int(epochs) if epochs.isdecimal() else epochs
    if (time := words.get("trainer.max_time")) is not None:
        limits["max_time"] = None if time == "null" else time.strip("'\"")
    return limits


def _is_nothing_left(config: "DictConfig", folder: Path) -> bool:
    from aunet.pipeline.ended_run import is_nothing_left

    return is_nothing_left(folder, config.trainer.max_time)


def _processes_to_start(config: "DictConfig") -> int:
    """Return the number of ranks that this process must start on this machine; 0 if it trains itself."""
    from aunet.runs.ranks import is_started_as_rank
    from aunet.training.hardware import num_devices

    number = num_devices(config.trainer.devices, config.trainer.accelerator)
    return 0 if number == 1 or is_started_as_rank() else number


def words_of_ranks(overrides: Sequence[str], folder: Path) -> list[str]:
    """Return the overrides for the ranks of a resumed or extended run, in whose folder an extension is already set."""
    written = ("resume=", "extend=", "trainer.max_epochs=")
    return [f"resume={folder}", *(word for word in overrides if not word.startswith(written))]


def _launch(config: "DictConfig", folder: Path, overrides: Sequence[str], number: int) -> None:
    """Check the settings and prepare the data here, once; then train in ``number`` processes."""
    from aunet.build.data import build_cohort, build_splits, with_facts
    from aunet.build.preprocessing import with_intensities
    from aunet.build.start import build_start
    from aunet.build.task import build_data
    from aunet.pipeline.launch import train_on_ranks
    from aunet.runs.run_folder import RunFolder
    from aunet.training.init_overlap import check_overlap

    _check_new(config, folder)
    cohort = build_cohort(config)
    settings = with_facts(config, cohort)
    _log.info(
        "%d processes share each batch of %d; the learning rate is what it is for one.",
        number,
        settings["dataset"]["batch_size"],
    )
    splits = build_splits(settings, cohort)
    settings = with_intensities(settings, cohort, splits, is_begun=RunFolder(folder).splits.is_file())
    if config.init and not config.resume:
        check_overlap(build_start(settings, cohort, splits), is_allowed=config.init_overlap == "allow")
    build_data(settings, cohort, splits, num_ranks=number).setup("fit")
    place = [] if config.resume else [f"hydra.run.dir='{folder}'"]
    train_on_ranks([*overrides, *place], folder, number)


def _check_new(config: "DictConfig", folder: Path) -> None:
    from aunet.runs.run_folder import RunFolder
    from aunet.runs.run_lock import check_unlocked

    check_unlocked(folder)
    if config.resume is None and RunFolder(folder).record.exists():
        raise UserError(
            f"hydra.run.dir={folder}: holds a run already. Give another folder, or go on with resume={folder}."
        )


def _run(config: "DictConfig", folder: Path) -> None:
    """Train in this process, alone or as one rank of several."""
    from aunet.runs.ranks import join_ranks, leave_ranks, of_first_rank, rank

    join_ranks(config.trainer.accelerator)
    try:
        folder = of_first_rank(folder)
        if rank() == 0:
            _check_new(config, folder)
        else:
            logging.getLogger("aunet").setLevel(logging.ERROR)
        _train_test_report(config, folder)
    finally:
        leave_ranks()


def _train_test_report(config: "DictConfig", folder: Path) -> None:
    from aunet.build.data import build_cohort, with_facts
    from aunet.runs.ranks import first_rank_first
    from aunet.runs.run_lock import locked_folder

    with first_rank_first():
        cohort = build_cohort(config)
    settings = with_facts(config, cohort)
    _announce(settings, cohort, folder)
    with locked_folder(folder):
        _run_parts(settings, cohort, folder)


def _run_parts(settings: dict[str, Any], cohort: "Cohort", folder: Path) -> None:
    from aunet.build.tracker import build_tracker
    from aunet.pipeline.steps import report_run, score_run, train_run
    from aunet.runs.ranks import rank
    from aunet.runs.run_record import RunRecord
    from aunet.training.callbacks.checkpoints import RunInterruptedError

    record = RunRecord(folder)
    tracker = build_tracker(settings, folder) if rank() == 0 else None
    try:
        if settings["trainer"]["probe"] is not None:
            from aunet.pipeline.probe import run_probe

            run_probe(settings, cohort, folder, record, tracker)
            record.end("finished")
            return
        splits = train_run(settings, cohort, folder, record, tracker)
        summary = score_run(settings, cohort, splits, folder, record, tracker)
        record.end("finished")
    except (RunInterruptedError, KeyboardInterrupt):
        record.end("interrupted")
        _log.warning("Stopped. Go on with: python train.py resume=%s", folder)
        raise KeyboardInterrupt from None
    except BaseException as error:
        with suppress(OSError):
            record.end("failed")
        if is_disk_full(error):
            raise UserError(
                f"{folder}: the disk is full; the checkpoint before stands. Free some of it, then: python train.py"
                f" resume={folder}"
            ) from None
        raise
    finally:
        if tracker:
            tracker.finish()
    if rank() == 0:
        report_run(summary, cohort, folder, record.facts.get("caveats", ()))


def _announce(settings: dict[str, Any], cohort: "Cohort", folder: Path) -> None:
    from aunet.data.cohort.selection import annotation_notes

    facts, trainer = settings["dataset"], settings["trainer"]
    _log.warning("Data: %s", cohort.description) if cohort.is_phantom else _log.info("Data: %s", cohort.description)
    modalities = dict.fromkeys(facts["modalities"] or [facts["modality"]])
    _log.info("Classes: %s; modality %s", ", ".join(facts["class_names"]), ", ".join(modalities))
    for note in annotation_notes(cohort):
        _log.warning("Partial labels: %s", note)
    _log.info(
        "Spacing %s mm, patches of %s voxels, %d a batch, %d batches an epoch, %s epochs%s",
        _by(f"{side:g}" for side in facts["spacing"]),
        _by(facts["patch_size"]),
        facts["batch_size"],
        trainer["batches_per_epoch"],
        trainer["max_epochs"],
        f" or {trainer['max_time']} (DD:HH:MM:SS), which makes the run not repeatable" if trainer["max_time"] else "",
    )
    _log.info("Run folder: %s", folder)


def _by(values: Any) -> str:
    return "x".join(map(str, values))
