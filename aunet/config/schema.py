"""The schema of a run's configuration: every key, its type and the rule for its value. Values are in ``conf/``."""

import re
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any, cast

from omegaconf import MISSING

from aunet.classes import Labels

# Plain containers of values that the schema cannot know, or of a whole configuration.
Plain = dict[str, Any]
# A node with a ``_target_``, the class or function to build, and its arguments.
TargetNode = Plain


@dataclass(frozen=True)
class Rule:
    """A rule for a value, in words and as a test. Null always passes; every entry of a list must obey it.

    With ``is_of_list``, the list as a whole must obey it.
    """

    words: str
    holds: Callable[[Any], bool]
    is_of_list: bool = False


def one_of(*choices: object) -> Rule:
    """Return the rule of a value that is one of a few words or numbers."""
    return Rule("one of " + ", ".join(str(choice).lower() for choice in choices), lambda value: value in choices)


AT_LEAST_ONE = Rule("at least 1", lambda value: value >= 1)
NOT_NEGATIVE = Rule("not negative", lambda value: value >= 0)
POSITIVE = Rule("above 0", lambda value: value > 0)
SHARE = Rule("at least 0 and below 1", lambda value: 0 <= value < 1)
SEED = Rule("from 0 to 4294967295", lambda value: 0 <= value < 2**32)  # the bound of numpy and Optuna
DEVICES = Rule("auto, or a number from 1 on", lambda value: value == "auto" or (isinstance(value, int) and value >= 1))
PART = Rule(
    "a share above 0 and below 1, or a whole number of patients",
    lambda value: 0 < value < 1 or (value >= 1 and value == int(value)),
)
DURATION = Rule(
    "days:hours:minutes:seconds such as 00:00:10:00, and above 0",
    lambda value: re.fullmatch(r"\d+:\d\d:\d\d:\d\d", value) is not None and re.search("[1-9]", value) is not None,
)

MODALITIES = ("ct", "mr", "pet", "picture")
MODALITY = Rule(
    f"one of {', '.join(MODALITIES)}, or a list of one for each channel",
    lambda value: set([value] if isinstance(value, str) else value) <= set(MODALITIES),
    is_of_list=True,
)


def _is_window(value: object) -> bool:
    return value == "auto" or (isinstance(value, list) and all(map(_is_number, cast(list[object], value))))


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_scale(value: object) -> bool:
    """Return whether ``value`` has the form of ``aunet.data.preprocessing.intensity_scale.IntensityScale.as_facts``."""
    if not isinstance(value, dict) or set(scale := cast(Plain, value)) != {"window", "mean", "sd"}:
        return False
    is_pair = isinstance(scale["window"], list) and len(cast(list[object], scale["window"])) == 2
    return is_pair and all(map(_is_number, [*scale["window"], scale["mean"], scale["sd"]])) and scale["sd"] > 0


def _are_weights(value: object) -> bool:
    weights = list(cast(Plain, value).values()) if isinstance(value, dict) else value
    return isinstance(weights, list) and all(_is_number(weight) and weight >= 0 for weight in cast(list[Any], weights))


WEIGHTS = Rule("null, [a weight of each class], or {class: weight}, none negative", _are_weights, is_of_list=True)
WINDOW = Rule("auto, null, or [lowest, highest] in HU", _is_window, is_of_list=True)
REGION = Rule("a list of numbers", lambda value: isinstance(value, list) and all(map(_is_count, cast(Plain, value))))
SCALE = Rule("null, or window: [lowest, highest], mean and sd in HU", _is_scale)


def _are_axes(value: object) -> bool:
    axes = cast(list[object], value) if isinstance(value, list) else []
    return value == "auto" or (isinstance(value, list) and all(type(axis) is int and 0 <= axis <= 2 for axis in axes))


FLIPS = Rule("auto, or a list of axes: 0 right-left, 1 back-front, 2 feet-head", _are_axes, is_of_list=True)


def required(rule: Rule | None = None) -> Any:
    """Return the field of a key that the YAML files must set, obeying ``rule``."""
    return field(default=MISSING, metadata={} if rule is None else {"rule": rule})


def _is_count(value: object) -> bool:
    return isinstance(value, int) and value >= 0


@dataclass
class DatasetFacts:
    """Facts that are known only once the data have been read."""

    in_channels: int = required(AT_LEAST_ONE)
    num_classes: int = required(Rule("at least 2 (the background counts)", lambda value: value >= 2))
    class_names: list[str] = required()
    modality: str = required(one_of(*MODALITIES, "mixed"))
    # For data.target_regions: of each region the class numbers that make it up; null for exclusive classes.
    regions: list[Any] | None = required(REGION)
    # Of each channel; null means that all have ``modality``.
    modalities: list[str] | None = required(one_of(*MODALITIES))
    # Of each channel, for data.window=auto: window, mean and sd in HU, or null.
    intensities: list[Any] | None = required(SCALE)
    spatial_dims: int = required(one_of(2, 3))
    spacing: list[float] = required(POSITIVE)
    patch_size: list[int] = required(AT_LEAST_ONE)
    batch_size: int = required(AT_LEAST_ONE)

    @property
    def labels(self) -> Labels:
        """Return the classes."""
        return Labels(tuple(self.class_names), tuple(tuple(values) for values in self.regions or ()))


@dataclass
class SplitConfig:
    """Sizes of the splits in patients: shares below 1, numbers from 1. See ``aunet.data.cohort.splits``."""

    train: float | None = required(PART)
    val: float = required(PART)
    test: float = required(PART)
    seed: int = required(SEED)
    folds: int = required(Rule("at least 2", lambda value: value >= 2))
    group: str | None = required()
    stratify: bool = required()
    file: str | None = required()


@dataclass
class DataConfig:
    """Scans, their grid and their patches. ``scans`` and ``phantom`` are the recipes to choose from."""

    name: str = required()
    root: str | None = required()
    cache: str = required()
    recipe: str = required(one_of("scans", "phantom"))
    source: TargetNode = required()
    classes: Plain | None = required()
    target_regions: Plain | None = required()
    other_labels: str = required(one_of("error", "background"))
    cases: str | None = required()
    on_error: str = required(one_of("stop", "skip"))
    fixes: str | None = required()
    test_on: list[str] | None = required()
    scans: Plain = field(default_factory=Plain)
    phantom: Plain = field(default_factory=Plain)
    spacing: list[float] | None = required(POSITIVE)
    resampling: str = required(one_of("area", "linear"))
    region: str | None = required()
    region_margin_mm: float = required(NOT_NEGATIVE)
    region_classes: list[str] | None = required()
    modality: Any = required(MODALITY)
    window: Any = required(WINDOW)
    patch_size: list[int] | None = required(AT_LEAST_ONE)
    batch_size: int | None = required(AT_LEAST_ONE)
    batches_per_epoch: int = required(AT_LEAST_ONE)
    max_epochs: int = required(AT_LEAST_ONE)
    sampling: str = required(one_of("balanced", "uniform"))
    num_workers: int | str = required(Rule("auto or not negative", lambda value: value == "auto" or _is_count(value)))
    split: SplitConfig = field(default_factory=SplitConfig)
    fold: int | None = required(NOT_NEGATIVE)
    augmentation: TargetNode = required()


@dataclass
class ModelConfig:
    """The network. ``size_multiple`` must divide each side of its input; for networks that do not state their own."""

    name: str = required()
    size_multiple: int | None = required(AT_LEAST_ONE)
    network: TargetNode = required()


@dataclass
class LossConfig:
    """The loss. ``level_reduction`` combines the losses of deeply supervised levels."""

    name: str = required()
    function: TargetNode = required()
    # Of all classes, or class -> weight of some.
    class_weights: Any = field(default=None, metadata={"rule": WEIGHTS})
    level_reduction: str = field(default="mean", metadata={"rule": one_of("mean", "sum")})


@dataclass
class OptimizerConfig:
    """The optimizer and the schedule of its learning rate."""

    name: str = required()
    factory: TargetNode = required()
    schedule: TargetNode = required()


@dataclass
class TrainerConfig:
    """Duration, hardware and arithmetic of the training. ``max_time`` is DD:HH:MM:SS."""

    name: str = required()
    max_epochs: int = required(AT_LEAST_ONE)
    batches_per_epoch: int = required(AT_LEAST_ONE)
    max_time: str | None = required(DURATION)
    accelerator: str = required(one_of("auto", "cpu", "gpu", "cuda", "mps"))
    devices: int | str = required(DEVICES)
    precision: str = required(one_of("auto", "float32", "bf16", "fp16"))
    tf32: bool = required()
    compile: bool = required()
    deterministic: bool = required()
    ema: float | None = required(SHARE)
    channels_last: bool | str = required(one_of("auto", True, False))
    strategy: str = required(one_of("ddp", "fsdp"))
    sync_batchnorm: bool = required()
    gradient_clip: float | None = required(POSITIVE)
    accumulate: int = required(AT_LEAST_ONE)
    checkpoint_minutes: float | None = required(POSITIVE)
    patience: int | None = required(AT_LEAST_ONE)
    on_nonfinite: str = required(one_of("stop", "skip"))
    validate_every: int = required(AT_LEAST_ONE)
    freeze: list[str] = required()
    requeue: bool = required()
    probe: str | None = required(one_of("overfit", "lr_find", "profile"))
    callbacks: list[Any] = required()


@dataclass
class LoggerConfig:
    """The trackers that show the run, besides its own folder."""

    name: str | None = required()
    project: str = required()
    entity: str | None = required()
    group: str | None = required()
    tags: list[str] = required()
    media_mib: float = required(NOT_NEGATIVE)
    checkpoints: str = required(one_of("none", "best"))
    trackers: Plain = required()


@dataclass
class AttentionConfig:
    """The recording of the attention coefficients."""

    cases: int = required(NOT_NEGATIVE)
    max_epochs_kept: int = required(AT_LEAST_ONE)


@dataclass
class InferenceConfig:
    """The prediction of whole cases; see ``aunet.inference.inferers``."""

    inferer: str = required(one_of("sliding_window", "whole_volume", "tiled", "auto"))
    overlap: float = required(SHARE)
    window_batch: int = required(AT_LEAST_ONE)
    one_pass_voxels: int = required(NOT_NEGATIVE)
    tile_size: list[int] | None = required(AT_LEAST_ONE)
    halo: int | None = required(NOT_NEGATIVE)
    memory: float | None = required(POSITIVE)
    sums: str = required(one_of("float32", "float16"))
    skip_air: bool = required()
    engine: str | None = required(one_of("torch", "openvino", "onnxruntime", "auto"))
    flips: Any = required(FLIPS)
    postprocessing: list[Any] = required()
    choose_postprocessing: bool = required()


@dataclass
class RunConfig:
    """The configuration of one run."""

    data: DataConfig = field(default_factory=DataConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    loss: LossConfig = field(default_factory=LossConfig)
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    trainer: TrainerConfig = field(default_factory=TrainerConfig)
    logger: LoggerConfig = field(default_factory=LoggerConfig)
    attention: AttentionConfig = field(default_factory=AttentionConfig)
    inference: InferenceConfig = field(default_factory=InferenceConfig)
    dataset: DatasetFacts = field(default_factory=DatasetFacts)
    store_budget: float | None = required(POSITIVE)
    seed: int = required(SEED)
    resume: str | None = required()
    init: str | None = required()
    init_overlap: str = required(one_of("refuse", "allow"))
    trusted_modules: list[str] = field(default_factory=list[str])


def as_plain(config: RunConfig) -> Plain:
    """Return the whole configuration as plain containers, for ``config.yaml`` and trackers."""
    return asdict(config)
