"""Settings and command lines of any kind end in one message: no traceback, no hang, nothing executed or trained.

AUNET_FUZZ_WORDS sets the number of command lines of each test, AUNET_FUZZ_SEED their seed.
"""

import io
import logging
import os
import random
from collections.abc import Generator, Sequence
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from aunet.commands.main import main
from aunet.config.draft import compose_draft
from aunet.config.validation import list_known_keys
from aunet.config.words import for_hydra, parse_word, path_of, quote, unquote
from aunet.errors import UserError
from tests.fuzz.mutations import odd_text
from tests.fuzz.watch import watched

WORDS = int(os.environ.get("AUNET_FUZZ_WORDS", "300"))
SEED = int(os.environ.get("AUNET_FUZZ_SEED", "0"))
RUN = str(Path(__file__).resolve().parents[1] / "fixtures" / "old_run" / "unet")
GROUPS = ("model", "data", "trainer", "optimizer", "loss", "logger", "experiment", "hydra/launcher")

odd = st.integers(0, 2**32).map(lambda number: odd_text(random.Random(number)))
plain = st.one_of(
    st.integers().map(str),
    st.floats().map(str),
    st.sampled_from(["null", "true", "auto", "[]", "{}", "unet", "attention", "ct150", "[1,2,3]", "1e-3", "0", "-1"]),
    st.sampled_from(
        ["[" * 500, "{a:" * 300, "${seed}", "${oc.env:HOME}", "a,b", "choice(1,2)", "range(1,3)", "glob(*)"]
    ),
    st.sampled_from(["{_target_: os.system, command: ls}", "{_target_: planted.Planted}", "os.system", "../..", RUN]),
)
values = st.one_of(
    plain,
    odd,
    st.text(max_size=12),
    st.lists(plain, max_size=3).map(lambda parts: f"[{','.join(parts)}]"),
    st.dictionaries(st.sampled_from(["a", "b c", "_target_", "1"]), plain, max_size=3).map(
        lambda parts: "{" + ",".join(f"{key}: {value}" for key, value in parts.items()) + "}"
    ),
)
keys = st.one_of(
    st.sampled_from(sorted(list_known_keys())), st.sampled_from(GROUPS), odd, st.text(max_size=8), st.just("_target_")
)
words = st.builds(
    lambda sign, key, equal, value: f"{sign}{key}{equal}{value}",
    st.sampled_from(["", "", "", "+", "++", "~"]),
    keys,
    st.sampled_from(["=", "=", "=", "", "@", "=="]),
    values,
)
options = st.sampled_from(
    [
        *("--help", "--json", "--info", "--cfg", "job", "-m", "--jobs", "2", "--trust", "planted", "--output", "out"),
        *(
            "--config-dir",
            "conf",
            "--overwrite",
            "--classes",
            "spleen=1",
            "--device",
            "cpu",
            "--",
            "-",
            RUN,
            "scan.nii",
        ),
        *("--metrics", "dice", "--allow-differences", "--fix", "--verify", "--no-such", "", "\0", "é"),
    ]
)
COMMANDS = ("train", "search", "info", "doctor", "prepare", "runs", "predict", "evaluate", "compare", "probe", "none")

quickly = settings(
    max_examples=WORDS,
    deadline=None,
    database=None,
    phases=[Phase.generate, Phase.shrink],
    suppress_health_check=list(HealthCheck),
)


def _draw_nothing(*arguments: object) -> None:
    raise UserError("no phantoms are drawn here")


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Generator[Path]:
    """Work in an empty folder in which a module lies that must not be imported; start no work."""
    (tmp_path / "planted.py").write_text("raise SystemExit('imported')\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr("sys.stdin", io.StringIO())  # pytest refuses to read its own
    for work in ("pipeline.run.start_run", "pipeline.costs.print_costs", "commands.sweep.run_sweep"):
        monkeypatch.setattr(f"aunet.{work}", lambda *arguments: None)
    monkeypatch.setattr("aunet.data.sources.phantom.drawn_files._write_all", _draw_nothing)
    logging.disable(logging.CRITICAL)
    yield tmp_path
    logging.disable(logging.NOTSET)


@pytest.mark.slow
@pytest.mark.timeout(0)
def test_any_text_is_parsed_and_quoting_is_undone(place: Path) -> None:
    @seed(SEED)
    @settings(quickly, max_examples=10 * WORDS)
    @given(st.one_of(st.text(), odd, words))
    def check(text: str) -> None:
        with watched(place):
            assert unquote(quote(text)) == text
            parse_word(text)
            for_hydra(text)
            with suppress(UserError):  # a home folder that nobody has
                path_of(text)

    check()


@pytest.mark.slow
@pytest.mark.timeout(0)
def test_any_settings_are_composed_or_refused(place: Path) -> None:
    @seed(SEED)
    @quickly
    @given(st.lists(words, max_size=4))
    def check(overrides: Sequence[str]) -> None:
        with watched(place), suppress(UserError):
            compose_draft(overrides)

    check()


@pytest.mark.slow
@pytest.mark.timeout(0)
@pytest.mark.parametrize("command", COMMANDS)
def test_any_command_line_ends_with_a_status(command: str, place: Path, capfd: pytest.CaptureFixture[str]) -> None:
    @seed(SEED)
    @settings(quickly, max_examples=max(1, WORDS // 3))
    @given(st.lists(st.one_of(options, words), max_size=5))
    def check(line: Sequence[str]) -> None:
        with watched(place):
            status = main([command, *line])
        assert status in (0, 2)
        assert "Traceback" not in capfd.readouterr().err

    check()
