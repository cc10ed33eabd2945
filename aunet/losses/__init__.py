"""Losses that MONAI lacks; everything else comes from ``monai.losses``."""

from aunet.losses.focal_tversky import FocalTverskyLoss
from aunet.losses.marginal_logits import marginal_logits
from aunet.losses.released_dice import ReleasedDiceLoss

__all__ = ["FocalTverskyLoss", "ReleasedDiceLoss", "marginal_logits"]
