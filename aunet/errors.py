"""The one exception that means: the user can put this right."""


class UserError(ValueError):
    """A user's mistake; commands show its message without a traceback and exit with status 2.

    The message names the file or key, the value found, the rule it breaks and the remedy.
    """
