"""Write the tables of docs/presets.md: the paper, the released code and our defaults, from the composed configurations.

Run python experiments/presets_table.py after a change of conf/; a test fails until it is run.

A row states for the paper and for the released code where its value comes from: [memory] recalled from the paper, not
checked against its text; [code] read in the released code; [run] measured by running it; "not stated" if the source is
silent, so that the value is our choice.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aunet.build.network import build_network
from aunet.config.composition import compose_config, resolve_config
from aunet.config.schema import RunConfig, as_plain

COLUMNS = {
    "paper": ["experiment=paper_ct150", "data.root=/scans"],
    "released code": ["experiment=released_ct150", "data.root=/scans"],
    "ours": ["data=ct150", "data.root=/scans"],
}
STUDIES = (
    "paper_ct150",
    "paper_ct150_few",
    "paper_ct82",
    "released_ct150",
    "released_ct150_few",
    "released_ct82",
)
MEMORY, CODE, RUN, SILENT = "[memory]", "[code]", "[run]", "(not stated)"
AXES = ("right-left", "back-front", "feet-head")
FILE = Path(__file__).resolve().parents[1] / "docs" / "presets.md"
BEGIN, END = "<!-- written by experiments/presets_table.py -->", "<!-- end of what it writes -->"


@dataclass(frozen=True)
class Row:
    """A setting: how to read it from a configuration, and the marks of the paper and of the released code."""

    title: str
    read: Callable[[RunConfig], str]
    paper: str
    released: str


def settings_of(words: list[str]) -> RunConfig:
    """Compose and resolve the run that ``words`` describe, for CT of one channel with the paper's classes."""
    config = compose_config(words)
    facts = {
        "in_channels": 1,
        "num_classes": 4,
        "class_names": ["background", "pancreas", "spleen", "kidney"],
        "modality": "ct",
        "spatial_dims": 3,
        "spacing": list(config.data.spacing),
        "patch_size": list(config.data.patch_size),
        "batch_size": config.data.batch_size,
    }
    return resolve_config(config, facts)


def network(settings: RunConfig) -> str:
    parameters = sum(parameter.numel() for parameter in build_network(settings).parameters())
    return f"{settings.model.name}, {parameters:,} parameters"


def loss(settings: RunConfig) -> str:
    """Return the name of the loss and of its class; only MONAI's have an argument for the background."""
    function = settings.loss.function
    is_included = function.get("include_background", True)
    background = "background included" if is_included else "background left out"
    return f"{settings.loss.name} ({function['_target_'].rpartition('.')[2]}), {background}"


def optimizer(settings: RunConfig) -> str:
    factory = settings.optimizer.factory
    name = factory["_target_"].rpartition(".")[2]
    nesterov = "Nesterov " if factory.get("nesterov") else ""
    return f"{name}, {nesterov}momentum {factory['momentum']:g}" if "momentum" in factory else name


def schedule(settings: RunConfig) -> str:
    values = settings.optimizer.schedule
    name = values["_target_"].rpartition(".")[2]
    told = {
        "constant": "constant",
        "halving_every": f"halved every {values.get('epochs')} epochs",
        "polynomial": f"(1 - progress)^{values.get('power')}",
    }
    return told[name]


def warm_up(settings: RunConfig) -> str:
    share = settings.optimizer.schedule.get("warmup", 0.0)
    return f"first {share:.0%} of the steps" if share else "none"


def window(settings: RunConfig) -> str:
    bounds = settings.data.window
    if isinstance(bounds, list):
        return f"{bounds[0]:g} to {bounds[1]:g}"
    return "none" if bounds is None else "percentiles of the foreground"


def standardisation(settings: RunConfig) -> str:
    whose = "the foreground" if settings.data.window == "auto" else "each volume"
    return f"zero mean and unit variance of {whose}"


def sampling(settings: RunConfig) -> str:
    told = {"uniform": "anywhere in the volume", "balanced": "around a voxel of a class drawn evenly"}
    return told[settings.data.sampling]


def flips(settings: RunConfig) -> str:
    axes = augmentation("flip_axes")(settings)
    if isinstance(axes, list):
        return ", ".join(AXES[axis] for axis in axes) + ", p = 0.5 each"
    return "as the names of the classes allow, p = 0.5 each"


def augmentation(key: str, default: object = None) -> Callable[[RunConfig], Any]:
    return lambda settings: settings.data.augmentation.get(key, default)


def key(path: str) -> Callable[[RunConfig], Any]:
    """Read the value of a dotted key; null is none."""

    def read(settings: RunConfig) -> Any:
        value: Any = as_plain(settings)
        for part in path.split("."):
            value = value[part]
        return "none" if value is None else value

    return read


def by(path: str) -> Callable[[RunConfig], str]:
    """Read a list of numbers as ``160×160×96``."""
    return lambda settings: "×".join(f"{length:g}" for length in key(path)(settings))


def shown(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def patients(settings: RunConfig) -> str:
    split = settings.data.split
    train = "the others" if split.train is None else f"{split.train:g}"
    return f"{train} / {split.test:g}" if split.test >= 1 else f"{train} / {split.test:.0%}"


def plane(settings: RunConfig) -> str:
    told = {"axial": "the feet-head axis", "any": "all axes", "auto": "all axes, thick slices in their plane only"}
    return told[augmentation("rotation_plane")(settings)]


def scale(settings: RunConfig) -> str:
    most = augmentation("scale")(settings)
    return f"{1 - most:g} to {1 + most:g}"


def percent(path: str) -> Callable[[RunConfig], str]:
    return lambda settings: f"{key(path)(settings):.0%}"


ROWS = (
    Row("network", network, RUN, RUN),
    Row("patients to train / to test", patients, MEMORY, SILENT),
    Row("patients to validate, of those to train", percent("data.split.val"), SILENT, SILENT),
    Row("spacing (mm)", by("data.spacing"), MEMORY, MEMORY),
    Row("resampling", key("data.resampling"), SILENT, SILENT),
    Row("HU window", window, SILENT, SILENT),
    Row("intensities", standardisation, MEMORY, MEMORY),
    Row("patch (voxels)", by("data.patch_size"), MEMORY, CODE),
    Row("batch", key("data.batch_size"), f"(of 2 to 4) {MEMORY}", CODE),
    Row(
        "passes whose gradients are averaged",
        key("trainer.accumulate"),
        f"(several for large networks) {MEMORY}",
        SILENT,
    ),
    Row("place of a patch", sampling, MEMORY, SILENT),
    Row("largest rotation (degrees)", augmentation("rotation"), SILENT, CODE),
    Row("rotation about", plane, SILENT, CODE),
    Row("scale", scale, SILENT, CODE),
    Row("largest shift, of the patch", percent("data.augmentation.shift"), SILENT, CODE),
    Row("flips", flips, MEMORY, CODE),
    Row("loss", loss, MEMORY, CODE),
    Row("optimizer", optimizer, MEMORY, CODE),
    Row("learning rate", key("optimizer.factory.lr"), SILENT, CODE),
    Row("schedule", schedule, SILENT, CODE),
    Row("warm-up", warm_up, SILENT, SILENT),
    Row("weight decay", lambda settings: settings.optimizer.factory.get("weight_decay", 0.0), SILENT, CODE),
    Row("epochs", key("trainer.max_epochs"), SILENT, CODE),
    Row("batches an epoch", key("trainer.batches_per_epoch"), SILENT, CODE),
    Row("largest norm of the gradient", key("trainer.gradient_clip"), SILENT, SILENT),
    Row("precision", key("trainer.precision"), SILENT, SILENT),
    Row("TF32", lambda settings: "yes" if settings.trainer.tf32 else "no", SILENT, SILENT),
)


def comparison() -> list[str]:
    """Return the lines of the table of settings."""
    columns = [settings_of(words) for words in COLUMNS.values()]
    lines = [f"| | {' | '.join(COLUMNS)} |", "|---|---|---|---|"]
    for row in ROWS:
        paper, released, ours = (shown(row.read(settings)) for settings in columns)
        lines.append(f"| {row.title} | {paper} {row.paper} | {released} {row.released} | {ours} |")
    return lines


def studies() -> list[str]:
    """Return the lines of the table of experiments."""
    lines = ["| `experiment=` | train / test | batches an epoch | model |", "|---|---|---|---|"]
    for study in STUDIES:
        settings = settings_of([f"experiment={study}", "data.root=/scans"])
        batches, model = settings.trainer.batches_per_epoch, settings.model.name
        lines.append(f"| {study} | {patients(settings)} | {batches} | {model} |")
    return lines


def presets_page(page: str) -> str:
    """Return ``page``, the text of docs/presets.md, with its tables written anew."""
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    return before + "\n".join([BEGIN, "", *comparison(), "", *studies(), "", END]) + after


if __name__ == "__main__":
    FILE.write_text(presets_page(FILE.read_text(encoding="utf-8")), encoding="utf-8")
