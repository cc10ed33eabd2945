"""The same sweep finds its folders again, and mixes no two settings in one."""

from pathlib import Path

import pytest
import yaml

from aunet.errors import UserError
from aunet.sweeps.sweep_plan import SweepPlan, _unique, plan_sweep, write_plan


def folders(plan: SweepPlan) -> list[str]:
    return [str(job.folder) for job in plan.jobs]


def test_the_order_of_the_words_and_the_number_at_once_do_not_change_the_folders() -> None:
    first = plan_sweep(["model=unet", "seed=0,1", "data.split.seed=3"])
    again = plan_sweep(["data.split.seed=3", "seed=0,1", "model=unet", "hydra/launcher=submitit_slurm"])
    assert folders(first) == folders(again)
    assert folders(plan_sweep(["model=unet", "seed=0,2", "data.split.seed=3"]))[0] != folders(first)[0]


def test_jobs_are_named_after_what_varies() -> None:
    plan = plan_sweep(["model=unet", "optimizer.factory.lr=0.1,0.2", "seed=1,2", "data.split.seed=7"])
    names = [job.name for job in plan.jobs]
    assert names == ["lr=0.1_seed=1", "lr=0.1_seed=2", "lr=0.2_seed=1", "lr=0.2_seed=2"]
    assert plan.folder.name.startswith("sweep_lr-seed_")


def test_names_that_a_folder_cannot_have_stay_apart() -> None:
    plan = plan_sweep(["model=unet", "data.root='/a b','/a-b'", "hydra.sweep.dir=x"])
    assert len(set(folders(plan))) == 2
    long = plan_sweep([f"data.root=/{'a' * 300},/{'a' * 300}b", "hydra.sweep.dir=x"])
    assert len(set(folders(long))) == 2
    assert all(len(job.name) < 120 for job in long.jobs)


def test_the_runs_of_a_sweep_are_one_group_of_the_tracker_unless_the_user_groups_them() -> None:
    plan = plan_sweep(["seed=0,1"])
    assert {job.plain["logger"]["group"] for job in plan.jobs} == {plan.folder.name}
    assert plan_sweep(["seed=0,1", "logger.group=mine"]).jobs[0].plain["logger"]["group"] == "mine"


def test_a_sweep_can_be_named() -> None:
    assert plan_sweep(["seed=0,1", "hydra.job.name=mine"]).folder == Path("outputs/ct150/mine")
    assert plan_sweep(["seed=0,1", "hydra.sweep.dir='/my disk/mine'"]).folder == Path("/my disk/mine")


def test_each_job_starts_from_a_configuration_that_later_changes_of_conf_do_not_reach(tmp_path: Path) -> None:
    plan = plan_sweep(["model=unet,attention", f"hydra.sweep.dir={tmp_path}"])
    write_plan(plan)
    written = [yaml.safe_load((job.folder / "config.yaml").read_text()) for job in plan.jobs]
    assert [config["model"]["name"] for config in written] == ["unet", "attention"]
    assert "hydra" not in written[0]
    assert plan.jobs[0].arguments() == [f"resume='{tmp_path}/model=unet'"]


def test_the_files_of_a_started_run_are_kept(tmp_path: Path) -> None:
    words = ["seed=0,1", f"hydra.sweep.dir={tmp_path}"]
    write_plan(plan_sweep(words))
    (tmp_path / "seed=0" / "config.yaml").write_text("with the facts of the data")
    write_plan(plan_sweep(words))
    assert (tmp_path / "seed=0" / "config.yaml").read_text() == "with the facts of the data"


def test_a_job_of_the_same_name_and_other_settings_is_refused(tmp_path: Path) -> None:
    write_plan(plan_sweep(["seed=0,1", "trainer.max_epochs=3", f"hydra.sweep.dir={tmp_path}"]))
    with pytest.raises(UserError, match=r"trainer.max_epochs=3, and now trainer.max_epochs=4"):
        write_plan(plan_sweep(["seed=0,1", "trainer.max_epochs=4", f"hydra.sweep.dir={tmp_path}"]))


def test_a_sweep_grows_in_its_folder(tmp_path: Path) -> None:
    for seeds in ("0,1", "1,2"):
        write_plan(plan_sweep([f"seed={seeds}", f"hydra.sweep.dir={tmp_path}"]))
    assert {path.parent.name for path in tmp_path.glob("*/config.yaml")} == {"seed=0", "seed=1", "seed=2"}
    with pytest.raises(UserError, match=r"seed=0: was begun"):
        write_plan(plan_sweep(["seed=0,1", "trainer=smoke", f"hydra.sweep.dir={tmp_path}"]))


def test_the_packages_a_user_trusts_are_passed_to_the_jobs() -> None:
    plan = plan_sweep(["seed=0,1", "trusted_modules=[mine,yours]"])
    assert plan.jobs[0].arguments()[1:] == ["trusted_modules=[mine,yours]"]


def test_a_repeated_name_takes_the_first_free_number() -> None:
    assert _unique(["a", "a", "a_2", "b"]) == ["a", "a_3", "a_2", "b"]
    assert _unique(["a", "a", "a"]) == ["a", "a_2", "a_3"]


def test_a_study_lists_its_own_jobs_and_is_named_after_itself() -> None:
    plan = plan_sweep(["experiment=gate_or_not", "seed=0"])

    assert plan.study == "gate_or_not"
    assert plan.folder.name.startswith("gate_or_not_")
    assert {job.arm for job in plan.jobs} == {
        f"experiment=gate_or_not model={model}" for model in ("unet", "unet_6m", "attention", "attention_open")
    }


def test_a_list_of_the_command_line_replaces_that_of_the_study() -> None:
    plan = plan_sweep(["experiment=gate_or_not", "seed=7", "model=unet,attention"])
    assert [job.words[1:] for job in plan.jobs] == [("seed=7", "model=unet"), ("seed=7", "model=attention")]


def test_only_an_experiment_with_lists_makes_a_study() -> None:
    assert plan_sweep(["model=unet,attention"]).study == ""


@pytest.mark.parametrize("study", ["paper_ct150_table1", pytest.param("paper_ct82_table2", marks=pytest.mark.slow)])
def test_the_papers_tables_compare_its_two_networks_with_five_seeds(study: str) -> None:
    jobs = plan_sweep([f"experiment={study}", "data.root=/scans"]).jobs

    assert {job.words[-2:] for job in jobs} == {
        (f"model={model}", f"seed={seed}") for model in ("unet", "attention") for seed in range(5)
    }
    split, expected = jobs[0].plain["data"]["split"], {"paper_ct150_table1": (120, 30), "paper_ct82_table2": (61, 21)}
    assert (split["train"], split["test"]) == expected[study]


def test_the_second_row_of_the_papers_table_has_few_training_cases_and_as_many_passes() -> None:
    words = ["experiment=paper_ct150_table1", "data/split=paper_30_120", "data.batches_per_epoch=15", "seed=0"]
    data = plan_sweep(words).jobs[0].plain["data"]
    assert (data["split"]["train"], data["split"]["test"], data["batches_per_epoch"]) == (30, 120, 15)


@pytest.mark.parametrize(
    ("more", "jobs"), [(["seed=0"], 2), pytest.param([], 10, marks=pytest.mark.slow)], ids=["one seed", "its seeds"]
)
def test_a_study_may_test_on_another_dataset(more: list[str], jobs: int) -> None:
    words = ["experiment=other_scanner", "data=amos22", 'data.test_on=["data=btcv","data.root=/scans/btcv"]']
    plan = plan_sweep([*words, *more])
    assert (plan.study, len(plan.jobs)) == ("other_scanner", jobs)
    assert plan.jobs[0].plain["data"]["test_on"] == ["data=btcv", "data.root=/scans/btcv"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("study", "jobs"),
    [("gate_or_not", 20), ("gate_ablation", 27), ("levels_ablation", 18), ("few_cases", 40), ("supervision", 18)],
)
def test_every_study_composes(study: str, jobs: int) -> None:
    assert len(plan_sweep([f"experiment={study}", "data=msd_spleen", "data.root=/scans"]).jobs) == jobs
