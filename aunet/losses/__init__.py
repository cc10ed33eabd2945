"""Losses that MONAI lacks; everything else comes from ``monai.losses``."""

from aunet.losses.focal_tversky import FocalTverskyLoss
from aunet.losses.ignored_voxels import hide_ignored
from aunet.losses.marginal_logits import marginal_logits
from aunet.losses.released_dice import ReleasedDiceLoss

__all__ = ["FocalTverskyLoss", "ReleasedDiceLoss", "hide_ignored", "marginal_logits"]
