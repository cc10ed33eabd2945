"""Classes of a segmentation: name <-> integer, and the colour each keeps in every picture."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from operator import or_
from typing import TYPE_CHECKING, Any, overload

from aunet.errors import UserError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

IGNORED = 255
"""Value, in label maps of classes, of a voxel without reference: it is neither learned from nor scored."""

# Okabe and Ito's colours: distinguishable also with the common colour vision deficiencies, and on a grey CT.
_COLORS = ("#009E73", "#E69F00", "#56B4E9", "#CC79A7", "#F0E442", "#D55E00", "#0072B2", "#999999")


@dataclass(frozen=True)
class Labels:
    """Names of the classes in the order of their integers; ``names[0]`` is the background.

    If ``regions`` is empty, a class is the voxels of its own value in a label map. Otherwise the classes are regions,
    which may overlap: ``regions[k - 1]`` holds the values that make up region k. A label map is painted region by
    region, so a voxel has the value of the last one in which it lies, as in nnU-Net's region-based training.
    """

    names: tuple[str, ...]
    regions: tuple[tuple[int, ...], ...] = ()

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
        if self.regions and not _are_painted(self.regions, len(self.names) - 1):
            raise UserError(
                f"regions {self.regions} of {list(self.names[1:])}: each must hold its own number and numbers of later"
                " regions alone. Restore the file that the run wrote."
            )

    @property
    def num_classes(self) -> int:
        """Return the number of classes, the background included."""
        return len(self.names)

    @property
    def foreground(self) -> tuple[tuple[int, str], ...]:
        """Return (integer, name) of each class but the background."""
        return tuple(enumerate(self.names))[1:]

    @property
    def outputs(self) -> tuple[str, ...]:
        """Return the name of each channel of a network's logits: all classes, or the regions without a background."""
        return self.names[1:] if self.regions else self.names

    @property
    def first_output(self) -> int:
        """Return the class of the first channel of a network's logits: 0, or 1 if the classes are regions."""
        return 1 if self.regions else 0

    def values_of(self, index: int) -> tuple[int, ...]:
        """Return the values of a label map that make up class ``index``."""
        return self.regions[index - 1] if self.regions and index else (index,)

    @overload
    def mask(self, label: "NDArray[np.integer]", index: int) -> "NDArray[np.bool_]": ...
    @overload
    def mask(self, label: "Tensor", index: int) -> "Tensor": ...
    def mask(self, label: Any, index: int) -> Any:
        """Return which voxels of an array or a tensor ``label`` belong to class ``index``."""
        return reduce(or_, (label == value for value in self.values_of(index)))

    def classes_with(self, value: int) -> frozenset[int]:
        """Return the foreground classes to which a voxel of ``value`` belongs: none for the background."""
        return frozenset(index for index, _ in self.foreground if value in self.values_of(index))

    def value_without(self, value: int, index: int) -> int:
        """Return the value of a voxel of ``value`` once it leaves class ``index`` and the regions inside that class.

        Examples:
            >>> tumour = Labels(("background", "whole", "core"), ((1, 2), (2,)))
            >>> tumour.value_without(2, index=2), tumour.value_without(2, index=1)
            (1, 0)
        """
        inside = {other for other, _ in self.foreground if set(self.values_of(other)) <= set(self.values_of(index))}
        return max(self.classes_with(value) - inside, default=0)

    def values_around(self, index: int) -> tuple[int, ...]:
        """Return the values of voxels that may join class ``index`` and lose nothing: background, regions around it."""
        around = self.classes_with(index)
        return tuple(value for value in range(self.num_classes) if self.classes_with(value) < around)

    def is_kept_by(self, pairs: Sequence[tuple[int, int]]) -> bool:
        """Return whether regions stay what they are if the classes of each of ``pairs`` change places."""
        other = {one: two for first, second in pairs for one, two in ((first, second), (second, first))}
        return all(
            {other.get(value, value) for value in self.values_of(index)} == set(self.values_of(other.get(index, index)))
            for index, _ in self.foreground
        )

    def name_of(self, index: int) -> str:
        """Return the name of a class, or "ignore" for ``IGNORED``."""
        return "ignore" if index == IGNORED else self.names[index]

    def color(self, index: int) -> tuple[float, float, float]:
        """Return red, green and blue in 0..1 of foreground class ``index``, from 1; colours repeat after eight."""
        code = _COLORS[(index - 1) % len(_COLORS)]
        red, green, blue = (int(code[at : at + 2], 16) / 255 for at in (1, 3, 5))
        return red, green, blue


def describe_classes(labels: Labels) -> str:
    """Return the classes in one line; of regions also the parts that make them up.

    Examples:
        >>> describe_classes(Labels(("background", "whole", "core"), ((1, 2), (2,))))
        'regions whole = whole + core, core = core'
    """
    if not labels.regions:
        return ", ".join(labels.names)
    parts = {name: [labels.names[value] for value in labels.values_of(index)] for index, name in labels.foreground}
    return "regions " + ", ".join(f"{name} = {' + '.join(of)}" for name, of in parts.items())


def _are_painted(regions: Sequence[Sequence[int]], number: int) -> bool:
    """Return whether painting the regions in order leaves every voxel the value that it was read from."""
    of_region = enumerate(regions, start=1)
    return len(regions) == number and all(
        index in values and all(index <= value <= number for value in values) for index, values in of_region
    )


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
