"""One grammar for the words of a command line: quotes, accents, commas and ~ mean the same wherever a word is read."""

from pathlib import Path

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser

from aunet.config.composition import compose_config, split_sweep
from aunet.config.draft import compose_draft
from aunet.config.overrides import parse_values
from aunet.config.words import (
    is_setting,
    key_of,
    last_value,
    names_dataset,
    parse_word,
    path_of,
    quote,
    unquote,
    without_keys,
)
from aunet.errors import UserError
from aunet.pipeline.configuration import configure_run
from aunet.pipeline.launch import words_of_ranks
from aunet.sweeps.job import resume_word

# Names of folders as people have them.
NAMES = (
    "plain",
    "Müller, Anna",
    "it's",
    'say "this"',
    "a=b",
    "(1) [2] {3}",
    "50 % & more; #1!",
    "back\\slash",
    "日本",
    "2024",
)
# How a user may write the value of a path, given the path.
FORMS = {
    "as it is": str,
    "in '": lambda path: quote(str(path)),
    'in "': lambda path: '"' + str(path).replace('"', '\\"') + '"',
}


# The others are in the slow tier.
QUICK = {("Müller, Anna", form) for form in FORMS} | {("it's", "in '"), ("a=b", "as it is"), ("back\\slash", 'in "')}
names_in_all_forms = pytest.mark.parametrize(
    ("name", "form"),
    [
        pytest.param(name, form, marks=() if (name, form) in QUICK else pytest.mark.slow)
        for name in NAMES
        for form in FORMS
    ],
)


@pytest.mark.parametrize("text", [*NAMES, "ends in \\", "\\'", "\\\\'", "${x}", "", "a\\\\"])
def test_a_quoted_text_means_itself_to_hydra_and_to_us(text: str) -> None:
    [override] = OverridesParser.create().parse_overrides([f"key={quote(text)}"])
    assert override.value() == text
    assert unquote(quote(text)) == text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("seed=1", ("", "seed", "1")),
        ("+model.network.dropout=0.1", ("+", "model.network.dropout", "0.1")),
        ("++a.b=c=d", ("++", "a.b", "c=d")),
        ("~trainer.max_time", ("~", "trainer.max_time", None)),
        ("model/gate=hard", ("", "model/gate", "hard")),
        ("resume=", ("", "resume", "")),
    ],
)
def test_a_word_is_its_sign_its_key_and_what_is_written(text: str, expected: tuple[str, str, str | None]) -> None:
    word = parse_word(text)
    assert (word.sign, word.key, word.written) == expected


def test_the_last_word_of_a_key_counts_and_null_is_none() -> None:
    words = ["resume='/a'", "seed=1", 'resume="/b c"']
    assert last_value(words, "resume") == "/b c"
    assert last_value([*words, "resume=null"], "resume") is None
    assert without_keys(words, ("resume",)) == ["seed=1"]
    assert last_value([], "resume") is None


@names_in_all_forms
def test_a_folder_of_any_name_is_the_root_of_the_data_and_the_folder_of_a_run(
    name: str, form: str, tmp_path: Path
) -> None:
    folder = tmp_path / name
    folder.mkdir()
    written = FORMS[form](folder)
    draft = compose_draft([f"data.root={written}", f"hydra.run.dir={written}"])
    assert draft.data.root == draft.data.source["root"] == str(folder)
    assert draft.run_folder == folder


@pytest.mark.parametrize("kind", ["resume", "extend"])
@names_in_all_forms
def test_a_run_of_any_name_is_found_again(name: str, form: str, kind: str, tmp_path: Path) -> None:
    with pytest.raises(UserError) as raised:
        configure_run([f"{kind}={FORMS[form](tmp_path / name)}"])
    assert str(raised.value).startswith(f"{tmp_path / name}: not a run folder")


@pytest.mark.parametrize("name", NAMES)
def test_words_made_for_another_process_name_the_same_folder(name: str, tmp_path: Path) -> None:
    folder = tmp_path / name
    words = words_of_ranks([f"extend={folder}", "trainer.max_epochs=9", "trainer.max_time=null"], folder)
    assert words[1:] == ["trainer.max_time=null"]
    for word in (words[0], resume_word(folder)):
        assert path_of(last_value([word], "resume") or "") == folder


@pytest.mark.parametrize("key", ["data.cache", "data.fixes", "data.split.file", "init", "data.root"])
@pytest.mark.parametrize("written", ["~/scans", "'~/scans'", '"~/scans"'])
def test_the_home_folder_may_be_written_as_tilde(key: str, written: str) -> None:
    config = compose_config([f"{key}={written}"])
    value: object = config
    for part in key.split("."):
        value = value[part]  # pyright: ignore[reportIndexIssue]
    assert path_of(str(value)) == Path.home() / "scans"


@pytest.mark.parametrize("written", ["$HOME/x", "a/${SCRATCH}", "x$A_1"])
def test_a_variable_of_the_shell_is_refused_as_a_path_unless_it_exists(
    written: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match="was not replaced by its value"):
        path_of(written)
    (tmp_path / written).mkdir(parents=True)
    assert path_of(written) == Path(written)


@pytest.mark.parametrize("written", ["$1/a", "C$/share", "a$", "price $5"])
def test_a_dollar_that_starts_no_variable_is_a_character(written: str) -> None:
    assert path_of(written) == Path(written)


@pytest.mark.parametrize("written", ["$SCRATCH/a", "'$SCRATCH/a'", "$SCRATCH/${model.name}"])
def test_the_folder_of_a_run_is_not_named_like_a_variable_of_the_shell(written: str) -> None:
    with pytest.raises(UserError, match=r"\$SCRATCH was not replaced"):
        _ = compose_draft([f"hydra.run.dir={written}"]).run_folder
    with pytest.raises(UserError, match=r"\$SCRATCH was not replaced"):
        configure_run([f"resume={written}"])


@pytest.mark.parametrize("written", ["~/runs/a", "'~/runs/a'"])
def test_the_folder_of_a_run_may_begin_with_tilde(written: str) -> None:
    assert compose_draft([f"hydra.run.dir={written}"]).run_folder == Path.home() / "runs" / "a"
    assert compose_draft([f"hydra.sweep.dir={written}"]).sweep_folder == Path.home() / "runs" / "a"
    with pytest.raises(UserError, match=f"{Path.home()}/runs/a: not a run folder"):
        configure_run([f"resume={written}"])


def test_a_comma_in_a_path_is_a_sweep_unless_the_folder_exists(tmp_path: Path) -> None:
    (tmp_path / "a,b").mkdir()
    assert len(split_sweep([f"data.root={tmp_path}/c,{tmp_path}/d"])) == 2
    [[word]] = split_sweep([f"data.root={tmp_path}/a,b"])
    assert compose_config([word]).data.root == f"{tmp_path}/a,b"


@pytest.mark.parametrize("word", ["logger.group=größe", "+data.cases=Fälle*", "logger.project=проект"])
def test_accents_need_no_quotes_in_any_value(word: str) -> None:
    draft = compose_draft([word.lstrip("+")])
    assert word.partition("=")[2] in (draft.logger_group, draft.data.cases, draft.as_plain()["logger"]["project"])


def test_an_interpolation_in_a_path_stays_one() -> None:
    assert compose_draft(["hydra.run.dir=runs/${model.name}", "model=unet"]).run_folder == Path("runs/unet")


def test_values_for_an_earlier_run_have_their_types() -> None:
    words = ["trainer.max_time=00:00:10:00", "trainer.max_epochs=3", "trusted_modules=[a,b]", "inference.overlap=0.25"]
    assert list(parse_values(words).values()) == ["00:00:10:00", 3, ["a", "b"], 0.25]
    assert parse_values(["trainer.max_time=null"]) == {"trainer.max_time": None}


@pytest.mark.parametrize("word", ["~trainer.max_time", "trainer.max_epochs=1,2"])
def test_an_earlier_run_takes_one_value_of_a_key(word: str) -> None:
    with pytest.raises(UserError, match=r"Write trainer\.max_(time|epochs)=VALUE"):
        parse_values([word])


def test_a_file_with_an_equals_sign_is_not_a_setting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "te=5.nii").touch()
    monkeypatch.chdir(tmp_path)
    assert not is_setting("te=5.nii")
    assert not is_setting("/data/te=5/scan.nii")
    assert is_setting("te=6.nii")
    assert is_setting("+inference.overlap=0.25")


def test_a_dataset_is_named_by_its_words() -> None:
    assert names_dataset(["data=amos22"])
    assert names_dataset(["scan.nii", "data.root=/x"])
    assert not names_dataset(["database=x", "scan.nii", "/data.nii"])
    assert key_of("+data.root=/x") == "data.root"
