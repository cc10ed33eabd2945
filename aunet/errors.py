"""The exception for errors that the user can correct."""

import errno


class UserError(ValueError):
    """A user's mistake; commands show its message without a traceback and exit with status 2.

    The message names the file or key, the value found, the rule it breaks and the remedy.
    """


class NoRoomError(UserError):
    """The error for sound cases that do not fit."""


def is_disk_full(error: BaseException) -> bool:
    """Return whether ``error`` comes from a full disk or a used-up quota."""
    return isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)
