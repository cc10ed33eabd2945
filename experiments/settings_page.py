"""Write the tables of docs/settings.md: every key with its default, type, rule and meaning, and every option.

Run python experiments/settings_page.py after a change of conf/ or of aunet/config/schema.py; a test fails until it is
run. Defaults and meanings are read in conf/: the meaning of a key is the comment directly above it. Types and rules are
the schema's.
"""

import dataclasses
import re
import types
import typing
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from aunet.config.schema import RunConfig

ROOT = Path(__file__).resolve().parents[1]
CONF, FILE = ROOT / "conf", ROOT / "docs" / "settings.md"
BEGIN, END = "<!-- written by experiments/settings_page.py -->", "<!-- end of what it writes -->"


@dataclass(frozen=True)
class Section:
    """A table of keys: its title, and the files that set and explain them, each with the prefix of its keys."""

    title: str
    files: Mapping[str, str]


SECTIONS = (
    Section("The run", {"train.yaml": ""}),
    Section("The data (every dataset)", {"data/parts/scans.yaml": "data."}),
    Section("The split", {"data/split/default.yaml": "data."}),
    Section("Augmentation (data/augmentation=paper)", {"data/augmentation/paper.yaml": "data.augmentation."}),
    Section("data=ct150", {"data/ct150.yaml": "data."}),
    Section(
        "The model (model=attention)",
        {
            "model/unet.yaml": "model.",
            "model/attention.yaml": "model.",
            "model/gate/additive.yaml": "model.network.gate.",
            "model/block/plain.yaml": "model.network.block.",
        },
    ),
    Section("The loss (loss=dice_ce)", {"loss/dice_ce.yaml": "loss."}),
    Section("The optimizer (optimizer=adamw)", {"optimizer/adamw.yaml": "optimizer."}),
    Section("The trainer", {"trainer/default.yaml": "trainer."}),
    Section("The trackers", {"logger/default.yaml": "logger."}),
    Section("The recording of attention", {"attention/default.yaml": "attention."}),
    Section("The prediction of whole cases", {"inference/default.yaml": "inference."}),
    Section(
        "Jobs on a cluster (hydra/launcher=submitit_slurm)", {"hydra/launcher/submitit_slurm.yaml": "hydra.launcher."}
    ),
)
NAME = "Name of the option; tables and folders of runs show it."
# Keys that only compose the configuration or name what is built; the guides of docs/ explain them.
UNLISTED = ("defaults", "_target_", "_partial_")
TYPE_NAMES = {str: "text", int: "whole number", float: "number", bool: "true or false", dict: "mapping", Any: ""}


@dataclass(frozen=True)
class Key:
    """A key as a YAML file shows it."""

    name: str
    default: object
    meaning: str


def documented_keys(text: str, prefix: str = "") -> Iterator[Key]:
    """Yield the keys of a YAML file that hold values, each with the comment directly above it."""
    content, comment, path = yaml.safe_load(text), list[str](), list[tuple[int, str]]()
    is_top = True  # the comment at the top of a file is about the file, so not about a key "name" below it
    for line in text.splitlines():
        stripped = line.strip()
        if stripped.startswith("#"):
            comment.append(stripped.lstrip("# "))
        elif match := re.match(r"( *)(\w+):(.*)", line):
            indent, name, value = len(match[1]), match[2], match[3].strip()
            path = [*(part for part in path if part[0] < indent), (indent, name)]
            keys = [key for _, key in path]
            if value and not set(keys) & {*UNLISTED, "hydra"}:
                meaning = NAME if name == "name" and (is_top or not comment) else " ".join(comment)
                yield Key(prefix + ".".join(keys), _value(content, keys), meaning)
            comment, is_top = [], False
        else:
            comment, is_top = [], False


def _value(content: Any, keys: list[str]) -> object:
    for key in keys:
        content = content[key]
    return content


def schema_fields(section: type = RunConfig, prefix: str = "") -> Iterator[tuple[str, Any, str]]:
    """Yield dotted key, type and rule in words (empty without one) of each key of the schema."""
    hints = typing.get_type_hints(section)
    for field in dataclasses.fields(section):
        kind = hints[field.name]
        if isinstance(kind, type) and dataclasses.is_dataclass(kind):
            yield from schema_fields(kind, f"{prefix}{field.name}.")
        else:
            rule = field.metadata.get("rule")
            yield prefix + field.name, kind, rule.words if rule else ""


def type_name(kind: Any) -> str:
    """Return a type in plain words, such as "list of numbers or null"."""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin in (typing.Union, types.UnionType):
        names = [type_name(argument) for argument in arguments if argument is not type(None)]
        return " or ".join([*names, *(["null"] if type(None) in arguments else [])])
    if origin is typing.Literal:
        return "text"
    if origin is list:
        [entry] = arguments
        return "list" if entry is Any else f"list of {type_name(entry)}s".replace("texts", "text")
    return TYPE_NAMES.get(origin or kind, "mapping")


def _shown(value: object) -> str:
    """Return a default as it is written on the command line; a value taken from another key names that key."""
    if value == "???":
        return "known once the data are read"
    if isinstance(value, str) and (match := re.fullmatch(r"\$\{([\w.]+)\}", value)):
        return f"`{match[1]}`"
    flow = yaml.safe_dump(value, default_flow_style=True, sort_keys=False, width=1000).splitlines()[0]
    flow = flow.replace(", ", ",") if isinstance(value, list) else flow
    return f"`{value:g}`" if isinstance(value, float) else f"`{flow}`"


def _value_type(value: object) -> str:
    """Return the type of a value that the schema leaves open; empty if the value does not show it."""
    if value is None or (isinstance(value, str) and "${" in value):
        return ""
    if isinstance(value, list) and value:
        return f"list of {TYPE_NAMES[type(value[0])]}s"
    return "list" if isinstance(value, list) else TYPE_NAMES[type(value)]


def _row(key: Key, schema: Mapping[str, tuple[str, str]]) -> str:
    if not key.meaning:
        raise SystemExit(f"conf/: {key.name} has no comment directly above it; write its meaning there.")
    kind, rule = schema.get(key.name, (_value_type(key.default), ""))
    cells = (f"`{key.name}`", _shown(key.default), kind, rule, key.meaning)
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def key_tables() -> list[str]:
    """Return the lines of a table for each section."""
    schema = {name: (type_name(kind), rule) for name, kind, rule in schema_fields()}
    lines, listed = list[str](), set[str]()
    for section in SECTIONS:
        keys: dict[str, Key] = {}
        for file, prefix in section.files.items():
            for key in documented_keys((CONF / file).read_text(encoding="utf-8"), prefix):
                earlier = keys.get(key.name)
                keys[key.name] = Key(key.name, key.default, key.meaning or (earlier.meaning if earlier else ""))
        new = [key for key in keys.values() if key.name not in listed]
        listed |= set(keys)
        lines += [f"### {section.title}", "", "| key | default | type | rule | meaning |", "|---|---|---|---|---|"]
        lines += [*(_row(key, schema) for key in new), ""]
    groups = {name.rpartition(".")[0] for name in listed}
    if missing := [name for name in schema if name not in listed and name not in groups]:
        raise SystemExit(f"No YAML file of SECTIONS sets {', '.join(missing)}; set and explain each in conf/.")
    return lines


def option_tables() -> list[str]:
    """Return the lines of a table of the options of each group, with the comment at the top of each file."""
    lines = list[str]()
    folders = sorted({file.parent for file in CONF.rglob("*.yaml")} - {CONF})
    for folder in folders:
        group = folder.relative_to(CONF).as_posix()
        if folder.name != "parts":
            lines += [f"### {group}=", "", "| option | purpose |", "|---|---|"]
            lines += [f"| `{file.stem}` | {purpose(file)} |" for file in sorted(folder.glob("*.yaml"))]
            lines.append("")
    return lines


def purpose(file: Path) -> str:
    """Return the first comment of a YAML file as one line."""
    lines = [line for line in file.read_text(encoding="utf-8").splitlines() if not line.startswith("# @package")]
    count = next(index for index, line in enumerate(lines) if not line.startswith("#"))
    if not count:
        raise SystemExit(f"{file}: no comment at the top; write there what the option is for.")
    return " ".join(line.lstrip("# ") for line in lines[:count]).replace("|", "\\|").replace("*", "\\*")


def settings_page(page: str) -> str:
    """Return ``page``, the text of docs/settings.md, with its tables written anew."""
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    tables = ["## Every key", "", *key_tables(), "## Every option", "", *option_tables()]
    return before + "\n".join([BEGIN, "", *tables, END]) + after


if __name__ == "__main__":
    FILE.write_text(settings_page(FILE.read_text(encoding="utf-8")), encoding="utf-8")
