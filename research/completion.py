"""``completion SHELL``: a script by which a shell completes ``hybrid``: commands, options, keys of configs and files.

In bash and zsh: eval "$(hybrid completion bash)"; in tcsh: hybrid completion tcsh | source /dev/stdin
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from research import cli, terminal
from research.arguments import SHOW, Parser, Shown
from research.errors import UserError

if TYPE_CHECKING:
    from argparse import ArgumentParser
    from collections.abc import Iterator

PROGRAM = "hybrid"


def main(arguments: list[str]) -> int:
    """Print the script."""
    parser = Parser(prog="python -m research.cli completion", description=__doc__)
    parser.add_argument("shell", choices=["bash", "zsh", "tcsh"])
    shell = parser.parse_args(arguments).shell
    try:
        import shtab
    except ImportError:
        raise UserError("completion needs the extra: pip install 'hybrid-fine-tuning[completion]'") from None
    print(shtab.complete(whole(), shell))
    return 0


def whole() -> ArgumentParser:
    """All commands as one parser, as shtab reads it."""
    parser = Parser(prog=PROGRAM)
    commands = parser.add_subparsers()
    for name in cli.COMMANDS:
        command = commands.add_parser(name, help=name)
        if name in terminal.GROUPS:
            below = command.add_subparsers()
            for second in terminal.GROUPS[name]:
                take(shown([name, second]), below.add_parser(second, help=second))
        else:
            take(shown([name]), command)
            if name == "predict":
                take(shown([name, "--ckpt"]), command)
    return parser


def shown(line: list[str]) -> Iterator[ArgumentParser]:
    """The parser that a command makes; none where it needs an extra that is not installed."""
    with suppress(UserError):
        try:
            terminal.dispatch([*line, SHOW])
        except Shown as found:
            yield found.parser


def take(parsers: Iterator[ArgumentParser], into: ArgumentParser) -> None:
    """Give a command what completion needs of its options: their names, choices, and whether a value follows."""
    import shtab

    for parser in parsers:
        for action in parser._actions:
            names = [name for name in action.option_strings if name not in into._option_string_actions]
            if action.option_strings and not names:
                continue
            if action.nargs == 0:
                into.add_argument(*names, action="store_true")
                continue
            choices = list(action.choices) if action.choices else None
            made = into.add_argument(*(names or [action.dest]), nargs=action.nargs, choices=choices)
            if not choices:
                made.complete = shtab.FILE  # type: ignore[attr-defined]
