"""Imports of Lightning and MONAI without what they load and a training does not use, half of its start-up.

- Lightning loads torch's compiler (``torch._dynamo``, with sympy and torch's distributed tensors) to recognise compiled
  modules and to exempt a function from compilation.
- torchmetrics, which Lightning loads, and MONAI load ``scipy.signal`` and ``scipy.optimize`` for a function or two.
- MONAI loads all of its modules, each twice.

Everything stays importable for whoever needs it, such as ``trainer.compile``.
"""

import functools
import inspect
import pkgutil
import sys
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import Any


def import_lightly() -> None:
    """Let this process import Lightning and MONAI lightly from now on; a second call changes nothing."""
    if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Finder())


class _Finder(MetaPathFinder):
    """A finder that lets some packages be executed in contexts of their own."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Find ``fullname`` as Python does, if it is one of these packages."""
        if fullname not in _CONTEXTS:
            return None
        spec = PathFinder.find_spec(fullname, path, target)
        if spec is not None and spec.loader is not None:
            spec.loader = _LoaderWithin(spec.loader, _CONTEXTS[fullname])
        return spec


class _LoaderWithin(Loader):
    """A loader that executes a module within ``contexts``, and else is ``loader``."""

    def __init__(self, loader: Loader, contexts: Sequence[Callable[[], AbstractContextManager[None]]]) -> None:
        self._loader = loader
        self._contexts = contexts

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        """Create the module as the loader does."""
        return self._loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        """Execute the module within the contexts."""
        with ExitStack() as stack:
            for context in self._contexts:
                stack.enter_context(context())
            self._loader.exec_module(module)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loader, name)


@contextmanager
def _without_compiler() -> Generator[None]:
    module: Any = ModuleType("torch._dynamo")
    module.OptimizedModule = type("OptimizedModule", (), {"__doc__": "No module is an instance of it."})
    module.disable = _unchanged
    with _in_place(module):
        yield
    import torch
    from torch.utils._python_dispatch import TorchDispatchMode

    optimizers = _subclasses(torch.optim.Optimizer)
    for owner in (torch.optim.Optimizer, *optimizers, *_subclasses(TorchDispatchMode)):
        _exempt_methods(owner)
    for optimizer in optimizers:
        if hasattr(step := vars(optimizer).get("step"), "__wrapped__"):
            optimizer.step = _uncompiled_step(step)


@contextmanager
def _without_signal() -> Generator[None]:
    with _in_place(_loading_later("scipy.signal", "hamming", "iirnotch", "hilbert")):
        yield


@contextmanager
def _without_optimize() -> Generator[None]:
    with _in_place(_loading_later("scipy.optimize", "linear_sum_assignment")):
        yield


@contextmanager
def _without_submodules() -> Generator[None]:
    """Let MONAI's root find none of its modules, and load each when it is asked for."""
    walk = pkgutil.walk_packages
    pkgutil.walk_packages = lambda *_, **__: iter(())
    try:
        yield
    finally:
        pkgutil.walk_packages = walk
    monai: Any = sys.modules["monai"]
    monai.utils.module.walk_packages = walk
    monai.__getattr__ = _submodule_of_monai
    import_module(
        "monai.inferers"
    )  # before others: the modules import each other in circles, which this one enters well


def _submodule_of_monai(name: str) -> ModuleType:
    try:
        return import_module(f"monai.{name}")
    except ModuleNotFoundError:
        raise AttributeError(f"module 'monai' has no attribute {name!r}") from None


_CONTEXTS: Mapping[str, Sequence[Callable[[], AbstractContextManager[None]]]] = {
    "pytorch_lightning": (_without_compiler, _without_signal),
    "torchmetrics": (_without_signal,),
    "monai": (_without_submodules,),
    "monai.data": (_without_signal,),
    "monai.metrics": (_without_optimize,),
    "monai.transforms": (_without_signal,),
}


@contextmanager
def _in_place(module: ModuleType) -> Generator[None]:
    """Let ``module`` stand for the one of its name, unless that is loaded already."""
    if module.__name__ in sys.modules:
        yield
        return
    sys.modules[module.__name__] = module
    try:
        yield
    finally:
        if sys.modules.get(module.__name__) is module:
            del sys.modules[module.__name__]


def _loading_later(name: str, *functions: str) -> ModuleType:
    """Return a module with ``functions`` that load the module ``name`` and call its own when they are called."""
    module = ModuleType(name)

    def later(function: str) -> Callable[..., Any]:
        return lambda *words, **named: getattr(import_module(name), function)(*words, **named)

    for function in functions:
        setattr(module, function, later(function))
    return module


def _unchanged(function: Callable[..., Any] | None = None, *_: object, **__: object) -> Any:
    """Return ``function``, or this function as its decorator: Lightning's own code is not compiled here."""
    return _unchanged if function is None else function


def _subclasses(parent: type) -> list[Any]:
    return [found for child in parent.__subclasses__() for found in (child, *_subclasses(child))]


def _exempt_methods(owner: type) -> None:
    """Mark the methods that torch keeps out of its compiler; else their first call would load it to do so."""
    for method in vars(owner).values():
        function: Any = getattr(method, "__wrapped__", None)
        if function is not None:
            function.__dynamo_disable = function


def _uncompiled_step(step: Any) -> Any:
    """Return an optimizer's step as it is without torch's wrapper, which separates it from compiled code."""
    from torch import set_grad_enabled

    function = inspect.unwrap(step)

    @functools.wraps(function)
    def uncompiled(self: Any, *words: Any, **named: Any) -> Any:
        with set_grad_enabled(self.defaults["differentiable"]):
            return function(self, *words, **named)

    return uncompiled
