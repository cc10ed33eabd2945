"""The one exception that means: the user can put this right."""

import errno


class UserError(ValueError):
    """A user's mistake; commands show its message without a traceback and exit with status 2.

    The message names the file or key, the value found, the rule it breaks and the remedy.
    """


class NoRoomError(UserError):
    """The cases are sound, but they do not fit."""


def is_disk_full(error: BaseException) -> bool:
    """Whether ``error`` is a full disk's or that of a used-up quota."""
    return isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)
