"""The settings in which the runs of a comparison differ besides the model, and those of them that forbid it.

A difference of scores is credited to the model only if nothing else that shapes the training or the scoring differs.
Every setting therefore forbids a comparison unless it is listed here as without effect on the scores, or as noted only.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePath

from aunet.evaluation.compared_run import ComparedRun, Training
from aunet.messages import shortened

NOT_RECORDED = "not recorded"
NOT_SET = "not set"

# Paths, names, and settings that affect only the display, the speed or the memory. For the keys of `data` that may be
# open, `dataset` and `trainer` hold the values in effect, and splits.json holds the cases that `data.split` chose.
_WITHOUT_EFFECT = (
    "attention.cases",
    "attention.max_epochs_kept",
    "data.augmentation.patch_size",
    "data.batch_size",
    "data.batches_per_epoch",
    "data.cache",
    "data.cases",
    "data.fold",
    "data.max_epochs",
    "data.num_workers",
    "data.on_error",
    "data.patch_size",
    "data.phantom",
    "data.recipe",
    "data.root",
    "data.scans",
    "data.source.cache",
    "data.source.classes",
    "data.source.on_error",
    "data.source.other_labels",
    "data.source.root",
    "data.spacing",
    "data.split",
    "data.target_regions",
    "data.test_on",
    "dataset.class_names",
    "dataset.intensities",  # follows from the training cases, which are compared themselves; each fold has its own
    "dataset.num_classes",
    "dataset.regions",  # those of two runs must be equal to be compared at all, as the class names
    "hydra",
    "inference.window_batch",
    "init_overlap",
    "logger",
    "resume",
    "store_budget",
    "trainer.checkpoint_minutes",
    "trainer.requeue",
    "trusted_modules",
)
# These change rounding, or how a batch is divided: less than another seed does, and a reader can judge it.
_NOTED = {
    "inference.engine": "precision",
    "inference.memory": "prediction",
    "inference.sums": "prediction",
    "seed": "seed",
    "trainer.accelerator": "hardware",
    "trainer.channels_last": "hardware",
    "trainer.compile": "hardware",
    "trainer.deterministic": "hardware",
    "trainer.devices": "hardware",
    "trainer.on_nonfinite": "non-finite losses",
    "trainer.precision": "precision",
    "trainer.strategy": "hardware",
    "trainer.sync_batchnorm": "hardware",
    "trainer.tf32": "precision",
}
# Names of concerns for the reader; the longest prefix of a key decides.
_CONCERNS = {
    "data": "data",
    "data.augmentation": "augmentation",
    "data.window": "intensity window",
    "dataset": "preprocessing",
    "dataset.batch_size": "batch size",
    "dataset.patch_size": "patch",
    "dataset.spacing": "spacing",
    "inference": "prediction",
    "init": "initial weights",
    "loss": "loss",
    "optimizer": "optimizer",
    "optimizer.schedule": "learning rate schedule",
    "trainer": "training",
    "trainer.accumulate": "accumulated batches",
    "trainer.batches_per_epoch": "batches per epoch",
    "trainer.ema": "weight average",
    "trainer.gradient_clip": "gradient clipping",
    "trainer.max_epochs": "epochs",
    "trainer.max_time": "training time",
    "trainer.freeze": "frozen parts",
    "trainer.patience": "patience",
    "trainer.validate_every": "validations",
}
# In these groups the option's name says more than the keys that it sets; other names differ without effect.
_NAMED_GROUPS = ("loss", "optimizer")
# The settings of the model, to which a comparison credits the difference of the scores: the network, and the coarse run
# that localises for it, which the gate claims to replace.
_OF_MODEL = ("model", "data.region", "data.region_margin_mm", "data.region_classes")
# Arguments of a network that follow from the data.
_DATA_OF_MODEL = tuple(f"model.network.{name}" for name in ("spatial_dims", "in_channels", "num_classes", "spacing"))


@dataclass(frozen=True)
class SettingDifference:
    """A setting with its value in each run, its concern as named for the reader, and whether it forbids comparing."""

    setting: str
    concern: str
    values: tuple[str, ...]
    is_refused: bool


def setting_differences(runs: Sequence[ComparedRun]) -> list[SettingDifference]:
    """Return every difference of two or more runs besides the model, those that forbid a comparison first."""
    found = [*_config_differences(runs), *_case_differences(runs), *_course_differences(runs)]
    return sorted(found, key=lambda difference: not difference.is_refused)


def refused_concerns(differences: Sequence[SettingDifference]) -> dict[str, SettingDifference]:
    """Return the concerns that forbid the comparison, each with its first setting."""
    found: dict[str, SettingDifference] = {}
    for difference in differences:
        if difference.is_refused:
            found.setdefault(difference.concern, difference)
    return found


def model_differences(runs: Sequence[ComparedRun]) -> dict[str, tuple[str, ...]]:
    """Return the settings of the model that differ, with the value of each run."""
    return _differing(runs, lambda key: _is_below(key, _OF_MODEL) and not _is_below(key, _DATA_OF_MODEL))


def has_equal_settings(first: ComparedRun, second: ComparedRun) -> bool:
    """Return whether two runs differ only in the fold and in settings without effect on the scores."""
    return not _differing((first, second), lambda key: not _is_below(key, _WITHOUT_EFFECT))


def told_counts(of_trainings: Sequence[frozenset[str] | None]) -> str:
    """Return the numbers of cases of several trainings as one number or a range."""
    counts = sorted({len(cases) for cases in of_trainings if cases is not None})
    return "–".join(dict.fromkeys((str(counts[0]), str(counts[-1])))) if counts else NOT_RECORDED


def told_facts(values: Sequence[object], unknown: str = NOT_RECORDED) -> str:
    """Return the distinct values of several trainings as text."""
    return ", ".join(dict.fromkeys(unknown if value is None else str(value) for value in values))


def _config_differences(runs: Sequence[ComparedRun]) -> list[SettingDifference]:
    differing = _differing(runs, lambda key: not _is_below(key, (*_OF_MODEL, *_WITHOUT_EFFECT)))
    for group in _NAMED_GROUPS:
        names = tuple(_told(run.settings, f"{group}.name") for run in runs)
        if len(set(names)) > 1 and any(_is_below(key, [group]) for key in differing):
            differing = {f"{group}.name": names} | differing
    return [
        SettingDifference(key, _concern(key), told, _is_refused(key, told, runs)) for key, told in differing.items()
    ]


def _differing(runs: Sequence[ComparedRun], is_wanted: Callable[[str], bool]) -> dict[str, tuple[str, ...]]:
    """Return the wanted settings, other than names, whose values differ between runs, with the values as text."""
    keys = dict.fromkeys(key for run in runs for key in run.settings if is_wanted(key) and not key.endswith(".name"))
    return {key: tuple(_told(run.settings, key) for run in runs) for key in keys if not _is_equal(key, runs)}


def _is_equal(key: str, runs: Sequence[ComparedRun]) -> bool:
    first = runs[0].settings
    return all((key in run.settings) == (key in first) and run.settings.get(key) == first.get(key) for run in runs)


def _told(settings: Mapping[str, object], key: str) -> str:
    value = settings.get(key, NOT_SET)
    if key == "data.region" and value is not None:
        value = PurePath(str(value)).name  # of the coarse run's folder; the whole path makes no name of a model
    return "none" if value is None else str(value)


def _is_below(key: str, prefixes: Sequence[str]) -> bool:
    return any(key == prefix or key.startswith(f"{prefix}.") for prefix in prefixes)


def _concern(key: str) -> str:
    parts = key.split(".")
    prefixes = [".".join(parts[:end]) for end in range(len(parts), 0, -1)]
    return next((words[prefix] for prefix in prefixes for words in (_NOTED, _CONCERNS) if prefix in words), parts[0])


def _is_refused(key: str, told: Sequence[str], runs: Sequence[ComparedRun]) -> bool:
    if key == "trainer.patience":  # without effect if every training came to its planned end
        ends = [(training.epochs, run.settings.get("trainer.max_epochs")) for run in runs for training in run.trainings]
        return any(epochs != planned for epochs, planned in ends)
    # The arguments of a source are not in the schema: an older run lacks those that were added since.
    is_older = _is_below(key, ["data.source"]) and NOT_SET in told
    return not is_older and not _is_below(key, list(_NOTED))


def _case_differences(runs: Sequence[ComparedRun]) -> list[SettingDifference]:
    """Compare the cases that trained and those that chose the best epoch."""
    parts: tuple[tuple[str, Callable[[Training], frozenset[str] | None]], ...] = (
        ("training cases", lambda training: training.train),
        ("validation cases", lambda training: training.val),
    )
    found: list[SettingDifference] = []
    for part, cases_of in parts:
        sets = [[cases_of(training) for training in run.trainings] for run in runs]
        if any(of_run != sets[0] for of_run in sets):
            known = [cases for of_run in sets for cases in of_run if cases is not None]
            common = frozenset[str].intersection(*known) if known else frozenset[str]()
            values = tuple(_told_cases(of_run, common) for of_run in sets)
            found.append(SettingDifference(part, part, values, is_refused=len(known) == sum(map(len, sets))))
    return found


def _told_cases(of_trainings: Sequence[frozenset[str] | None], common: frozenset[str]) -> str:
    first = of_trainings[0]
    own = sorted(first - common) if len(of_trainings) == 1 and first is not None else []
    return told_counts(of_trainings) + (f" ({len(own)} not in all: {shortened(own, 2)})" if own else "")


def _course_differences(runs: Sequence[ComparedRun]) -> list[SettingDifference]:
    """Compare the course of the trainings and the machines they ran on, which no setting records."""
    is_open_ended = any(
        run.settings.get(f"trainer.{key}") is not None for run in runs for key in ("max_time", "patience")
    )
    facts: tuple[tuple[str, str, Callable[[Training], object], bool], ...] = (
        ("epochs trained", "epochs", lambda training: training.epochs, not is_open_ended),
        ("epochs before extend=", "epochs", lambda training: training.extended_from or "not extended", True),
        ("precision in effect", "precision", lambda training: training.precision, False),
        *((name, "environment", _environment_of(name), False) for name in _environments(runs)),
    )
    found: list[SettingDifference] = []
    for setting, concern, fact, is_refused in facts:
        values = tuple(told_facts([fact(training) for training in run.trainings]) for run in runs)
        if len(set(values)) > 1:
            found.append(SettingDifference(setting, concern, values, is_refused and NOT_RECORDED not in values))
    return found


def _environments(runs: Sequence[ComparedRun]) -> list[str]:
    return list(dict.fromkeys(name for run in runs for training in run.trainings for name in training.environment))


def _environment_of(name: str) -> Callable[[Training], object]:
    return lambda training: training.environment.get(name)
