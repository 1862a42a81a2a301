"""The command line of a command that reads no config, refused as all bad input is: in one line."""

import argparse
import difflib
import re
from collections.abc import Iterable
from typing import Any, NoReturn

from research.errors import UserError

SHOW = "\0parser"  # in place of arguments: what no shell can give


class Shown(BaseException):
    """Raised with the parser of a command that is asked to :data:`SHOW` it."""

    def __init__(self, parser: argparse.ArgumentParser) -> None:
        super().__init__()
        self.parser = parser


class Parser(argparse.ArgumentParser):
    """Options are written out in full, and what is wrong with them is a :class:`UserError`, not a page of usage."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**{"allow_abbrev": False, **settings})

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        if args and args[-1] == SHOW:
            raise Shown(self)
        return super().parse_known_args(args, namespace)

    def error(self, message: str) -> NoReturn:
        """Raises:
        UserError: in place of argparse's usage and exit.
        """
        known = [option.lstrip("-") for option in self._option_string_actions]
        told = message.replace("the following arguments are required", "missing")
        raise refused(message, known) or UserError(f"{told}; see {self.prog} --help")


def refused(message: str, known: Iterable[str]) -> UserError | None:
    """What argparse says of one option, beginning with its name; nothing where it speaks of none or of several."""
    if match := re.match(r"argument (?:-\w/)?([\w.-]+): (.+)", message):
        return UserError(f"{match[1]}: " + re.sub(r"^invalid (\w+) value: ", r"must be \1, not ", match[2]))
    if match := re.match(r"unrecognized arguments: -*([^\s=]+)", message):
        return UserError(f"{match[1]}: not accepted{nearest(match[1], known)}")
    return None


def nearest(word: str, known: Iterable[str]) -> str:
    """The end of a sentence that names the known word most like ``word``, or all of them if they are few."""
    known = list(known)
    if close := difflib.get_close_matches(word, known, 1):
        return f"; did you mean {close[0]}?"
    return f"; there is {', '.join(known)}" if 0 < len(known) <= 20 else ""
