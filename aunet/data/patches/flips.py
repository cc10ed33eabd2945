"""Mirror images of training patches: along which axes, and which classes change places with each."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import torch
from monai.transforms.transform import RandomizableTransform
from torch import Tensor

from aunet.classes import IGNORED
from aunet.data.cohort.case import Modality
from aunet.data.cohort.class_sides import paired, place_in
from aunet.data.patches.intensity_changes import Patch
from aunet.errors import UserError
from aunet.messages import shortened

_AXES = ("right-left", "back-front", "feet-head")
_AXES_OF_PICTURES = ("right-left", "bottom-top")
_RIGHT_LEFT, _FEET_HEAD = 0, 2
_MOST_NAMED = 4


@dataclass(frozen=True)
class AxisFlip:
    """The flip along one axis: whether it is made, and the pairs of classes that are exchanged with it.

    ``reason`` states why the flip is off, or which classes keep their place in a flip that the user listed.
    """

    axis: int
    name: str
    is_on: bool
    pairs: tuple[tuple[int, int], ...] = ()
    reason: str = ""


@dataclass(frozen=True)
class Flips:
    """The flips of a run, an entry for each axis along which its patches extend."""

    axes: tuple[AxisFlip, ...]
    class_names: tuple[str, ...]

    def transforms(self) -> list["RandomFlip"]:
        """Return a random flip for each axis that is mirrored."""
        return [RandomFlip(flip.axis, self._exchange(flip.pairs)) for flip in self.axes if flip.is_on]

    def describe(self) -> str:
        """Return one line for the log: what is mirrored and exchanged, what is not, and how to change that."""
        on = [flip.name + self._exchanged_words(flip) for flip in self.axes if flip.is_on]
        reasons = dict.fromkeys(flip.reason for flip in self.axes if not flip.is_on and flip.reason)
        off = [
            f"{' and '.join(flip.name for flip in self.axes if flip.reason == reason)} ({reason})" for reason in reasons
        ]
        parts = [f"Flips: {'; '.join(on) or 'none'}"]
        if off:
            example = [flip.axis for flip in self.axes]
            parts += [f"off: {'; '.join(off)}", f"to mirror anyway: data.augmentation.flip_axes={example}"]
        return ". ".join(part[0].upper() + part[1:] for part in parts) + "."

    def as_record(self) -> list[dict[str, object]]:
        """Return the mirrored axes with the names of the exchanged classes, as JSON can hold them."""
        return [
            {"axis": flip.axis, "exchanged": [[self.class_names[index] for index in pair] for pair in flip.pairs]}
            for flip in self.axes
            if flip.is_on
        ]

    def _exchange(self, pairs: Sequence[tuple[int, int]]) -> Tensor | None:
        """Return the class that each class becomes (K,), or None if all stay."""
        if not pairs:
            return None
        exchange = torch.arange(len(self.class_names))
        for first, second in pairs:
            exchange[first], exchange[second] = second, first
        return exchange

    def _exchanged_words(self, flip: AxisFlip) -> str:
        pairs = [" and ".join(self.class_names[index] for index in pair) for pair in flip.pairs]
        words = [f"exchanging {', '.join(pairs)}"] if pairs else []
        return f" ({'; '.join([*words, flip.reason] if flip.reason else words)})" if words or flip.reason else ""


class RandomFlip(RandomizableTransform):
    """A mirror image along ``axis`` with probability 1/2, in which classes change places: k becomes ``exchange[k]``."""

    def __init__(self, axis: int, exchange: Tensor | None = None) -> None:
        super().__init__(prob=0.5)
        self._axis = axis
        self._exchange = exchange

    def __call__(self, sample: Patch) -> Patch:
        """Flip "image" and "label" (C, *spatial), and exchange the classes of "label" and of "annotated" (K,)."""
        self.randomize(None)
        if not self._do_transform:
            return sample
        image, label = (sample[key].flip(1 + self._axis) for key in ("image", "label"))
        if self._exchange is None:
            return {**sample, "image": image, "label": label}
        exchange = self._exchange.to(label.device)
        known = label.long().clamp(max=len(exchange) - 1)
        exchanged = torch.where(label == IGNORED, label, exchange[known].to(label.dtype))
        changed = {"image": image, "label": exchanged}
        if sample["annotated"] is not None:
            changed["annotated"] = sample["annotated"][exchange]  # valid as an exchange is its own inverse
        return {**sample, **changed}


def choose_flips(
    flip_axes: str | Sequence[int], patch_size: Sequence[int], class_names: Sequence[str], modality: Modality
) -> Flips:
    """Return the flips that ``flip_axes`` asks for: "auto", or a list of axes.

    With "auto" the names of the classes decide, as a network cannot tell two alike organs apart that lie on either
    side of a mirrored patch. Right-left is on if names pair left and right structures, which are then exchanged, and
    no class names a side without a mirror image, or may mean one, as numbers do, and RUL beside LUL. Back-front and
    feet-head are off if a class names a place along them. Without such names a flip is on only if there is a single
    foreground class. A listed axis is always mirrored; its pairs are exchanged too.

    Args:
        flip_axes: "auto", or axes of the patch: 0 is right-left, 1 back-front, 2 feet-head.
        patch_size: size of the patches (voxels); an axis of one voxel is not mirrored.
        class_names: those of all classes, the background first; none if unknown.
        modality: that of the images; a picture has its bottom and top along axis 1.
    """
    _check_axes(flip_axes)
    is_picture = modality == "picture"
    flips: list[AxisFlip] = []
    for axis in (axis for axis, length in enumerate(patch_size) if length > 1):
        name = (_AXES_OF_PICTURES if is_picture else _AXES)[axis]
        # The rows of a picture run from its bottom to its top, as feet and head do.
        classes = _PlacedClasses(tuple(class_names), _FEET_HEAD if is_picture and axis else axis)
        if isinstance(flip_axes, str):
            flips.append(_automatic(axis, name, classes))
        elif axis in flip_axes:
            kept = f"{_listed(classes.alone)} without a mirror image among the classes" if classes.alone else ""
            flips.append(AxisFlip(axis, name, True, classes.pairs, kept))
        else:
            flips.append(AxisFlip(axis, name, False))
    return Flips(tuple(flips), tuple(class_names))


def _check_axes(flip_axes: object) -> None:
    """Raise UserError unless it is "auto" or a list of axes; a number alone, or true, may come from an override."""
    is_list = isinstance(flip_axes, list | tuple)
    axes: tuple[object, ...] = tuple(cast(Sequence[object], flip_axes)) if is_list else ()
    if flip_axes != "auto" and not (is_list and all(type(axis) is int and 0 <= axis <= 2 for axis in axes)):
        raise UserError(
            f"data.augmentation.flip_axes={flip_axes}: it must be auto, or a list of axes such as [0, 1]: 0 is"
            " right-left, 1 back-front, 2 feet-head."
        )


@dataclass(frozen=True)
class _PlacedClasses:
    """The classes of a run by where their names place them along one axis of the body."""

    names: tuple[str, ...]
    axis: int

    @property
    def pairs(self) -> tuple[tuple[int, int], ...]:
        """Return the pairs of classes that a flip exchanges; parts that do not mirror each other keep their names."""
        found = [(low + 1, high + 1) for low, high in paired(self.names[1:], self.axis)]
        is_side = self.axis == _RIGHT_LEFT
        return tuple(pair for pair in found if not is_side or place_in(self.names[pair[0]]).has_mirror_image)

    @property
    def alone(self) -> list[str]:
        """Return the names that state a place along the axis and belong to no pair."""
        in_pairs = {index for pair in self.pairs for index in pair}
        others = [name for index, name in enumerate(self.names) if index and index not in in_pairs]
        return [name for name in others if place_in(name, self.axis).end is not None]

    @property
    def unclear(self) -> list[str]:
        """Return names in no pair that may still mean a side: numbers, or RUL beside LUL, with an R for an L."""
        in_pairs = {index for pair in self.pairs for index in pair}
        others = [name for index, name in enumerate(self.names) if index and index not in in_pairs]
        signs = {name.casefold() for name in others}
        return [
            name
            for name in others
            if not any(map(str.isalpha, name)) or not signs.isdisjoint(_with_one_side_exchanged(name.casefold()))
        ]


def _with_one_side_exchanged(name: str) -> set[str]:
    """Return ``name`` in lower case with one of its letters l replaced by r, or the reverse, in all ways."""
    other = {"l": "r", "r": "l"}
    return {name[:at] + other[sign] + name[at + 1 :] for at, sign in enumerate(name) if sign in other}


def _automatic(axis: int, name: str, classes: _PlacedClasses) -> AxisFlip:
    """Decide on the flip along one axis by the names of the classes."""
    foreground, pairs, alone = classes.names[1:], classes.pairs, classes.alone
    if alone:
        return AxisFlip(axis, name, False, reason=f"{_listed(alone)} without a mirror image among the classes")
    if pairs and classes.axis == _RIGHT_LEFT:
        unclear = classes.unclear
        reason = f"{_listed(unclear)} may be left or right without saying so in words" if unclear else ""
        return AxisFlip(axis, name, not unclear, () if unclear else pairs, reason)
    if pairs:
        named = [classes.names[index] for pair in pairs for index in pair]
        return AxisFlip(axis, name, False, reason=f"{_listed(named)} differ by their place along it")
    if len(foreground) == 1:
        return AxisFlip(axis, name, True)
    return AxisFlip(axis, name, False, reason="no class name names a side, and alike classes may differ by it alone")


def _listed(names: Sequence[str]) -> str:
    return shortened(names, _MOST_NAMED)
