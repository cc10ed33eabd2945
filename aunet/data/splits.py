"""Which case is for training, which for validation, which for testing: always whole patients."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass

from aunet.data.case import Case
from aunet.data.keyed_randomness import Purpose, generator
from aunet.errors import UserError


@dataclass(frozen=True)
class Splits:
    """The case ids of each part, in order of the dataset."""

    train: tuple[str, ...]
    val: tuple[str, ...]
    test: tuple[str, ...]

    def as_dict(self) -> dict[str, list[str]]:
        """Lists by part, as ``splits.json`` holds them."""
        return {part: list(case_ids) for part, case_ids in asdict(self).items()}


def split_cases(cases: Sequence[Case], val: float, test: float, seed: int) -> Splits:
    """Draw whole patients for the test part, then for validation; the rest trains.

    Args:
        cases: the labelled cases of a dataset.
        val: share of the patients (0 < val < 1), at least one patient.
        test: likewise.
        seed: the same seed and patients give the same parts.
    """
    patients = sorted({case.patient for case in cases})
    num_test, num_val = (max(1, round(share * len(patients))) for share in (test, val))
    if val <= 0 or test <= 0 or num_test + num_val >= len(patients):
        raise UserError(
            f"data.split: val={val}, test={test} of {len(patients)} patients leaves no case for one of training,"
            " validation and testing. Both shares must be above 0 and leave some patients; three are the least."
        )
    drawn = [patients[at] for at in generator(Purpose.SPLIT, seed).permutation(len(patients))]
    test_patients, val_patients = set(drawn[:num_test]), set(drawn[num_test : num_test + num_val])
    return Splits(
        train=tuple(c.case_id for c in cases if c.patient not in test_patients | val_patients),
        val=tuple(c.case_id for c in cases if c.patient in val_patients),
        test=tuple(c.case_id for c in cases if c.patient in test_patients),
    )
