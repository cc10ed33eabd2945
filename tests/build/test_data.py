"""Objects that a configuration names: which errors of theirs reach the user as they are."""

import errno
import os
from collections.abc import Callable

import pytest

from aunet.build.objects import build_object
from aunet.data.sources import folder
from aunet.errors import UserError


@pytest.mark.parametrize("error", [UserError("a file is missing"), OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))])
def test_errors_of_the_user_and_of_the_disk_keep_their_type(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folder, "folder_cohort", _raising(error))
    with pytest.raises(type(error)) as raised:
        build_object({"_target_": "aunet.data.sources.folder.folder_cohort"})
    assert raised.value is error


def _raising(error: Exception) -> Callable[[], None]:
    def fail() -> None:
        raise error

    return fail
