"""The exception for errors that the user can correct."""

import errno


class UserError(ValueError):
    """A user's mistake; commands show its message without a traceback and exit with status 2.

    The message names the file or key, the value found, the rule it breaks and the remedy.
    """


class MissingPackageError(UserError):
    """The error for a file that an optional package would read.

    Attributes:
        need: the package and how to install it, without the file.
    """

    def __init__(self, subject: str, need: str) -> None:
        super().__init__(f"{subject}: {need}")
        self.need = need


class NoRoomError(UserError):
    """The error for sound cases that do not fit."""


_REMEDY_OF_MEMORY = "Close other programs, or take smaller patches or batches (data.patch_size, data.batch_size)"
_REMEDY_OF_PROCESSES = "End other programs, or raise the limit (ulimit -u, or that of the container)"
# Faults of the surroundings, not of a program: error number -> rule and remedy.
_SURROUNDINGS = {
    errno.ENOSPC: "the disk is full. Free some space and start again",
    errno.EDQUOT: "the quota of the disk is used up. Free some space and start again",
    errno.EACCES: "permission denied. Change its permissions, or give another place",
    errno.EPERM: "the system does not permit it. Change its permissions, or give another place",
    errno.EROFS: "the file system is read-only. Give another place",
    errno.EISDIR: "it is a folder where a file must be. Move it, or give another place",
    errno.ENOTDIR: "a part of this path is a file. Give a folder",
    errno.ENAMETOOLONG: "the name is too long for the file system. Give a shorter one",
    errno.EMFILE: "too many files are open. Raise the limit (ulimit -n)",
    errno.ENOMEM: f"there is not enough memory. {_REMEDY_OF_MEMORY}",
    errno.EAGAIN: f"the system starts no more processes. {_REMEDY_OF_PROCESSES}",
    errno.EIO: "the disk or the network reports an error. Copy the file to another one",
    errno.ESTALE: "the network file system has lost the file. Start again with resume=",
}


def describe_surroundings(error: Exception) -> str | None:
    """Return one sentence on an error of the user's disk, permissions, memory or system; None for any other error."""
    if is_out_of_memory(error):
        reason = str(error).partition("\n")[0]
        return f"not enough memory{reason and f' ({reason})'}. {_REMEDY_OF_MEMORY}."
    if isinstance(error, RuntimeError) and str(error) == "can't start new thread":
        return f"the system starts no more threads. {_REMEDY_OF_PROCESSES}."
    if not isinstance(error, OSError):
        return None
    rule = _SURROUNDINGS.get(error.errno or 0)
    return None if rule is None else f"{error.filename or 'a file'}: {rule}."


def is_disk_full(error: BaseException) -> bool:
    """Return whether ``error`` comes from a full disk or a used-up quota."""
    return isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether ``error`` says that memory is lacking, on a GPU or on a processor.

    torch has a type for a GPU's, named here so that torch need not be imported, and none for a processor's.
    """
    if isinstance(error, RuntimeError):
        return type(error).__name__ == "OutOfMemoryError" or "DefaultCPUAllocator: " in str(error)
    return isinstance(error, MemoryError)


def is_worker_killed(error: BaseException) -> bool:
    """Return whether ``error`` is torch's report that the system killed a process of a loader."""
    return isinstance(error, RuntimeError) and str(error).startswith("DataLoader worker (pid")
