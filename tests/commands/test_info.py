"""`aunet info`: the table of a run's network, without its data."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from aunet.build.data import describe_cohort, fill_in_facts
from aunet.commands.main import main
from aunet.config.draft import compose_draft, write_run_config
from aunet.training import memory_check
from aunet.training.callbacks.forecast import Forecast
from aunet.training.pace import Pace
from aunet.training.segmentation_task import SegmentationTask
from aunet.training.trial_steps import BatchShape

TINY = ["model.network.channels=[4,8,8]", "data.patch_size=[16,16,16]", "data.batch_size=3"]


@pytest.fixture(autouse=True)
def measured_pace(monkeypatch: pytest.MonkeyPatch) -> Pace:
    """Replace the measurement by a step of 0.5 s and a window of 0.2 s, at half of the machine's rate."""
    pace = Pace(0.5, 0.2, 1e9, BatchShape(3, 1, (16, 16, 16), 4))

    def measure(forecast: Forecast, task: SegmentationTask) -> Pace:
        return replace(pace, measured=forecast.shape)

    monkeypatch.setattr(Forecast, "measure", measure)
    monkeypatch.setattr("aunet.training.callbacks.forecast.matrix_rate", lambda *of: 4e9)
    return pace


def words_of(words: list[str], capsys: pytest.CaptureFixture[str]) -> list[list[str]]:
    return [line.split() for line in output_of(words, capsys).splitlines() if line.strip()]


def output_of(words: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    assert main(words) == 0
    return capsys.readouterr().out


def forecast_of(words: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """Return the text behind the table, in one line."""
    return " ".join(output_of(words, capsys).split()).rpartition("are left out. ")[2]


def table_of(words: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    return output_of(words, capsys).partition("Receptive field:")[0]


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
    assert table_of(["train", "--info", "model=unet", *TINY], capsys) == table_of(["info", "model=unet", *TINY], capsys)


SHORT = ["trainer.max_epochs=6", "trainer.batches_per_epoch=40"]


def test_the_speed_and_the_end_are_reported_without_data(capsys: pytest.CaptureFixture[str]) -> None:
    """240 steps of 0.5 s and 6 validations of 3 phantoms in 5 mm: 9 x 7 x 6 windows of 16 voxels each, of 0.2 s.

    Windows share at least half: along 77, 64 and 51 voxels at steps of 8 that are 9, 7 and 6.
    """
    words = [*TINY, *SHORT, "trainer.precision=float32", "trainer.accelerator=cpu", "inference.one_pass_voxels=0"]
    told = forecast_of(["train", "--info", "model=attention", *words], capsys)
    windows = 3 * 9 * 7 * 6
    minutes, seconds = divmod(round(240 * 0.5 + 6 * windows * 0.2), 60)
    assert "float32, channels-last: 2.0 steps/s, 50 % of this machine's matrix rate; 240 steps and 6 valid" in told
    assert f"({minutes} min {seconds} s)." in told
    assert "Assumed: 3 validation cases of 77x64x51 voxels, the phantom's field of view." in told


def test_a_time_limit_is_the_end_that_is_stated(capsys: pytest.CaptureFixture[str]) -> None:
    """After 6 steps of 0.5 s a validation of 16 x 16 x 16 voxels, one window of 0.2 s, in each of its 3 cases."""
    words = ["data.patch_size=[80,64,64]", *TINY[::2], "trainer.max_epochs=1000", "trainer.batches_per_epoch=6"]
    told = forecast_of(["info", "model=unet", *words, "trainer.max_time=00:00:01:12"], capsys)
    assert "about 120 steps and 20 validations fit into trainer.max_time=00:00:01:12, which ends at" in told
    assert "(1 min 12 s)." in told


def test_json_holds_the_numbers_of_the_table(capsys: pytest.CaptureFixture[str]) -> None:
    found = json.loads(output_of(["info", "--json", "model=attention", *TINY], capsys))
    assert (found["model"], found["data"], found["batch_size"]) == ("attention", "ct150", 3)
    assert found["patch_size"] == [16, 16, 16]
    first, *_, total = found["parts"]
    assert (first["name"], first["parameters"]) == ("encoder 1", 4 * 27 + 4 + 4 * 4 * 27 + 4 + 4 * 4)
    assert first["receptive_field"] == [5, 5, 5]
    assert total["parameters"] == sum(part["parameters"] for part in found["parts"][:-1])
    assert "steps/s" in found["forecast"][0]


def test_the_memory_of_a_step_is_shown_beside_that_which_is_there(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ["model=unet", *TINY, "trainer.accelerator=cpu"]
    told = forecast_of(["train", "--info", *words], capsys)
    assert "Memory of a training step: about " in told
    assert told.endswith(" are available.")

    monkeypatch.setattr(memory_check, "available_memory_bytes", lambda: 10_000_000)
    told = forecast_of(["train", "--info", *words], capsys)
    assert "data.patch_size=[16, 16, 16] with data.batch_size=3: a training step needs about" in told
    found = json.loads(output_of(["info", "--json", *words], capsys))["memory"]
    assert found["available_bytes"] == 10_000_000
    assert found["needed_bytes"] > 10_000_000


@pytest.mark.slow
def test_several_processes_are_measured_as_one_of_them(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["model=unet", *TINY, "trainer.accelerator=cpu", "trainer.devices=3"]
    assert "each of 3 processes is as fast as one alone" in forecast_of(["info", *words], capsys)


def test_info_writes_nothing(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    output_of(["train", "--info", "model=attention", *TINY], capsys)
    assert not list(tmp_path.iterdir())


def test_an_extension_is_not_made_for_information(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["train", "--info", f"extend={tmp_path}", "trainer.max_epochs=9"]) == 2
    assert "resume=" in capsys.readouterr().err


def test_the_recipe_for_scans_can_be_asked_for_without_them(capsys: pytest.CaptureFixture[str]) -> None:
    lines = words_of(["info", "model=unet", "model.network.channels=[1,1]", "data.recipe=scans"], capsys)
    assert {"2", "160×160×96", "2×2×2"} <= set(lines[0])


@pytest.mark.slow
def test_an_earlier_run_is_shown_without_its_data(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    draft = compose_draft(["model=unet", *TINY])
    config = fill_in_facts(draft, describe_cohort(draft.data))
    write_run_config(replace(config, data=replace(config.data, root="/no/longer/there")), tmp_path)
    assert table_of(["info", f"resume={tmp_path}"], capsys) == table_of(["info", "model=unet", *TINY], capsys)


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
