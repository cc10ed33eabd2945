"""`aunet info`: the table of a run's network, without its data."""

from pathlib import Path

import pytest
import yaml

from aunet.build import describe_cohort, with_facts
from aunet.commands.main import main
from aunet.config import compose_config

TINY = ["model.network.channels=[4,8,8]", "data.patch_size=[16,16,16]", "data.batch_size=3"]


def words_of(words: list[str], capsys: pytest.CaptureFixture[str]) -> list[list[str]]:
    assert main(words) == 0
    return [line.split() for line in capsys.readouterr().out.splitlines() if line.strip()]


def test_a_table_needs_no_data_and_makes_no_phantom(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    lines = words_of(["info", "model=attention", f"data.cache={tmp_path}/cache", *TINY], capsys)
    assert lines[0][:2] == ["model=attention", "data=ct150:"]
    assert {"3", "16×16×16", "5×5×5"} <= set(lines[0])
    names = [" ".join(line[:2]) for line in lines]
    assert [name for name in names if name.split()[0] in ("encoder", "skip", "decoder")] == [
        *("encoder 1", "encoder 2", "encoder 3", "skip 2", "decoder 2", "decoder 1")
    ]
    encoder = next(line for line in lines if line[:2] == ["encoder", "1"])
    assert encoder[2:5] == ["16×16×16", "4", str(4 * 27 + 4 + 4 * 4 * 27 + 4 + 4 * 4)]
    assert encoder[-2:] == ["5×5×5", "25×25×25"]
    assert not list(tmp_path.iterdir())


def test_training_shows_the_same_table_with_info(capsys: pytest.CaptureFixture[str]) -> None:
    assert words_of(["train", "--info", "model=unet", *TINY], capsys) == words_of(["info", "model=unet", *TINY], capsys)


def test_the_recipe_for_scans_can_be_asked_for_without_them(capsys: pytest.CaptureFixture[str]) -> None:
    lines = words_of(["info", "model=unet", "model.network.channels=[1,1]", "data.recipe=scans"], capsys)
    assert {"2", "160×160×96", "2×2×2"} <= set(lines[0])


def test_an_earlier_run_is_shown_without_its_data(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    config = compose_config(["model=unet", *TINY])
    settings = with_facts(config, describe_cohort(config))
    settings["data"]["root"] = "/no/longer/there"
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(settings))
    assert words_of(["info", f"resume={tmp_path}"], capsys) == words_of(["info", "model=unet", *TINY], capsys)


def test_networks_of_others_show_their_own_modules(capsys: pytest.CaptureFixture[str]) -> None:
    lines = words_of(["info", "model=monai_basic_unet", "data.patch_size=[32,32,32]"], capsys)
    assert {"conv_0", "down_1", "upcat_4", "final_conv", "total"} <= {line[0] for line in lines}


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (["data.patch_size=[20,16,16]"], "data.patch_size=[32,16,16]"),
        (["data=msd"], "data.root"),
        (["modle=unet"], "model"),
        (["-m", "model=unet,attention"], "-m"),
        (["--fast"], "--fast"),
    ],
)
def test_a_users_mistake_is_one_message(words: list[str], hint: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["info", *words]) == 2
    errors = " ".join(capsys.readouterr().err.split()).replace(", ", ",")
    assert hint in errors
    assert "Traceback" not in errors
