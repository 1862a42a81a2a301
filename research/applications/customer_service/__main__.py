"""``python -m research.applications.customer_service run | chat``: train and measure the desk, or talk to it."""

import argparse
import shlex
import sys

HELP = {
    "run": "train all arms, measure them beside each other, and calibrate the one that chat talks through",
    "chat": "talk to the desk in the terminal",
}


def parsed(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m research.applications.customer_service", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    run = commands.add_parser("run", help=HELP["run"], description=HELP["run"])
    run.add_argument("--seeds", nargs="+", type=int, help="those of config.yaml by default")
    run.add_argument("--setfit-python", metavar="PATH", help="an interpreter with setfit, for that arm")
    chat = commands.add_parser("chat", help=HELP["chat"], description=HELP["chat"])
    chat.add_argument("--seed", type=int, default=0, help="whose intents it knows")
    return parser.parse_args(arguments)


def main(arguments: list[str]) -> int:
    chosen = parsed(arguments)
    if chosen.command == "chat":
        from research.applications.customer_service.chat import chat

        return chat(chosen.seed)
    from research.applications.customer_service.running import run

    told = ["PATH" if argument == chosen.setfit_python else argument for argument in arguments]
    command = shlex.join(["python", "-m", "research.applications.customer_service", *told])
    print(run(chosen.seeds, chosen.setfit_python, command))
    return 0


if __name__ == "__main__":
    from research.terminal import explained

    sys.exit(explained(main, sys.argv[1:]))
