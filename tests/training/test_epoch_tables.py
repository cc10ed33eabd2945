"""Tables with one row an epoch."""

from pathlib import Path

from aunet.training.epoch_tables import read_rows, replace_row


def test_rows_follow_each_other(tmp_path: Path) -> None:
    for epoch in range(3):
        replace_row(tmp_path / "metrics.csv", {"epoch": epoch, "loss": epoch / 2})
    assert read_rows(tmp_path / "metrics.csv") == [{"epoch": str(e), "loss": str(e / 2)} for e in range(3)]


def test_a_repeated_epoch_replaces_itself_and_what_came_after(tmp_path: Path) -> None:
    for epoch in (0, 1, 2, 1):
        replace_row(tmp_path / "metrics.csv", {"epoch": epoch, "loss": 0})
    assert [row["epoch"] for row in read_rows(tmp_path / "metrics.csv")] == ["0", "1"]


def test_a_table_that_is_not_there_has_no_rows(tmp_path: Path) -> None:
    assert read_rows(tmp_path / "metrics.csv") == []
