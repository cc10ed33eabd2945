"""The peak memory of this process."""

import resource
import sys


def peak_memory_bytes() -> int:
    """Return the peak resident memory of this process in bytes (macOS counts bytes, Linux kibibytes)."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
