"""The mirror images of test-time augmentation, ``inference.flips``."""

import logging
from typing import cast

from aunet.classes import Labels, describe_classes
from aunet.config.schema import RunConfig
from aunet.data.cohort.case import Modality
from aunet.data.patches.flips import Flips, choose_flips
from aunet.errors import UserError
from aunet.inference.mirror_images import Mirror
from aunet.messages import shortened

_log = logging.getLogger(__name__)


def check_exchanges(flips: Flips, labels: Labels, key: str) -> None:
    """Raise UserError if a flip of the setting ``key`` exchanges classes whose regions are not alike."""
    for flip in flips.axes:
        if flip.is_on and not labels.is_kept_by(flip.pairs):
            named = [f"{labels.names[first]} and {labels.names[second]}" for first, second in flip.pairs]
            kept = [other.axis for other in flips.axes if other.is_on and other.axis != flip.axis]
            raise UserError(
                f"{key}: a mirror image along {flip.name} exchanges {shortened(named)}, but not what lies in them:"
                f" {describe_classes(labels)}. Set {key}={kept}, or make data.target_regions alike on both sides."
            )


def build_mirrors(config: RunConfig) -> list[Mirror]:
    """Return the axes to mirror, each with the pairs of left and right classes that it exchanges.

    A warning names axes that the training did not mirror: the network has not learned from such images.
    """
    facts, flips, labels = config.dataset, config.inference.flips, config.dataset.labels
    classes = tuple(facts.class_names), cast(Modality, facts.modality)
    # An augmentation of the user's own may have no such argument.
    trained = choose_flips(config.data.augmentation.get("flip_axes", []), facts.patch_size, *classes)
    mirrored = [flip.axis for flip in trained.axes if flip.is_on]
    chosen = choose_flips(mirrored if flips == "auto" else flips, facts.patch_size, *classes)
    check_exchanges(chosen, labels, "inference.flips")
    if flips == "auto" and not mirrored:
        _log.warning("inference.flips=auto: the training mirrored no axis, so nothing is mirrored here.")
    if untrained := [flip for flip in chosen.axes if flip.is_on and flip.axis not in mirrored]:
        _log.warning(
            "inference.flips: the training of this run did not mirror %s, so the network may err in such images%s."
            " Compare the scores of validation cases with and without it.",
            ", ".join(flip.name for flip in untrained),
            "".join(dict.fromkeys(f"; {flip.reason}" for flip in untrained if flip.reason)),
        )
    if mirrored_names := [flip.name for flip in chosen.axes if flip.is_on]:
        pairs = [
            " and ".join(facts.class_names[index] for index in pair) for flip in chosen.axes for pair in flip.pairs
        ]
        exchanged = f", exchanging {shortened(pairs)}" if pairs else ""
        _log.info(
            "Test-time augmentation: mean of %d mirror images (%s%s)",
            *(2 ** len(mirrored_names), ", ".join(mirrored_names), exchanged),
        )
    first = labels.first_output
    return [
        Mirror(flip.axis, tuple((one - first, other - first) for one, other in flip.pairs))
        for flip in chosen.axes
        if flip.is_on
    ]
