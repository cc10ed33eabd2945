"""The parts of the benchmark beside the peers that need neither the peers nor time."""

import importlib
import itertools
import math
import random
from pathlib import Path
from types import ModuleType

import nibabel
import numpy as np
import pytest
import torch

from aunet.networks import AttentionUNet, load_official_weights


@pytest.fixture(autouse=True)
def _benchmarks_on_path(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(repository / "experiments" / "benchmarks")


def _load(name: str) -> ModuleType:
    return importlib.import_module(name)


def test_minutes_to_a_dice_end_with_the_first_score_that_reaches_it() -> None:
    curves = _load("peer_curves")
    curve = [curves.Score(60, 0.5), curves.Score(90, 0.8), curves.Score(120, 0.79), curves.Score(150, 0.9)]
    assert curves.minutes_to(0.8, curve) == 1.5
    assert curves.minutes_to(0.85, curve) == 2.5
    assert curves.minutes_to(0.91, curve) == math.inf


def test_of_several_runs_of_a_contender_the_earliest_counts() -> None:
    curves = _load("peer_curves")
    long, short = [curves.Score(300, 0.86), curves.Score(600, 0.9)], [curves.Score(120, 0.84), curves.Score(180, 0.87)]
    assert curves.minutes_to(0.85, long + short) == 3
    assert curves.minutes_to(0.85, short + long) == 3


def test_a_dice_that_half_of_the_rounds_missed_was_not_reached() -> None:
    curves = _load("peer_curves")
    assert curves.median_minutes([math.inf, 3.0, 4.0]) == 4.0
    assert curves.median_minutes([math.inf, 3.0]) == math.inf
    assert curves.describe_minutes(math.inf, 20) == "not reached in 20 min"
    assert curves.describe_ratio(math.inf, 4.0, 20) == "> 5.0"
    assert curves.describe_ratio(8.0, 4.0, 20) == "2.0"
    assert curves.describe_ratio(8.0, math.inf, 20) == "ours not reached"


def test_kept_weights_lie_an_interval_apart_and_include_the_last() -> None:
    thin_out = _load("peer_curves").thin_out
    draw = random.Random(0)
    for _ in range(50):
        seconds = sorted(draw.uniform(0, 100) for _ in range(draw.randint(1, 30)))
        kept = thin_out(seconds, 10)
        assert kept[0] == 0
        assert kept[-1] == len(seconds) - 1
        assert all(seconds[b] - seconds[a] >= 10 for a, b in itertools.pairwise(kept[:-1]))
        for index in set(range(len(seconds))) - set(kept):  # each one left out follows a kept one closely
            assert any(0 <= seconds[index] - seconds[other] < 10 for other in kept)


def test_rows_on_disk_are_read_back_in_order(tmp_path: Path) -> None:
    curves = _load("peer_curves")
    file = tmp_path / "rows.csv"
    assert curves.read_rows(file) == []
    curves.append_row(file, {"size": "1 x 2x2x2", "value": 0.5})
    curves.append_row(file, {"size": "a, b", "value": 2})
    assert curves.read_rows(file) == [{"size": "1 x 2x2x2", "value": "0.5"}, {"size": "a, b", "value": "2"}]


def test_the_table_holds_minutes_and_their_ratio_to_ours() -> None:
    rows = [
        {"round": "1", "contender": name, "seconds": seconds, "dice": dice}
        for name, seconds, dice in [
            ("ours", "60", "0.81"),
            ("ours", "120", "0.86"),
            ("monai", "180", "0.82"),
            ("monai", "600", "0.855"),
            ("nnunet", "3000", "0.4"),
        ]
    ]
    table = _load("peer_dice").dice_table(rows, {"ours": [2], "monai": [10], "nnunet": [50]}, 1)
    cells = list(zip(*(column.cells for column in table.columns), strict=True))
    missed = "not reached in 10 min"
    assert cells[0] == (
        "ours",
        "2",
        "1.0",
        "1.0",
        "2.0",
        "1.0",
        "not reached in 2 min",
        "ours not reached",
        "0.860",
        "0.860",
    )
    assert cells[1] == ("monai", "10", "3.0", "3.0", "10.0", "5.0", missed, "ours not reached", "0.855", "0.855")
    assert cells[2][2:6] == ("not reached in 50 min", "> 50.0", "not reached in 50 min", "> 25.0")


def test_a_contender_left_out_has_no_row() -> None:
    rows = [{"round": "1", "contender": "ours", "seconds": "60", "dice": "0.9"}]
    table = _load("peer_dice").dice_table(rows, {"ours": [2], "monai": [], "nnunet": []}, 1)
    assert list(table.columns[0].cells) == ["ours"]


def test_each_case_is_in_one_part_of_the_split_and_a_seed_repeats_it() -> None:
    draw_split = _load("peer_dice").draw_split
    case_ids = [f"case_{number}" for number in range(200)]
    split = draw_split(case_ids, 60, seed=0)
    assert {part: len(members) for part, members in split.items()} == {"train": 126, "val": 14, "test": 60}
    assert sorted(itertools.chain(*split.values())) == sorted(case_ids)
    assert draw_split(case_ids[::-1], 60, seed=0) == split
    assert draw_split(case_ids, 60, seed=1) != split


def test_too_many_cases_held_out_are_refused() -> None:
    with pytest.raises(SystemExit, match="--held-out 9: the folder holds 10 cases"):
        _load("peer_dice").draw_split([str(number) for number in range(10)], 9, seed=0)


def test_a_split_of_other_cases_is_not_mixed_with_earlier_results(tmp_path: Path) -> None:
    write_split = _load("peer_dice")._write_split
    write_split(tmp_path / "split.json", {"train": ["a", "b"], "val": ["c"], "test": ["d"]})
    write_split(tmp_path / "split.json", {"train": ["a", "b"], "val": ["c"], "test": ["d"]})
    with pytest.raises(SystemExit, match=r"split\.json: drawn from other cases .* give another --output"):
        write_split(tmp_path / "split.json", {"train": ["a", "d"], "val": ["c"], "test": ["b"]})


def test_mean_dice_is_that_of_the_overlap_by_class(tmp_path: Path) -> None:
    reference = np.zeros((4, 4, 4), dtype=np.uint8)
    reference[:2], reference[2] = 1, 2
    prediction = np.zeros_like(reference)
    prediction[:1], prediction[2] = 1, 2
    for folder, array in (("references", reference), ("predictions", prediction)):
        (tmp_path / folder).mkdir()
        nibabel.save(nibabel.Nifti1Image(array, np.eye(4)), tmp_path / folder / "case.nii.gz")
    scores = _load("peer_dice")._mean_dice(tmp_path / "predictions", tmp_path / "references", ["case"])
    assert scores == {1: pytest.approx(2 * 16 / (16 + 32)), 2: 1.0}


def test_the_released_network_in_plain_operators_has_the_papers_parameters() -> None:
    with torch.device("meta"):
        released = _load("peer_released").ReleasedAttentionUNet()
    assert sum(parameter.numel() for parameter in released.parameters()) == 6_407_018


def test_the_released_network_in_plain_operators_computes_what_ours_computes() -> None:
    torch.manual_seed(0)
    widths = (4, 8, 16, 32, 64)
    released, ours = _load("peer_released").ReleasedAttentionUNet(channels=widths), AttentionUNet(channels=widths)
    for norm in released.modules():
        if isinstance(norm, torch.nn.BatchNorm3d):
            torch.nn.init.normal_(norm.running_mean)
            torch.nn.init.uniform_(norm.running_var, 0.5, 2.0)
    load_official_weights(ours, released.state_dict())
    image = torch.randn(1, 1, 32, 16, 16)
    with torch.no_grad():
        expected, found = released.eval()(image), ours.eval()(image)
    assert expected.abs().max() > 0.1
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-4)


def test_work_of_a_convolution_is_counted_in_closed_form() -> None:
    convolution = torch.nn.Sequential(torch.nn.Conv3d(1, 4, 3, padding=1))
    flop, num_bytes = _load("peer_contenders").count_work(convolution, (2, 1, 8, 8, 8))
    voxels = 2 * 8**3
    assert flop == 2 * 27 * 4 * voxels
    assert num_bytes == 2 * 4 * 4 * voxels  # written and read, four channels of four bytes


def test_the_command_line_of_a_prediction_is_read_as_it_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dice = _load("peer_dice")
    training = dice.Training("monai", 1.0, 1, 1, 3.0, tmp_path / "data", tmp_path / "split.json", tmp_path / "run")
    snapshots = [tmp_path / "a.pt", tmp_path / "b.pt"]
    words = dice._prediction_command(training, tmp_path / "out", snapshots)[2:]
    monkeypatch.setattr("sys.argv", ["peer_monai.py", *words])
    arguments = _load("peer_arguments").parse(None)
    assert (arguments.task, arguments.snapshots, arguments.output) == ("predict", snapshots, tmp_path / "out")


def test_the_command_line_of_a_training_is_read_as_it_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dice = _load("peer_dice")
    training = dice.Training("nnunet", 1.5, 1, 7, 3.0, tmp_path / "data", tmp_path / "split.json", tmp_path / "run")
    monkeypatch.setattr("sys.argv", ["peer_nnunet.py", *dice._training_command(training)[2:]])
    arguments = _load("peer_arguments").parse(None)
    assert (arguments.task, arguments.minutes, arguments.interval, arguments.seed) == ("train", 1.5, 3.0, 7)


def test_the_gpu_benchmark_times_a_pass_and_counts_its_share_of_the_rate() -> None:
    gpu = _load("gpu")
    device, size = torch.device("cpu"), (2, 1, 16, 16, 16)
    row = gpu._measure("unet", "forward", gpu.Way("float32"), size, 1, device)
    assert row.failure == ""
    assert row.seconds > 0
    table = gpu._table([row], size, device)
    assert table.row_count == 1
    assert "FLOP/s beside MLPerf's H200" not in [column.header for column in table.columns]


def test_a_way_that_fails_is_a_row_of_the_gpu_benchmark(monkeypatch: pytest.MonkeyPatch) -> None:
    gpu = _load("gpu")

    def fail(*words: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory.\nTried to allocate 2 GiB")

    monkeypatch.setattr(gpu, "_runner", fail)
    row = gpu._measure("unet", "forward", gpu.Way("bf16"), (1, 1, 16, 16, 16), 1, torch.device("cpu"))
    assert row.failure == "CUDA out of memory."
