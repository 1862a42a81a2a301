"""``python -m research.applications.customer_service run | chat | page``: train and measure the desk, or talk to it."""

import argparse
import shlex
import sys

from research.arguments import Parser
from research.inference.serving.options import add_options, ready

HELP = {
    "run": "train all arms, measure them beside each other, and calibrate the one that chat talks through",
    "chat": "talk to the desk in the terminal",
    "page": "talk to the desk on a page in the browser; with HYBRID_TOKEN set, it asks for that token",
}


def parsed(arguments: list[str]) -> argparse.Namespace:
    parser = Parser(prog="python -m research.applications.customer_service", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    run = commands.add_parser("run", help=HELP["run"], description=HELP["run"])
    run.add_argument("--seeds", nargs="+", type=int, help="those of config.yaml by default")
    run.add_argument("--setfit-python", metavar="PATH", help="an interpreter with setfit, for that arm")
    for name in ("chat", "page"):
        talk = commands.add_parser(name, help=HELP[name], description=HELP[name])
        talk.add_argument("--seed", type=int, default=0, help="whose intents it knows")
    add_options(talk)
    return parser.parse_args(arguments)


def main(arguments: list[str]) -> int:
    chosen = parsed(arguments)
    if chosen.command == "chat":
        from research.applications.customer_service.chat import chat

        return chat(chosen.seed)
    if chosen.command == "page":
        ready(chosen)
        from research.applications.customer_service.page import show

        return show(chosen.seed, chosen)
    from research.applications.customer_service.running import run

    told = ["PATH" if argument == chosen.setfit_python else argument for argument in arguments]
    command = shlex.join(["python", "-m", "research.applications.customer_service", *told])
    print(run(chosen.seeds, chosen.setfit_python, command))
    return 0


if __name__ == "__main__":
    from research.terminal import explained

    sys.exit(explained(main, sys.argv[1:]))
