"""Watching the features that modules return while a network runs."""

from collections.abc import Generator, Iterable, Mapping
from contextlib import contextmanager

from torch import Tensor
from torch.utils.hooks import RemovableHandle


def first_tensor(output: object) -> Tensor | None:
    """Return the first tensor of a module's output: itself, or the first of a list or of a mapping's values.

    Examples:
        >>> import torch
        >>> first_tensor({"logits": [torch.tensor([1.0]), torch.tensor([2.0])]})
        tensor([1.])
    """
    while not isinstance(output, Tensor):
        entries: object = list(output.values()) if isinstance(output, Mapping) else output
        if not isinstance(entries, list | tuple) or not entries:
            return None
        output = entries[0]
    return output


@contextmanager
def hooked(handles: Iterable[RemovableHandle]) -> Generator[None]:
    """Remove the hooks of ``handles`` on leaving, also after an error."""
    registered = list(handles)
    try:
        yield
    finally:
        for handle in registered:
            handle.remove()
