"""The generated tables of settings and metrics show every key, option and metric as they are."""

import importlib.util
from pathlib import Path
from types import ModuleType

from omegaconf import DictConfig, OmegaConf

from aunet.config.composition import compose_config


def generator(repository: Path, name: str) -> ModuleType:
    """Return a module of experiments/, which is not a package."""
    spec = importlib.util.spec_from_file_location(name, repository / "experiments" / f"{name}.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_of_settings_is_current(repository: Path) -> None:
    page = (repository / "docs" / "settings.md").read_text(encoding="utf-8")
    assert page == generator(repository, "settings_page").settings_page(page), "run make docs"


def test_the_table_of_metrics_is_current(repository: Path) -> None:
    page = (repository / "docs" / "statistics.md").read_text(encoding="utf-8")
    assert page == generator(repository, "metrics_table").statistics_page(page), "run make docs"


def test_every_key_of_a_default_run_is_on_the_page(repository: Path) -> None:
    page = (repository / "docs" / "settings.md").read_text(encoding="utf-8")
    keys = [key for key in leaves(compose_config([])) if not key.startswith("hydra.")]
    missing = [key for key in keys if f"| `{key}` |" not in page]
    assert not missing


def test_every_option_is_on_the_page(repository: Path) -> None:
    page = (repository / "docs" / "settings.md").read_text(encoding="utf-8")
    options = [file for file in (repository / "conf").glob("*/**/*.yaml") if file.parent.name != "parts"]
    assert not [file for file in options if f"| `{file.stem}` |" not in page]


def leaves(config: DictConfig, prefix: str = "") -> list[str]:
    """Return the dotted keys of values, with a mapping written in one line of YAML counted as one value."""
    in_one_line = {"data.phantom.organs", "data.classes", "data.source.classes", "data.source.organs"}
    found: list[str] = []
    for name in config:
        key = f"{prefix}{name}"
        is_reference = OmegaConf.is_interpolation(config, name) or OmegaConf.is_missing(config, name)
        if not is_reference and isinstance(config[name], DictConfig) and key not in in_one_line:
            found += leaves(config[name], f"{key}.")
        elif name not in ("_target_", "_partial_"):
            found.append(key)
    return found


def test_the_page_of_licences_names_every_pinned_package(repository: Path) -> None:
    page = (repository / "docs" / "licences.md").read_text(encoding="utf-8")
    pinned = generator(repository, "licences_page").pins()
    assert [line.split("`")[1] for line in page.splitlines() if line.startswith("| `")] == list(pinned)
