"""The one exception whose message is meant for the person at the terminal."""

from collections.abc import Iterator
from contextlib import contextmanager


class UserError(Exception):
    """Bad input. The message is one line: it names the key, or file and line number, and what to do.

    The command line prints it without a traceback and exits with status 2.
    """


@contextmanager
def given_by(option: str) -> Iterator[None]:
    """Let an error about the ``paths`` of a source name the option of the command line that they come from."""
    try:
        yield
    except UserError as error:
        if not str(error).startswith("paths: "):
            raise
        raise UserError(f"{option} {str(error).removeprefix('paths: ')}") from None
