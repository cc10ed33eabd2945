"""The root files agree with each other and with the package."""

import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

CONDA_NAMES = {"torch": "pytorch", "blosc2": "python-blosc2"}


@pytest.fixture(scope="module")
def pyproject(repository: Path) -> dict[str, Any]:
    return tomllib.loads((repository / "pyproject.toml").read_text())


def _requirements(pyproject: dict[str, Any], *extras: str) -> list[Requirement]:
    project = pyproject["project"]
    texts = [*project["dependencies"], *(text for extra in extras for text in project["optional-dependencies"][extra])]
    requirements = [Requirement(text) for text in texts]
    return [requirement for requirement in requirements if requirement.name != project["name"]]  # its own extras


def test_the_conda_environment_asks_for_what_pyproject_asks_for(repository: Path, pyproject: dict[str, Any]) -> None:
    entries = yaml.safe_load((repository / "environment.yml").read_text())["dependencies"]
    conda = {(entry.name, entry.specifier) for entry in map(Requirement, filter(_is_text, entries))}
    wanted = {(CONDA_NAMES.get(entry.name, entry.name), entry.specifier) for entry in _requirements(pyproject)}
    python = Requirement(f"python{pyproject['project']['requires-python']}")
    assert conda == wanted | {(python.name, python.specifier), ("pip", Requirement("pip").specifier)}
    assert entries[-1] == {"pip": ["-e ."]}


def test_constraints_pin_every_requirement_to_a_version_it_allows(repository: Path, pyproject: dict[str, Any]) -> None:
    pins = _pins(repository)
    for requirement in _requirements(pyproject, *pyproject["project"]["optional-dependencies"]):
        version = pins[canonicalize_name(requirement.name)]
        assert requirement.specifier.contains(version), f"{requirement} is pinned to {version}"


def test_constraints_name_no_build_and_no_place(repository: Path) -> None:
    for name, version in _pins(repository).items():
        assert re.fullmatch(r"[0-9][0-9a-z.]*", version), f"{name}=={version}"


def test_every_dependency_has_its_reason(repository: Path, pyproject: dict[str, Any]) -> None:
    lines = (repository / "pyproject.toml").read_text().splitlines()
    for requirement in _requirements(pyproject, *pyproject["project"]["optional-dependencies"]):
        [line] = [line for line in lines if line.strip().startswith((f'"{requirement.name}>', f'"{requirement.name}['))]
        assert re.search(r'",  # \w', line), line


def test_every_package_is_shipped(repository: Path, pyproject: dict[str, Any]) -> None:
    folders = {file.parent.relative_to(repository) for file in (repository / "aunet").rglob("__init__.py")}
    shipped = set(pyproject["tool"]["setuptools"]["packages"])
    assert shipped == {".".join(folder.parts) for folder in folders} | {"aunet.conf"}


@pytest.mark.parametrize(
    ("module", "absent"),
    [
        ("aunet", ("torch", "numpy", "hydra", "omegaconf", "pytorch_lightning", "monai", "wandb")),
        ("aunet.networks", ("hydra", "omegaconf", "pytorch_lightning", "monai", "wandb", "nibabel", "pandas")),
        ("aunet.config.composition", ("pytorch_lightning", "monai", "wandb", "nibabel", "pandas", "matplotlib")),
    ],
)
def test_an_import_loads_only_what_it_needs(module: str, absent: tuple[str, ...], repository: Path) -> None:
    program = f"import sys, {module}; loaded = set({absent}) & set(sys.modules); assert not loaded, loaded"
    process = subprocess.run(
        [sys.executable, "-c", program], cwd=repository, capture_output=True, text=True, timeout=60
    )
    assert process.returncode == 0, process.stderr


def test_asking_the_package_for_what_it_lacks_is_an_attribute_error() -> None:
    import aunet

    with pytest.raises(AttributeError, match="no_such_name"):
        aunet.__getattr__("no_such_name")


# A read of a section's key from a dictionary, and OmegaConf's own containers.
_SECTIONS = "data|model|loss|optimizer|trainer|logger|attention|inference|dataset"
_DICTIONARY = re.compile(
    rf"""(settings|config|values)\[['"]({_SECTIONS})['"]\]|\[['"]({_SECTIONS})['"]\]\[|omegaconf|DictConfig"""
)


def test_the_configuration_is_read_by_its_typed_sections_outside_its_package(repository: Path) -> None:
    """``RunFolder.read_config`` alone reads the plain file, of a run that may be older than a section."""
    found = [
        f"{file.relative_to(repository)}:{number}: {line.strip()}"
        for file in sorted((repository / "aunet").rglob("*.py"))
        if file.parent.name != "config"
        for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), start=1)
        if _DICTIONARY.search(line) and "read_config()" not in line
    ]
    assert not found, "\n".join(found)


def test_make_names_its_targets_without_touching_anything(repository: Path, tmp_path: Path) -> None:
    commands = _dry_run(repository, tmp_path, "train", "ARGS=trainer=smoke seed=1")
    assert "python train.py model=attention data=ct150 trainer=smoke seed=1" in commands
    assert commands.index("-m venv") < commands.index("pip install") < commands.index("python train.py")
    assert commands.count("pip install") == 1
    assert not list(tmp_path.iterdir())


def test_make_installs_nothing_when_nothing_changed(repository: Path, tmp_path: Path) -> None:
    (tmp_path / "venv" / "bin").mkdir(parents=True)
    for stamp in ("bin/python", ".installed", ".installed-dev"):
        (tmp_path / "venv" / stamp).touch()
    for target in ("train", "test", "test-slow", "check", "docs"):
        commands = _dry_run(repository, tmp_path, target)
        assert "pip install" not in commands
        assert "-m venv" not in commands


def test_make_reports_that_no_python_fits(repository: Path, tmp_path: Path) -> None:
    words = ["make", "train", f"VENV={tmp_path / 'venv'}", "PYTHON=no-such-python"]
    process = subprocess.run(words, cwd=repository, capture_output=True, text=True, timeout=60)
    assert process.returncode == 2
    assert "as PYTHON=no-such-python" in process.stderr
    assert not (tmp_path / "venv").exists()


@pytest.mark.slow
def test_a_wheel_brings_its_configuration(repository: Path, tmp_path: Path) -> None:
    source = tmp_path / "source"
    ignored = shutil.ignore_patterns("__pycache__", "*.egg-info")
    for folder in ("aunet", "conf"):
        shutil.copytree(repository / folder, source / folder, ignore=ignored)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(repository / name, source / name)
    words = ["pip", "wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", tmp_path, source]
    subprocess.run([sys.executable, "-m", *map(str, words)], check=True, capture_output=True, timeout=300)
    [wheel] = tmp_path.glob("*.whl")
    installed = tmp_path / "installed"
    zipfile.ZipFile(wheel).extractall(installed)
    options = {file.relative_to(repository / "conf") for file in (repository / "conf").rglob("*.yaml")}
    assert options == {
        file.relative_to(installed / "aunet" / "conf") for file in (installed / "aunet" / "conf").rglob("*.yaml")
    }
    templates = {file.name for file in (repository / "aunet" / "reporting" / "templates").iterdir()}
    assert {file.name for file in (installed / "aunet" / "reporting" / "templates").iterdir()} == templates
    assert "report.html" in templates
    program = "from aunet.config.composition import compose_config; print(compose_config(['model=unet']).model.name)"
    process = subprocess.run(
        [sys.executable, "-c", program], cwd=installed, capture_output=True, text=True, check=True, timeout=120
    )
    assert process.stdout == "unet\n"


@pytest.mark.slow
def test_a_source_distribution_brings_every_file_and_its_tests(repository: Path, tmp_path: Path) -> None:
    ignored = shutil.ignore_patterns("__pycache__", "*.egg-info")
    for folder in ("aunet", "conf", "docs", "experiments", "tests"):
        shutil.copytree(repository / folder, tmp_path / "source" / folder, ignore=ignored)
    for file in repository.glob("[!.]*"):
        if file.is_file():
            shutil.copy(file, tmp_path / "source")
    wanted = {str(file.relative_to(tmp_path / "source")) for file in (tmp_path / "source").rglob("*") if file.is_file()}
    program = "import sys; from setuptools import build_meta; build_meta.build_sdist(sys.argv[1])"
    words = [sys.executable, "-c", program, str(tmp_path)]
    subprocess.run(words, cwd=tmp_path / "source", check=True, capture_output=True, timeout=300)
    [archive] = tmp_path.glob("*.tar.gz")
    with tarfile.open(archive) as packed:
        found = {name.partition("/")[2] for name in packed.getnames()}
    assert {"tests/test_house.py", "train.py", "docs/README.md"} <= wanted <= found


def _is_text(entry: object) -> bool:
    return isinstance(entry, str)


def _pins(repository: Path) -> dict[str, str]:
    lines = (repository / "constraints.txt").read_text().splitlines()
    pairs = (line.split("==") for line in lines if not line.startswith("#"))
    return {canonicalize_name(name): version for name, version in pairs}


def _dry_run(repository: Path, folder: Path, target: str, *variables: str) -> str:
    words = ["make", "--dry-run", target, f"VENV={folder / 'venv'}", *variables]
    return subprocess.run(words, cwd=repository, capture_output=True, text=True, check=True, timeout=60).stdout
