"""What a dataset holds, in one short word."""

import hashlib
from collections.abc import Sequence

from aunet.data.cohort.case import Case
from aunet.data.cohort.content_digest import ContentDigests


def dataset_fingerprint(cases: Sequence[Case], digests: ContentDigests) -> str:
    """Sixteen hexadecimal digits that change when a case comes, goes or changes, whatever the order."""
    lines = sorted(f"{case.case_id} {digest}" for case, digest in zip(cases, digests.of_cases(cases), strict=True))
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]
