"""Files that are there whole or not at all."""

import errno
import os
from contextlib import suppress
from pathlib import Path

from research.errors import UserError

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def write_whole(path: Path, text: str) -> None:
    """Write a text file and the folders above it; what cannot be written whole leaves the file as it was.

    Raises:
        UserError: if it cannot be written.
    """
    work = path.with_name(f".{path.name}.new")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        work.write_text(text, encoding="utf-8")
        os.replace(work, path)
    except BaseException as error:
        with suppress(OSError):
            work.unlink()
        if isinstance(error, OSError):
            raise unwritable(path, error) from None
        raise


def unwritable(path: Path, error: OSError) -> UserError:
    """What to say of a file or folder that cannot be written."""
    advice = "; make room, then give the same command again" if error.errno in FULL else ""
    return UserError(f"{path}: cannot be written ({error.strerror}){advice}")
