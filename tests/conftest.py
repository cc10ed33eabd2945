"""Every test runs without the user's home, account or network, on its share of the cores."""

import gc
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Generator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

if workers := int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "0")):
    # Before the conftest of a folder that pytest was called with imports torch, which reads it only then.
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // workers)))

# Containers often set it. Without compiled files each worker, each run and each process that a test starts compiles
# the tests and aunet anew: seconds every time.
sys.dont_write_bytecode = False
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)


def pytest_configure(config: pytest.Config) -> None:
    """Set the environment before matplotlib or wandb are imported; processes that tests start inherit it."""
    # The default, a search after 700 new objects, takes a third of the time in which a configuration is composed.
    gc.set_threshold(20_000, 10, 10)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell ignores it for what runs in its background
    os.environ["WANDB_MODE"] = "offline"
    os.environ["WANDB_SILENT"] = "true"
    os.environ.pop("WANDB_API_KEY", None)
    if "AUNET_TESTS_HOME" not in os.environ:
        home = tempfile.mkdtemp(prefix="aunet-tests-home-")
        config.add_cleanup(lambda: shutil.rmtree(home, ignore_errors=True))
        os.environ["AUNET_TESTS_HOME"] = home
        if config.pluginmanager.hasplugin("cacheprovider"):
            # matplotlib takes seconds to list the fonts: once, not once a run
            os.environ["MPLCONFIGDIR"] = str(config.cache.mkdir("matplotlib"))
    os.environ["HOME"] = os.environ["AUNET_TESTS_HOME"]
    os.environ.pop("XDG_CACHE_HOME", None)
    os.environ.pop("XDG_CONFIG_HOME", None)


def pytest_collection_finish() -> None:
    """Spare every later search for garbage the half million objects of the modules and the tests."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session", autouse=True)
def _quick_composing() -> Generator[None]:
    from tests.quick_composing import compose_quickly

    with pytest.MonkeyPatch.context() as patch:
        compose_quickly(patch)
        yield


@pytest.fixture(scope="session", autouse=True)
def _without_waiting_for_the_disk() -> Generator[None]:
    """Leave files in the memory of the system: flushing each to a disk takes it 5 to 20 ms."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("aunet.files._flush_to_disk", lambda path: None)
        yield


@pytest.fixture
def without_pictures() -> Generator[None]:
    """For tests that look at no picture of the runs they train; fixtures of a wider scope are drawn in full."""
    from tests.blank_pictures import blank_pictures

    with blank_pictures():
        yield


@pytest.fixture(scope="session")
def repository() -> Path:
    """Return the folder with pyproject.toml."""
    return ROOT


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Real scans, for tests marked realdata."""
    return ROOT.parent / "shared" / "data"
