"""``run.json`` records which code ran."""

import json
from pathlib import Path

import numpy as np
import pytest

from aunet.runs import run_record
from aunet.runs.code_state import CodeState
from aunet.runs.run_record import RunRecord


@pytest.mark.parametrize(("patch", "name"), [(b"diff", "changes.patch"), (b"", None)])
def test_the_commit_is_beside_the_name_of_the_file_with_the_changes(
    patch: bytes, name: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_record, "read_code_state", lambda: CodeState("abc", patch))
    RunRecord(tmp_path).start(model="unet")
    record = json.loads((tmp_path / "run.json").read_text())
    assert (record["commit"], record["changes"], record["model"]) == ("abc", name, "unet")
    assert (tmp_path / "changes.patch").exists() == (name is not None)


def test_a_run_records_that_a_package_is_not_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_record, "_PACKAGES", ("numpy", "no-such-package"))
    RunRecord(tmp_path).start()
    versions = json.loads((tmp_path / "run.json").read_text())["versions"]
    assert (versions["numpy"], versions["no-such-package"]) == (np.__version__, "not installed")
