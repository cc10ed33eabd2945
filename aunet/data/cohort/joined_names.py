"""Names that belong together directly or through others (union-find), such as patients whose scans share a file."""

from collections.abc import Iterable


class JoinedNames:
    """Sets of names that grow as names are joined; the first of a set in alphabetical order is its leader."""

    def __init__(self, names: Iterable[str]) -> None:
        self._parent = {name: name for name in names}

    def join(self, names: Iterable[str]) -> bool:
        """Make one set of the sets of ``names``; return whether they were different before."""
        first, *others = sorted({self.leader(name) for name in names})
        for other in others:
            self._parent[other] = first
        return bool(others)

    def leader(self, name: str) -> str:
        """Return the leader of the set that holds ``name``."""
        while self._parent[name] != name:
            name = self._parent[name]
        return name

    def joined(self) -> frozenset[str]:
        """Return the names in sets of two or more."""
        others = {name for name in self._parent if self.leader(name) != name}
        return frozenset(others | {self.leader(name) for name in others})
