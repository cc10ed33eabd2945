"""Classes of a segmentation: name <-> integer, and the colour each keeps in every picture."""

import re
from dataclasses import dataclass

from aunet.errors import UserError

IGNORED = 255
"""Value, in label maps of classes, of a voxel without reference: it is neither learned from nor scored."""

# Okabe and Ito's colours: distinguishable also with the common colour vision deficiencies, and on a grey CT.
_COLORS = ("#009E73", "#E69F00", "#56B4E9", "#CC79A7", "#F0E442", "#D55E00", "#0072B2", "#999999")


@dataclass(frozen=True)
class Labels:
    """Names of the classes in the order of their integers; ``names[0]`` is the background."""

    names: tuple[str, ...]

    def __post_init__(self) -> None:
        if len(self.names) < 2 or self.names[0] != "background":
            raise UserError(f"class names {list(self.names)}: the first must be 'background', followed by one or more.")
        if len(set(self.names)) != len(self.names):
            raise UserError(f"class names {list(self.names)}: a name appears twice; give each class its own.")
        if len(self.names) > IGNORED:  # label maps hold a byte per voxel
            raise UserError(
                f"{len(self.names) - 1} classes besides the background: at most {IGNORED - 1} are possible. Merge some,"
                " such as data.classes='{rib: [92, 93, 94]}', or leave some out with data.other_labels=background."
            )

    @property
    def num_classes(self) -> int:
        """Return the number of classes, the background included."""
        return len(self.names)

    @property
    def foreground(self) -> tuple[tuple[int, str], ...]:
        """Return (integer, name) of each class but the background."""
        return tuple(enumerate(self.names))[1:]

    def name_of(self, index: int) -> str:
        """Return the name of a class, or "ignore" for ``IGNORED``."""
        return "ignore" if index == IGNORED else self.names[index]

    def color(self, index: int) -> tuple[float, float, float]:
        """Return red, green and blue in 0..1 of foreground class ``index``, from 1; colours repeat after eight."""
        code = _COLORS[(index - 1) % len(_COLORS)]
        red, green, blue = (int(code[at : at + 2], 16) / 255 for at in (1, 3, 5))
        return red, green, blue


def matching_name(name: str) -> str:
    """Return ``name`` without case and separators: ``Right Kidney`` and ``right_kidney`` -> ``rightkidney``.

    Examples:
        >>> matching_name("Right Kidney") == matching_name("right_kidney")
        True
    """
    return re.sub(r"[\W_]+", "", name).casefold()


def class_name(name: str) -> str:
    """Return a dataset's name of a class in our spelling: ``Prostate/Uterus`` -> ``prostate_uterus``.

    Examples:
        >>> class_name("Prostate/Uterus")
        'prostate_uterus'
    """
    return re.sub(r"[\W_]+", "_", name.strip()).strip("_").lower()
