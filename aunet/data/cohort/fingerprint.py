"""A fingerprint of a dataset's content."""

import hashlib
from collections.abc import Sequence

from aunet.data.cohort.case import Case
from aunet.data.cohort.content_digest import ContentDigests


def dataset_fingerprint(cases: Sequence[Case], digests: ContentDigests) -> str:
    """Return 16 hexadecimal digits that change if a case is added, removed or changed, but not with the order."""
    lines = sorted(f"{case.case_id} {digest}" for case, digest in zip(cases, digests.of_cases(cases), strict=True))
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]
