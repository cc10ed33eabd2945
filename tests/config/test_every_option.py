"""Every file of conf/ makes a run that passes its checks."""

from itertools import cycle
from pathlib import Path

import pytest

from aunet.config.composition import compose_config, resolve_config
from aunet.config.draft import Draft
from aunet.config.schema import as_plain
from aunet.errors import UserError

CONF = Path(__file__).resolve().parents[2] / "conf"
OPTIONS = sorted((file.parent.name, file.stem) for file in CONF.glob("*/*.yaml"))
DATASETS = sorted(file.stem for file in CONF.glob("data/*.yaml"))
SPLITS = sorted(file.stem for file in CONF.glob("data/split/*.yaml"))
AUGMENTATIONS = sorted(file.stem for file in CONF.glob("data/augmentation/*.yaml"))
FACTS = {
    "in_channels": 1,
    "num_classes": 4,
    "class_names": ["background", "pancreas", "spleen", "kidney"],
    "modality": "ct",
    "spatial_dims": 3,
    "spacing": [4.0, 4.0, 4.0],
    "patch_size": [80, 64, 64],
    "batch_size": 2,
}


def test_conf_has_the_groups_that_users_script_against() -> None:
    groups = {group for group, _ in OPTIONS}
    assert groups == {
        *("model", "data", "loss", "optimizer", "trainer", "logger", "attention", "inference", "experiment"),
    }


@pytest.mark.parametrize(("group", "option"), OPTIONS)
def test_every_option_composes_and_passes_its_checks(group: str, option: str) -> None:
    config = compose_config([f"{group}={option}"])
    Draft(config)
    if group not in {"attention", "inference", "experiment", "logger"}:
        assert config[group].name == option


@pytest.mark.parametrize(
    ("data", "preset"),
    [
        pytest.param(data, preset, marks=() if data in ("ct150", "msd", "amos22") else pytest.mark.slow)
        for data, preset in zip(DATASETS, cycle(SPLITS), strict=False)
    ],
)
def test_a_split_goes_with_any_dataset(data: str, preset: str) -> None:
    words = [f"data={data}", f"data/split={preset}", "data.fold=1", "data.split.stratify=true"]
    draft = Draft(compose_config(words))
    assert (draft.data.fold, draft.data.split.stratify) == (1, True)
    assert draft.data.split.folds >= 2


@pytest.mark.parametrize(
    ("data", "preset"), list(zip(["ct150", "msd", "amos22", "cardiac"], cycle(AUGMENTATIONS), strict=False))
)
def test_an_augmentation_goes_with_any_dataset_and_its_flips(data: str, preset: str) -> None:
    flips = resolve_config(compose_config([f"data={data}"]), FACTS).data.augmentation["flip_axes"]
    config = compose_config([f"data={data}", f"data/augmentation={preset}", "data.augmentation.noise=0.05"])
    Draft(config)
    augmentation = resolve_config(config, FACTS).data.augmentation
    assert (augmentation["flip_axes"], augmentation["noise"]) == (flips, 0.05)
    assert (augmentation["elastic"] > 0) == (preset == "strong")


def test_ct_is_augmented_as_in_the_paper_and_mr_lightly() -> None:
    ct, mr = (resolve_config(compose_config([f"data={data}"]), FACTS).data.augmentation for data in ("ct150", "msd"))
    assert (ct["scale"], ct["affine_probability"], ct["intensity_probability"]) == (0.3, 1.0, 0.0)
    assert (mr["scale"], mr["affine_probability"], mr["intensity_probability"]) == (0.2, 0.3, 0.2)
    assert (ct["rotation"], ct["elastic"]) == (mr["rotation"], mr["elastic"]) == (15.0, 0.0)


@pytest.mark.parametrize(
    ("study", "sizes"), [("paper_ct150", (120, 30)), ("paper_ct150_few", (30, 120))], ids=lambda value: str(value)
)
def test_the_papers_studies_divide_ct150_as_the_paper_does(study: str, sizes: tuple[int, int]) -> None:
    data = resolve_config(compose_config([f"experiment={study}"]), FACTS).data
    assert (data.split.train, data.split.test) == sizes
    assert data.source["num_phantoms"] == sum(sizes)


@pytest.mark.parametrize("value", ["0", "1.5", "-3", "true"])
def test_the_size_of_a_part_is_a_share_or_a_whole_number(value: str) -> None:
    with pytest.raises(UserError, match=r"data\.split\.test"):
        Draft(compose_config([f"data.split.test={value}"]))


def test_the_default_run_is_the_papers_network_on_the_phantom() -> None:
    values = resolve_config(compose_config([]), FACTS)
    assert values.model.name == "attention"
    assert values.data.recipe == "phantom"
    assert values.data.spacing == values.data.phantom["spacing"]
    assert values.trainer.max_epochs == values.data.phantom["max_epochs"]


def test_a_root_turns_ct150_to_the_papers_numbers() -> None:
    values = resolve_config(compose_config(["data.root=/scans"]), FACTS)
    assert values.data.recipe == "scans"
    assert values.data.patch_size == [160, 160, 96]
    assert values.data.source["root"] == "/scans"


def test_facts_of_the_data_reach_the_network() -> None:
    values = resolve_config(compose_config(["model=monai_unet"]), FACTS)
    assert values.model.network["out_channels"] == 4
    assert "hydra" not in as_plain(values)
