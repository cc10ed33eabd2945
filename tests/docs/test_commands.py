"""Every command, file and piece of code that the README and docs/ show works as it is written."""

import argparse
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Generator
from pathlib import Path

import pytest

from aunet.commands.main import _parser, main
from aunet.config import composition
from aunet.config.composition import compose_config, split_sweep
from tests.docs.pages import LANGUAGES, Block, blocks_of, pages, placed, shortened, write_files, write_scans

PAGES = [pytest.param(page, id=page.name) for page in pages()]
HYDRA_COMMANDS = ("train", "info", "doctor", "prepare", "search")
# Options of those commands, with the number of words that follow each.
# Their options are not looked up.
OTHER_PROGRAMS = ("docker ", "pip ")
OPTIONS = {
    "-m": 0,
    "--jobs": 1,
    "--trials": 1,
    "--cfg": 0,
    "--info": 0,
    "--fix": 0,
    "--output": 1,
    "--verify": 0,
    "--config-dir": 1,
    "--trust": 1,
}
# Keys that the schema leaves to a constructor, a source or Hydra.
FREE_KEYS = ("data.source.", "model.network.", "hydra.", "loss.function.")
# Programs of others, whose words are not ours to check.
OTHERS = ("git", "cd", "source", "wandb", "tensorboard")


def aunet_words(words: list[str]) -> list[str] | None:
    """Return the words after ``aunet`` of a command; None for other programs."""
    if words[:2] == ["python", "train.py"]:
        return ["train", *words[2:]]
    if words[0] == "torchrun":
        return words[words.index("aunet.commands.main") + 1 :]
    return words[1:] if words[0] == "aunet" else None


def overrides_of(words: list[str]) -> list[str]:
    """Return the Hydra overrides among the words after a command, with its options checked and left out."""
    overrides: list[str] = []
    rest = iter(words)
    for word in rest:
        if word.startswith("-"):
            for _ in range(OPTIONS[word]):
                next(rest)
        elif not word.startswith("extend="):  # a word of aunet train, which takes the run's own configuration
            overrides.append(word)
    return overrides


def check_accepted(words: list[str]) -> None:
    """Fail unless a command would be accepted: options by its parser, overrides by composing the configuration."""
    ours = aunet_words(words)
    if ours is None:
        check_other(words)
    elif ours[0] in HYDRA_COMMANDS:
        overrides = overrides_of(ours[1:])
        is_sweep = "-m" in ours
        for job in split_sweep(overrides) if is_sweep else [overrides]:
            if ours[0] == "search":
                from aunet.sweeps.search_space import read_search_space

                job = read_search_space(job).corners()[0]
            compose_config(job)
    else:
        assert isinstance(_parser().parse_args(ours), argparse.Namespace)


def check_other(words: list[str]) -> None:
    """Fail for a program that is not known, an extra that pyproject.toml lacks or a target that the Makefile lacks."""
    root = pages()[0].parent
    if words[0] == "make":
        assert re.search(rf"^{words[1]}:", (root / "Makefile").read_text(), flags=re.MULTILINE), words
    elif is_exported_program(words):
        return
    elif words[:2] == ["pip", "install"]:
        extras = tomllib.loads((root / "pyproject.toml").read_text())["project"]["optional-dependencies"]
        assert all(re.fullmatch(r"aunet\[(\w+)\]", word)[1] in extras for word in words[2:]), words  # type: ignore[index]
    else:
        assert words[0] in OTHERS, words


def is_exported_program(words: list[str]) -> bool:
    """Return whether a command runs files that ``aunet export`` wrote."""
    return words[:3] == ["python", "-m", "monai.bundle"] or words[:2] == ["python", "exported/onnx/predict.py"]


@pytest.fixture
def page(request: pytest.FixtureRequest) -> Path:
    return request.param


@pytest.fixture
def folder(page: Path, tmp_path: Path, repository: Path, monkeypatch: pytest.MonkeyPatch) -> Generator[Path]:
    """Return a working folder; if the page shows files, they are in it, and ``conf/``, which commands then use."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", f"{repository}:{tmp_path}")  # of the processes that sweeps start
    if not any(block.file for block in blocks_of(page)):
        yield tmp_path
        return
    shutil.copytree(repository / "conf", tmp_path / "conf")
    write_files(page, tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    loader = composition._config_loader
    monkeypatch.setattr(composition, "_config_loader", lambda folder, own=(): loader(folder or tmp_path / "conf", own))
    modules = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - modules:
        if str(tmp_path) in str(getattr(sys.modules[name], "__file__", "")):
            del sys.modules[name]


@pytest.mark.parametrize("page", PAGES)
def test_every_block_of_a_page_names_its_language(page: Path) -> None:
    unknown = [f"{page.name}:{block.line}" for block in blocks_of(page) if block.language not in LANGUAGES]
    assert not unknown


@pytest.mark.parametrize("page", PAGES, indirect=True)
def test_every_command_of_a_page_is_accepted(page: Path, folder: Path) -> None:
    for block in blocks_of(page):
        for words in block.commands() if block.language == "sh" else []:
            check_accepted(words)


@pytest.mark.parametrize("page", PAGES)
def test_every_link_of_a_page_leads_to_a_file_and_a_heading(page: Path) -> None:
    links = re.findall(r"\]\(([^)#:]*)(?:#([^)]*))?\)", page.read_text(encoding="utf-8"))
    places = [(page.parent / name if name else page, heading) for name, heading in links]
    missing = [place for place, _ in places if not place.exists()]
    assert not missing
    assert not [heading for place, heading in places if heading and heading not in anchors(place)]


def anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings, as GitHub makes them."""
    titles = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", PAGES)
def test_the_keys_and_options_in_the_text_of_a_page_exist(page: Path, repository: Path) -> None:
    """Keys such as `trainer.max_epochs=50` and options such as `--overwrite`, between backticks."""
    settings = (repository / "docs" / "settings.md").read_text(encoding="utf-8")
    text = re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    spans = re.findall(r"(?<!`)`([^`\n]+)`", text)
    keys = {key for span in spans for key in re.findall(r"(?<![\w./-])([a-z_]+(?:\.[a-z_]+)+)=", span)}
    unknown = [key for key in keys if f"| `{key}` |" not in settings and not key.startswith(FREE_KEYS)]
    ours = [span for span in spans if not span.startswith(OTHER_PROGRAMS)]
    options = {option for span in ours for option in re.findall(r"(?<![\w-])--[a-z][a-z-]*", span)}
    assert not unknown
    assert options <= known_options()


def known_options() -> set[str]:
    """Return the options of every command of aunet."""
    subparsers = [action for action in _parser()._actions if isinstance(action, argparse._SubParsersAction)]
    parsers = [parser for action in subparsers for parser in action.choices.values()]
    return {option for parser in [_parser(), *parsers] for option in parser._option_string_actions} | set(OPTIONS)


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.usefixtures("without_drawing")
@pytest.mark.parametrize("page", PAGES, indirect=True)
def test_the_commands_and_the_code_of_a_page_run_one_after_the_other(page: Path, folder: Path) -> None:
    names: dict[str, object] = {}
    for block in blocks_of(page):
        if block.language == "sh":
            for words in block.commands():
                run(words, folder, f"{page.name}:{block.line}")
        elif block.language == "python" and not block.file and not block.is_excerpt:
            exec(compile(placed_code(block, folder), f"{page.name}:{block.line}", "exec"), names)


def placed_code(block: Block, folder: Path) -> str:
    return block.text.replace("/scans/", f"{folder}/scans/")


def run(words: list[str], folder: Path, place: str) -> None:
    """Run a command of aunet in ``folder`` on miniature scans, with settings that make it short."""
    ours = aunet_words(words)
    if is_exported_program(words):
        subprocess.run([sys.executable, *(placed(word, folder) for word in words[1:])], cwd=folder, check=True)
    if ours is None or words[0] == "torchrun":
        return
    write_scans(ours, folder / "scans")
    ours = [placed(word, folder) for word in ours]
    if ours[0] in HYDRA_COMMANDS:
        ours = shortened(ours, folder / "cache")
    if "--trials" in ours:
        ours[ours.index("--trials") + 1] = "2"
    assert main(ours) == 0, f"{place}: {' '.join(words)}"


@pytest.fixture
def without_drawing() -> Generator[None]:
    from blank_pictures import blank_pictures

    with blank_pictures():
        yield
