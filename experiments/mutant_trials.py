"""The pytest plugin that tries mutants: each in a forked process, on the tests that call its function."""

import functools
import importlib
import json
import math
import os
import resource
import signal
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Generator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import pytest
from mutmut.mutation.trampoline import set_mutant_under_test
from mutmut.state import state
from mutmut.utils.format_utils import mangled_name_from_mutant_name

KILLED = ("killed", "out of time")
MEMORY = 6 * 2**30  # bytes of addresses; torch alone reserves 2 GiB
# A mutant may compute this many times as long as its tests did, and these seconds more. By the clock it may take ten
# times that, as a machine that is busy with other things leaves it a part of its processors only.
FACTOR, SECONDS, BY_THE_CLOCK = 5, 10, 10
_CACHED = type(functools.cache(len))


@dataclass
class Reach:
    """Findings of a pass over the tests without a mutant.

    Attributes:
        tests: of each function, the ids of those that call it themselves.
        fixtures: of each function, the shared fixtures that call it, by name.
        seconds: of each test, on the processor.
        failed: tests that fail without a mutant.
        modules: imported meanwhile, so that trials need not import them again.
    """

    tests: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    fixtures: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    seconds: dict[str, float] = field(default_factory=dict[str, float])
    failed: list[str] = field(default_factory=list[str])
    modules: list[str] = field(default_factory=list[str])


class MutantTrials:
    """Tries mutants, by mutmut's names, instead of running the tests; ``status`` holds what became of each.

    Tests below the paths ``own`` are tried, the others only on functions that none of these calls.
    """

    def __init__(self, names: Sequence[str], own: tuple[str, ...]) -> None:
        self.names = names
        self.own = own
        self.status: dict[str, str] = {}
        self._reach = Reach()

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """Note which test calls which function, then try each mutant on its tests."""
        if session.testsfailed:
            raise session.Interrupted("the tests cannot be collected")
        reach = self._reach = in_child(lambda: self._note_reach(session))
        for name in reach.failed:
            sys.stdout.write(f"\nleft out, as it fails without a mutant: {name}")
        for name in reach.modules:
            with suppress(ImportError):
                importlib.import_module(name)
        for number, name in enumerate(self.names, start=1):
            began = time.monotonic()
            self.status[name] = self._try(session, name)
            took = time.monotonic() - began
            sys.stdout.write(f"\n{number}/{len(self.names)} {name}: {self.status[name]} ({took:.1f} s)")
            sys.stdout.flush()
        return True

    @pytest.hookimpl(wrapper=True)
    def pytest_fixture_setup(self, fixturedef: Any) -> Generator[None, Any, Any]:
        """Note the functions that a fixture calls for several tests, of which only the first would be charged."""
        before = set(state()._stats)
        state()._stats.clear()
        result = yield
        if fixturedef.scope != "function":
            for function in state()._stats:
                self._reach.fixtures[function].append(fixturedef.argname)
        state()._stats |= before
        return result

    def _note_reach(self, session: pytest.Session) -> Reach:
        set_mutant_under_test("stats")
        known = set(sys.modules)
        for item, following in pairs(session.items):
            began, failures = time.process_time(), session.testsfailed
            state()._stats.clear()
            clear_caches()  # a test that is answered by one depends on the function behind it, too
            session.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
            self._reach.seconds[item.nodeid] = time.process_time() - began
            for function in state()._stats:
                self._reach.tests[function].append(item.nodeid)
            if session.testsfailed > failures:
                self._reach.failed.append(item.nodeid)
        self._reach.modules = [name for name in sys.modules if name not in known]
        return self._reach

    def _try(self, session: pytest.Session, name: str) -> str:
        function = mangled_name_from_mutant_name(name)
        chosen = self._tests_of(session, function)
        if not chosen:
            return "no test"
        of_file: dict[str, list[pytest.Item]] = defaultdict(list)
        for item in chosen:
            of_file[str(item.path)].append(item)
        ordered = [item for items in sorted(of_file.values(), key=self._cost) for item in items]

        def run_tests() -> None:
            limit = int(FACTOR * self._cost(ordered) + SECONDS + time.process_time())
            resource.setrlimit(resource.RLIMIT_CPU, (limit, limit))
            resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
            set_mutant_under_test(name)
            for item, following in pairs(ordered):
                session.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
                if session.testsfailed:
                    os._exit(1)

        return wait_for(fork(run_tests), BY_THE_CLOCK * (FACTOR * self._cost(ordered) + SECONDS))

    def _tests_of(self, session: pytest.Session, function: str) -> list[pytest.Item]:
        """Return the tests that call ``function`` themselves or by a fixture."""
        tests, fixtures = set(self._reach.tests.get(function, ())), set(self._reach.fixtures.get(function, ()))
        chosen = [
            item
            for item in session.items
            if item.nodeid in tests or (isinstance(item, pytest.Function) and fixtures & set(item.fixturenames))
            if item.nodeid not in self._reach.failed
        ]
        return [item for item in chosen if item.nodeid.startswith(self.own)] or chosen

    def _cost(self, items: Sequence[pytest.Item]) -> float:
        return sum(self._reach.seconds[item.nodeid] for item in items)


def clear_caches() -> None:
    """Empty the caches of all functions of aunet's modules."""
    for module in [module for name, module in sys.modules.items() if name.startswith("aunet.")]:
        for value in vars(module).values():
            if isinstance(value, _CACHED):
                value.cache_clear()


def pairs(items: Sequence[pytest.Item]) -> list[tuple[pytest.Item, pytest.Item | None]]:
    """Return each test with the next one, for which pytest keeps fixtures."""
    return list(zip(items, [*items[1:], None], strict=True))


def fork(act: Callable[[], object]) -> int:
    """Call ``act`` in a silent child process that leads a group; return its id."""
    sys.stdout.flush()
    if pid := os.fork():
        return pid
    status = 2
    try:
        os.setsid()
        silence = os.open(os.devnull, os.O_WRONLY)
        os.dup2(silence, 1)
        os.dup2(silence, 2)
        act()
        status = 0
    finally:
        os._exit(status)


def in_child(act: Callable[[], Reach]) -> Reach:
    """Return the result of ``act``, called in a child process so that this one stays as it is."""
    reading, writing = os.pipe()

    def send() -> None:
        with os.fdopen(writing, "w", encoding="utf-8") as pipe:
            json.dump(vars(act()), pipe)

    pid = fork(send)
    os.close(writing)
    with os.fdopen(reading, encoding="utf-8") as pipe:
        found = pipe.read()
    if wait_for(pid, math.inf) != "survived":
        raise RuntimeError("the pass over the tests without a mutant broke off")
    return Reach(**json.loads(found))


def wait_for(pid: int, seconds: float) -> str:
    """Return what became of a process; end it and those that it started if it takes longer than ``seconds``."""
    end = time.monotonic() + seconds
    while (found := os.waitpid(pid, os.WNOHANG))[0] == 0:
        if time.monotonic() > end:
            os.killpg(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            return "out of time"
        time.sleep(0.02)
    with suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGKILL)  # what its tests left running
    if os.WIFSIGNALED(found[1]):
        return "out of time" if os.WTERMSIG(found[1]) in (signal.SIGXCPU, signal.SIGKILL) else "killed"
    return "killed" if os.WEXITSTATUS(found[1]) else "survived"
