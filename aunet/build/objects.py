"""Construction of the objects that a configuration names by `_target_`."""

from collections.abc import Mapping, Sequence
from inspect import signature
from typing import Any, cast, get_origin

from hydra.errors import InstantiationException
from hydra.utils import get_object, instantiate

from aunet.config.schema import TargetNode
from aunet.errors import UserError


def build_object(node: TargetNode, **arguments: Any) -> Any:
    """Return the object that ``node`` names, built with ``arguments`` too.

    Raises:
        UserError: if the class or function refuses its arguments; one that it raises itself passes through unchanged,
            as does an OSError.
    """
    try:
        return instantiate(node, _convert_="all", **arguments)
    except InstantiationException as error:
        if isinstance(error.__cause__, UserError | OSError):
            raise error.__cause__ from None
        # A source also reads files, and an error there is not caused by an argument of the user.
        if isinstance(error.__cause__, TypeError | ValueError) and not node["_target_"].startswith("aunet.data."):
            remedy = _lists_wanted(node) or "Compare their values and types with its documentation."
            raise UserError(f"{node['_target_']} refuses its arguments: {error.__cause__}. {remedy}") from error
        raise


def build_entry(entry: object) -> object:
    """Return the object that ``entry`` of a list of the user's own objects names; None unless it is such a node."""
    return build_object(cast(TargetNode, entry)) if isinstance(entry, Mapping) and "_target_" in entry else None


def _lists_wanted(node: TargetNode) -> str:
    """Return the remedy for arguments of one value where the class takes several; empty if there are none."""
    parameters = signature(get_object(node["_target_"])).parameters
    wanted = [name for name, parameter in parameters.items() if get_origin(parameter.annotation) in (Sequence, list)]
    single = [f"{name}=[{node[name]},…]" for name in wanted if isinstance(node.get(name), int | float)]
    return f"Write a list: {', '.join(single)}." if single else ""
