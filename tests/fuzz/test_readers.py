"""Damaged files of every kind end in one message: no traceback, no hang, nothing executed, nothing written elsewhere.

AUNET_FUZZ_INPUTS sets the inputs of each reader (slow readers take a share), AUNET_FUZZ_SEED their seed.
"""

import logging
import os
import sys
from collections.abc import Generator
from pathlib import Path

import pytest

from tests.fuzz.run_readers import READERS
from tests.fuzz.watch import try_inputs

SEED = os.environ.get("AUNET_FUZZ_SEED", "0")
INPUTS = int(os.environ.get("AUNET_FUZZ_INPUTS", "400"))


@pytest.fixture(autouse=True)
def quiet() -> Generator[None]:
    """Keep the readers' warnings out of memory: there are many."""
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


@pytest.mark.slow
@pytest.mark.timeout(0)
@pytest.mark.parametrize("name", READERS)
def test_a_damaged_file_breaks_no_rule(name: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    reader = READERS[name]
    count = max(1, round(INPUTS * reader.share))
    found = try_inputs(reader.inputs(tmp_path, f"{SEED} {name}", count), tmp_path, reader.allowed)
    capfd.readouterr()  # of the libraries, for every input
    with capfd.disabled():
        sys.stdout.write(f"\n{name}: {found.num_inputs} inputs of seed {SEED}, {found.num_refused} refused")
        sys.stdout.write(f"\n{found}" * bool(found.counts))  # now: the summary comes after all readers
    if found.counts:
        pytest.fail(f"seed {SEED}, {found.num_inputs} inputs\n{found}", pytrace=False)
