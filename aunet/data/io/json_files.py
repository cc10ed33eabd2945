"""A reader of JSON from a user, which may be anything."""

import json
from pathlib import Path
from typing import Any

from aunet.errors import UserError


def read_json(file: Path, remedy: str) -> Any:
    """Read ``file``, with or without a byte order mark; raise UserError, ending in ``remedy``, if it is not JSON."""
    try:
        return json.loads(file.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise UserError(f"{file}: cannot be read ({error.strerror}). {remedy}") from None
    except (ValueError, RecursionError) as error:
        raise UserError(f"{file}: not valid JSON ({error}). {remedy}") from None
