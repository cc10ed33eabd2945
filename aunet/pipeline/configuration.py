"""The configuration of a run from the words of its command: a new one, or that of the run it resumes or extends.

``extend=<run>`` trains a finished run for more epochs or time; from then on it counts as interrupted.
"""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from aunet.config.draft import Draft, compose_draft, load_draft, write_run_config
from aunet.config.overrides import parse_values
from aunet.config.trust import SOURCE_ALONE
from aunet.config.words import check_paths, key_of, last_value, names_dataset, parse_word, path_of, quote, without_keys
from aunet.errors import UserError
from aunet.pipeline.machine_settings import MACHINE_KEYS, is_machine_key, move_run

if TYPE_CHECKING:
    from aunet.config.schema import RunConfig
    from aunet.data.cohort.case import Cohort
    from aunet.runs.run_state import RunState

_log = logging.getLogger(__name__)

# Keys that may be given anew to a resumed run, and to an extended one, besides those of the machine.
_RESUME_KEYS = ("trainer.max_time", "trusted_modules")
_EXTEND_KEYS = ("trainer.max_epochs", *_RESUME_KEYS)
_EXTENSION = "; extend= in place of resume= trains a finished run longer"


def configure_run(words: Sequence[str]) -> tuple[Draft, Path]:
    """Return the checked configuration and the run folder: new ones, or with ``resume=`` or ``extend=`` a run's.

    ``extend=`` also changes that run's folder, so that it can be resumed.

    Raises:
        UserError: if a word is wrong, or is not one that an earlier run can be given anew.
    """
    check_paths(words)
    for kind, keys in (("extend", _EXTEND_KEYS), ("resume", _RESUME_KEYS)):
        if (folder := last_value(words, kind)) is not None:
            others = without_keys(words, (kind,))
            _check_can_change(others, kind, keys)
            return _configure_earlier(path_of(folder), others, is_extended=kind == "extend"), path_of(folder)
    draft = compose_draft(without_keys(words, ("extend",)))
    if draft.trainer.requeue:
        from aunet.pipeline.slurm import find_requeued_run

        if begun := find_requeued_run(draft.run_folder, words):
            trusted = [text for text in words if key_of(text) == "trusted_modules"]
            return _configure_earlier(begun, trusted, is_extended=False), begun
    return draft, draft.run_folder


def configure_for_costs(words: Sequence[str]) -> Draft:
    """Return the configuration of a run whose costs are asked for, which changes nothing.

    Raises:
        UserError: as ``configure_run``, and for ``extend=``, which changes its run.
    """
    if last_value(words, "extend") is not None:
        raise UserError("--info with extend=: an extension changes its run. Give resume= to see what the run costs.")
    return configure_run(words)[0]


def build_cohort_of_words(
    words: Sequence[str], trusted_modules: Sequence[str] = (), own_folders: Sequence[Path] = ()
) -> "Cohort":
    """Return the labelled cases that ``data=NAME data.root=FOLDER …`` names; arguments as ``compose_dataset``."""
    from aunet.build.data import build_cohort

    return build_cohort(compose_dataset(words, trusted_modules, own_folders).data, trusted_modules)


def compose_dataset(
    words: Sequence[str], trusted_modules: Sequence[str] = (), own_folders: Sequence[Path] = ()
) -> Draft:
    """Compose the settings of a dataset, ``data=NAME data.root=FOLDER …``, without reading it.

    Args:
        words: settings of a dataset.
        trusted_modules: Python packages of the user's own that they may name.
        own_folders: with YAML files of the user's own.

    Raises:
        UserError: for a word that sets something else, or nothing.
    """
    if others := [text for text in words if not names_dataset([text])]:
        raise UserError(f"{others[0]}: beside a dataset only its settings may come: data=NAME data.root=FOLDER data.…")
    trusted = f"trusted_modules=[{','.join(trusted_modules)}]"
    searched = [f"hydra.searchpath=[{','.join(quote(str(folder.absolute())) for folder in own_folders)}]"]
    return compose_draft([*words, trusted, *(searched if own_folders else [])], SOURCE_ALONE)


def _check_can_change(words: Sequence[str], kind: str, keys: Sequence[str]) -> None:
    """Raise UserError for the first word that a resumed (extended) run does not take."""
    for word in map(parse_word, words):
        if word.key not in keys and not is_machine_key(word.key):
            raise UserError(
                f"{word.text}: with {kind}= a run keeps the settings it began with; only {', '.join(keys)} and those of"
                f" the machine ({', '.join(MACHINE_KEYS)}) may be given anew. Leave it out, or start another run"
                f"{_EXTENSION if word.key in _EXTEND_KEYS else ''}."
            )


def _configure_earlier(folder: Path, words: Sequence[str], *, is_extended: bool) -> Draft:
    of_machine = [text for text in words if is_machine_key(key_of(text))]
    values = parse_values([text for text in words if text not in of_machine])
    trusted_modules = values.pop("trusted_modules", None) or []
    if not isinstance(trusted_modules, list):
        raise UserError(f"trusted_modules={trusted_modules}: it must be a list in brackets, such as [my_networks].")
    draft = load_draft(folder, trusted_modules, built=None).with_values({"resume": str(folder)})
    if draft.trainer.probe is not None:
        raise UserError(f"{folder}: trainer={draft.trainer.name} ends in minutes and is not resumed. Start it again.")
    moved = move_run(draft, of_machine)
    if is_extended:
        # Its folder keeps the machine it had until the fingerprint of the data is checked.
        extend_run(draft, folder, values)
    return moved.with_values(values) if values else moved


def extend_run(draft: Draft, folder: Path, limits: Mapping[str, object]) -> Draft:
    """Return ``draft`` with new limits of the training, write them to the run's folder, and log what they change.

    Args:
        draft: of the run.
        folder: of the run.
        limits: ``trainer.max_epochs``, ``trainer.max_time`` or both; those given replace the run's.

    Raises:
        UserError: torchrun started this process, the run has not finished, or the new limits are not longer.
    """
    from aunet.runs.run_record import RunRecord
    from aunet.runs.run_state import read_run_state

    run = read_run_state(folder)
    _check_is_finished(run)
    extended = draft.with_values(limits)
    max_epochs = extended.trainer.max_epochs if "trainer.max_epochs" in limits else None
    _check_is_longer(run, max_epochs, extended.trainer.max_time)
    steps = _read_steps(folder)
    config = extended.with_facts()
    _log_schedule(config, run, steps)
    RunRecord(folder).update(status="interrupted", extended_at_step=steps, extended_from_epochs=run.max_epochs)
    write_run_config(config, folder)
    return extended


def _check_is_finished(run: "RunState") -> None:
    from aunet.machine import is_started_as_rank

    if is_started_as_rank():
        raise UserError("extend= is not for torchrun: with trainer.devices the run starts its processes itself.")
    if run.status != "finished":
        raise UserError(
            f"extend={run.folder}: this run is {run.status}; only a finished one is extended. Continue it with resume=."
        )


def _check_is_longer(run: "RunState", max_epochs: int | None, max_time: str | None) -> None:
    """Raise UserError unless the new limits exceed the epochs and the time limit that the run has had."""
    from aunet.pipeline.ended_run import is_longer

    if max_epochs is None and run.ended_by == "max_epochs":
        raise UserError(
            f"extend={run.folder}: trainer.max_epochs is missing: give one above {run.num_epochs}, the epochs that this"
            " run has had."
        )
    if max_epochs is not None and max_epochs <= run.num_epochs:
        raise UserError(
            f"trainer.max_epochs={max_epochs}: it must be above {run.num_epochs}, the epochs that this run has had."
        )
    if run.ended_by == "max_time" and not is_longer(max_time, run.max_time):
        raise UserError(
            f"trainer.max_time={max_time}: this limit ended the run after {run.num_epochs} epochs. Give a longer one,"
            " such as trainer.max_time=01:00:00:00 (DD:HH:MM:SS, the time so far included), or null for none."
        )


def _read_steps(folder: Path) -> int:
    """Return the optimizer steps that a finished run has made; raise UserError if its checkpoint is damaged."""
    from aunet.runs.run_folder import RunFolder, checkpoint_of_run
    from aunet.runs.tensor_files import UnreadableTensorsError, read_tensors

    last = RunFolder(folder).checkpoints.last
    path = last if last.is_file() else checkpoint_of_run(folder)
    try:
        return int(read_tensors(path, "meta")["global_step"])
    except (UnreadableTensorsError, KeyError, TypeError, ValueError, IndexError) as error:
        raise UserError(
            f"{path}: not a readable checkpoint of a training ({error}). Restore it from a copy, or start a new run"
            f" from its best weights with init={folder}."
        ) from None


def _log_schedule(config: "RunConfig", run: "RunState", steps: int) -> None:
    """Log how the learning rate continues after ``steps`` with the new limits."""
    from aunet.build.task import build_schedule
    from aunet.training.callbacks.accumulation import count_steps

    trainer = config.trainer
    if trainer.max_time is not None:
        _log.info(
            "Extended to trainer.max_time=%s. The learning rate follows the schedule over the steps of the whole time.",
            trainer.max_time,
        )
        return
    schedule = build_schedule(config.optimizer, trainer)
    left = (trainer.max_epochs - run.num_epochs) * count_steps(trainer.batches_per_epoch, trainer.accumulate)
    _log.info(
        "Extended from %d to %d epochs. The learning rate follows the schedule over all of them: it continues at %.3f"
        " of its start, having come down to %.3f. This run is not one planned for %d epochs.",
        run.num_epochs,
        trainer.max_epochs,
        schedule(steps / (steps + left)),
        schedule(1.0),
        trainer.max_epochs,
    )
