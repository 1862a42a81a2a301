"""The messages of argparse are asked for from argparse itself, so that a new wording of its own shows here."""

import pytest

from research.arguments import Parser
from research.errors import UserError


def parser() -> Parser:
    made = Parser(prog="program")
    made.add_argument("runs", nargs="+", metavar="RUN")
    made.add_argument("--examples", type=int)
    made.add_argument("--page", choices=["html", "md"])
    either = made.add_mutually_exclusive_group()
    either.add_argument("--embed", action="store_true")
    either.add_argument("--score", action="store_true")
    return made


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ([], "missing: RUN; see program --help"),
        (["a", "--examples"], "--examples: expected one argument"),
        (["a", "--examples", "x"], "--examples: must be int, not 'x'"),
        (["a", "--exmaples", "3"], "exmaples: not accepted; did you mean examples?"),
        (["a", "--ex", "3"], "ex: not accepted; there is h, help, examples, page, embed, score"),
        (["a", "--page", "pdf"], "--page: invalid choice: 'pdf' (choose from 'html', 'md')"),
        (["a", "--embed", "--score"], "--score: not allowed with argument --embed"),
    ],
)
def test_one_line_for_one_option(arguments: list[str], told: str) -> None:
    with pytest.raises(UserError) as refused:
        parser().parse_args(arguments)
    assert str(refused.value).replace("choose from html, md", "choose from 'html', 'md'") == told  # Python 3.12
