"""Random changes of training patches, on the batch, on its device, each keyed by (seed, epoch, sample)."""

import copy
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, cast

import torch
from monai.transforms.compose import Compose
from torch import Tensor

from aunet.data.cohort.case import Modality
from aunet.data.keyed_randomness import transform_seed
from aunet.data.patches.flips import choose_flips
from aunet.data.patches.intensity_changes import Patch, intensity_changes, plain
from aunet.data.patches.random_geometry import RandomGeometry, RotationPlane
from aunet.data.patches.sampling import Batch
from aunet.errors import UserError

_CHANGED = ("image", "label", "annotated")


class Augmentation:
    """Random rotation, scaling, shift, bending, flips and intensity changes of patches.

    A patch one voxel thick, a 2D image, is changed within its plane. ``geometry`` determines which box of a scan to
    read, ``flips`` which axes are mirrored and which classes are exchanged with them.

    Args:
        patch_size: size of the resulting patches (voxels).
        rotation: largest rotation about each axis in degrees.
        scale: the size changes by a factor of 1 - scale to 1 + scale along each axis.
        shift: largest shift as a share of the patch.
        affine_probability: share of the samples that are rotated, scaled and shifted.
        elastic: largest bend, as a share of a quarter of the patch, at most 0.4.
        elastic_probability: share of the samples that are bent.
        flip_axes: spatial axes flipped with probability 1/2 each (0 is right-left, 1 back-front, 2 feet-head), or
            "auto": those along which the names of the classes allow it, see ``choose_flips``.
        intensity_probability: share of the samples to which each intensity change is applied.
        spacing: voxel size of the patch in mm, in which it is rotated and scaled; None assumes cubic voxels.
        rotation_plane: "auto", "axial" or "any", see ``RandomGeometry``.
        class_names: those of all classes, the background first, so that a flip exchanges left and right ones.
        modality: that of the images; the rows of a "picture" run from its bottom to its top.
        intensities: largest strength of each intensity change, as the keywords of ``intensity_changes``.
    """

    def __init__(
        self,
        patch_size: Sequence[int],
        rotation: float = 0.0,
        scale: float = 0.0,
        shift: float = 0.0,
        affine_probability: float = 0.0,
        elastic: float = 0.0,
        elastic_probability: float = 0.0,
        flip_axes: Sequence[int] | str = (),
        intensity_probability: float = 0.0,
        spacing: Sequence[float] | None = None,
        rotation_plane: RotationPlane = "auto",
        class_names: Sequence[str] = (),
        modality: Modality = "ct",
        **intensities: float,
    ) -> None:
        self.geometry = RandomGeometry(
            tuple(patch_size),
            rotation,
            scale,
            shift,
            affine_probability,
            elastic,
            elastic_probability,
            _checked_spacing(spacing),
            rotation_plane,
        )
        self.flips = choose_flips(flip_axes, patch_size, class_names, modality)
        changes = intensity_changes(intensity_probability, **intensities)
        self._transforms = Compose([*self.flips.transforms(), *changes])

    def __call__(self, batch: Batch, seed: int) -> Batch:
        """Return ``batch``, as made by ``sampling.joined``, with its patches changed.

        Args:
            batch: image (B, C, *read), label (B, 1, *read), key (B, 2); move (B, 3) if the geometry was moved before
                reading; annotated (B, K) bool if some reference leaves out a class.
            seed: the same seed changes a sample in the same way.

        Returns:
            The batch with image (B, C, *patch_size) and label (B, 1, *patch_size) on its device, and ``annotated``
            with the classes exchanged as in the label.
        """
        number = len(batch["image"])
        annotated = batch["annotated"] if "annotated" in batch else [None] * number
        moves = batch["move"].tolist() if "move" in batch else [(0.0, 0.0, 0.0)] * number
        samples = zip(batch["image"], batch["label"], annotated, batch["key"].tolist(), moves, strict=True)
        changed = [self._change(image, label, known, seed, key, move) for image, label, known, key, move in samples]
        stacked = {key: torch.stack([sample[key] for sample in changed]) for key in _CHANGED if key in batch}
        return cast(Batch, {**batch, **stacked})

    def for_patches_of(self, patch_size: Sequence[int]) -> "Augmentation":
        """Return the same changes for patches of another size."""
        other = copy.deepcopy(self)
        other.geometry = replace(self.geometry, patch_size=tuple(patch_size))
        return other

    def _change(
        self,
        image: Tensor,
        label: Tensor,
        annotated: Tensor | None,
        seed: int,
        key: tuple[int, int],
        move: Sequence[float],
    ) -> Patch:
        geometry = self.geometry.draw(seed, *key).moved(move)
        _, size = geometry.box
        box = (slice(None), *(slice(length) for length in size))
        sample: Patch = {
            "image": geometry.resample(image[box], "bilinear"),
            "label": geometry.resample(label[box].float(), "nearest"),
            "annotated": annotated,
        }
        self._transforms.set_random_state(seed=transform_seed(seed, *key))
        changed: Any = self._transforms(sample)
        return {
            "image": plain(changed["image"]),
            "label": plain(changed["label"]).to(label.dtype),
            "annotated": changed["annotated"],
        }


def _checked_spacing(spacing: object) -> tuple[float, ...] | None:
    """Return three sides in mm, or None; raise UserError for anything else, such as one number from an override."""
    if spacing is None:
        return None
    given = tuple(cast(Sequence[object], spacing)) if isinstance(spacing, list | tuple) else ()
    sides = tuple(side for side in given if isinstance(side, int | float) and side > 0)
    if len(given) != 3 or len(sides) != 3:
        raise UserError(
            f"data.augmentation.spacing={spacing}: it must be null, or three numbers above 0, mm along right, anterior,"
            " superior. Leave it out to take the spacing of the data."
        )
    return sides
