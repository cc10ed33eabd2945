"""The objects that a configuration may name as a ``_target_``, judged by the module that defines them.

A name alone proves nothing: ``aunet.data.io.volume.os.system`` starts with our package and ends in a shell. So a target
is one class or function of an allowed module, found there without importing anything else, and defined in an allowed
module too, which excludes a module re-exported by accident.
"""

import importlib
import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import ModuleType
from typing import cast

from aunet.config.history import present_name
from aunet.errors import UserError
from aunet.messages import did_you_mean

ALLOWED_MODULES = (
    "aunet.networks",
    "aunet.losses",
    "aunet.data",
    "aunet.inference.postprocessing",
    "aunet.tracking",
    "aunet.training.schedules",
    "monai.networks.nets",
    "monai.losses",
    "torch.optim",
    "torch.nn",
)
# Parts of a configuration for ``check_targets``: those that a prediction builds, those that reading a dataset builds.
NETWORK_ALONE = ("model.network", "inference.postprocessing")
SOURCE_ALONE = ("data.source",)
HYDRA_KEYS = frozenset({"_target_", "_partial_", "_convert_", "_recursive_"})


def check_targets(
    values: Mapping[str, object], trusted_modules: Sequence[str] = (), built: Sequence[str] | None = None
) -> None:
    """Raise UserError for the first target in ``values`` that is not allowed or has an unknown argument.

    Args:
        values: Plain containers with every interpolation resolved, as they will be instantiated.
        trusted_modules: The user's own modules, allowed beside ours.
        built: Dotted keys of the only parts that the caller builds. The other targets are checked by name only, so that
            their modules are not imported: a loss costs the import of MONAI. None means all parts.
    """
    for key, node in _nodes_with_target(values):
        name, key_of_name = node["_target_"], f"{key}._target_"
        if built is None or _is_within(key.partition("[")[0], built):
            _check_arguments(key, node, find_target(name, trusted_modules, key_of_name))
        else:
            _check_name(name, trusted_modules, key_of_name)


def find_target(name: object, trusted_modules: Sequence[str] = (), key: str = "_target_") -> Callable[..., object]:
    """Return the class or function that ``name`` names; raise UserError, naming ``key``, unless it is allowed."""
    name = _check_name(name, trusted_modules, key)
    allowed = (*ALLOWED_MODULES, *trusted_modules)
    module_name, _, object_name = name.rpartition(".")
    module = _import(module_name, key, name)
    target = getattr(module, object_name, None)
    if target is None:
        public = (other for other in dir(module) if not other.startswith("_"))
        raise UserError(f"{key}: {module_name} has no {object_name!r}.{did_you_mean(object_name, public)}")
    if not (inspect.isclass(target) or inspect.isfunction(target)) or not _is_within(target.__module__, allowed):
        raise _not_allowed(key, name, allowed)
    return target


def _check_name(name: object, trusted_modules: Sequence[str], key: str) -> str:
    """Return the present name of ``name``; raise UserError, naming ``key``, unless it is one in an allowed module."""
    if not isinstance(name, str) or not all(part.isidentifier() and part[0] != "_" for part in name.split(".")):
        raise UserError(f"{key}: {name!r} is not the dotted name of a class or function.")
    allowed = (*ALLOWED_MODULES, *trusted_modules)
    if not _is_within(name.rpartition(".")[0], allowed):
        raise _not_allowed(key, name, allowed)
    return present_name(name)


def _nodes_with_target(value: object, key: str = "") -> Iterator[tuple[str, Mapping[str, object]]]:
    if isinstance(value, Mapping):
        node = cast(Mapping[str, object], value)
        if "_target_" in node:
            yield key, node
        for name, child in node.items():
            yield from _nodes_with_target(child, f"{key}.{name}" if key else name)
    elif isinstance(value, Sequence) and not isinstance(value, str):
        for index, child in enumerate(cast(Sequence[object], value)):
            yield from _nodes_with_target(child, f"{key}[{index}]")


def _is_within(module_name: str, allowed: Sequence[str]) -> bool:
    return any(module_name == root or module_name.startswith(root + ".") for root in allowed)


def _import(module_name: str, key: str, name: str) -> ModuleType:
    try:
        return importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is None or not _is_within(module_name, (error.name,)):
            raise
        raise UserError(
            f"{key}: {name!r} cannot be found: there is no module {error.name}. Write <module>.<class>; "
            "a module of your own must be installed or in a folder named by PYTHONPATH."
        ) from None


def _not_allowed(key: str, name: str, allowed: Sequence[str]) -> UserError:
    return UserError(
        f"{key}: {name!r} is not allowed. A target is a class or function defined in {', '.join(allowed)}; "
        "allow a module of your own with --trust its_name (among settings trusted_modules=[its_name])."
    )


def _check_arguments(key: str, node: Mapping[str, object], target: Callable[..., object]) -> None:
    names = _argument_names(target)
    for argument in node:
        if names is not None and argument not in HYDRA_KEYS and argument not in names:
            remedy = did_you_mean(argument, names) or f" Its arguments are {', '.join(names)}."
            raise UserError(f"{key}.{argument}: {node['_target_']} has no argument {argument!r}.{remedy}")


def _argument_names(target: Callable[..., object]) -> list[str] | None:
    """Return the arguments that ``target`` and its base classes accept by name; None if it accepts any."""
    makers: list[Callable[..., object]] = [target]
    if inspect.isclass(target):
        makers = [vars(base)["__init__"] for base in target.__mro__ if "__init__" in vars(base)]
    names: list[str] = []
    for maker in makers:
        parameters = inspect.signature(maker).parameters.values()
        kinds_left_out = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.VAR_KEYWORD)
        names += [parameter.name for parameter in parameters if parameter.kind not in kinds_left_out]
        if not any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
            return [name for name in names if name != "self"]
    return None
