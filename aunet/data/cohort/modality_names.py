"""The modality of a channel, given by the user, by its name in ``dataset.json`` or by the names of its files."""

import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace
from typing import get_args

from aunet.data.cohort.case import Cohort, Modality
from aunet.errors import UserError

MODALITIES: tuple[Modality, ...] = get_args(Modality)

# Whole words only: CT1 is a T1 with contrast in some datasets and the first CT in others, PT is also a patient.
_SEQUENCES = r"flair|adc|dwi|swi|dce|lge|tof|mprage|vibe|bssfp|dixon|cine|zscore"
_WORDS_OF: dict[Modality, re.Pattern[str]] = {
    "ct": re.compile(r"ct|cta|cect|ncct|cbct|ldct|hu"),
    "mr": re.compile(rf"mri?|mra|t[12](n|c|f|w|wi|gd|ce|fs|star|map)?|{_SEQUENCES}"),
    "pet": re.compile(r"pet|suv|fdg"),
}


def words_of(name: str) -> frozenset[str]:
    """Return the words in ``name``, in lower case: ``CT_venous`` holds ct and venous."""
    return frozenset(word for word in re.split(r"[^a-z0-9]+", name.lower()) if word)


def modality_of_words(words: Collection[str]) -> Modality | None:
    """Return the modality that ``words`` name; None if they name none, or several."""
    said: list[Modality] = [modality for modality, pattern in _WORDS_OF.items() if any(map(pattern.fullmatch, words))]
    return said[0] if len(said) == 1 else None


def modalities_of_names(names: Iterable[object]) -> tuple[Modality | None, ...]:
    """Return the modality of each channel by its name: CT, CT_venous, T1w, ADC, MRI, PET, SUV and so on.

    Examples:
        >>> modalities_of_names(["CT_venous", "T1w", "unknown"])
        ('ct', 'mr', None)
    """
    return tuple(modality_of_words(words_of(str(name))) for name in names)


def shared_modality(modalities: Iterable[Modality | None]) -> Modality | None:
    """Return the modality of all channels; None if they differ or one is not known."""
    different = set(modalities)
    return different.pop() if len(different) == 1 else None


def with_modalities(cohort: Cohort, given: str | Sequence[str], key: str) -> Cohort:
    """Return ``cohort`` with the modality that the setting ``key`` has for all of its channels, or for each.

    Raises:
        UserError: if a word is not a modality, or a list does not have one for each channel.
    """
    words = (given,) * cohort.num_channels if isinstance(given, str) else tuple(given)
    if unknown := set(words) - set(MODALITIES):
        raise UserError(
            f"{key}={given}: {sorted(unknown)[0]} is not one of {', '.join(MODALITIES)}. Write one for all channels, or"
            " a list of one for each."
        )
    if len(words) != cohort.num_channels:
        raise UserError(
            f"{key}={list(words)}: it lists {len(words)} modalities, but {cohort.root or cohort.name} has"
            f" {cohort.num_channels} channels. Write one for all channels, or one for each."
        )
    modalities: tuple[Modality, ...] = tuple(modality for word in words for modality in MODALITIES if modality == word)
    return replace(cohort, modality=shared_modality(modalities), modalities=modalities)
