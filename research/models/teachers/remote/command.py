"""A job on the command line: its config, and what it costs."""

from research.config_errors import Refused, build, parsing, refusal
from research.errors import UserError
from research.models.teachers.remote.job import Job


def run(kind: type[Job], name: str, arguments: list[str]) -> int:
    """Say what the job costs at most; do it, unless only the estimate is asked for."""
    from jsonargparse import ArgumentParser

    parser = ArgumentParser(prog=f"python -m research.cli teacher {name}", exit_on_error=False)
    parser.add_argument("--config", action="config", help="YAML file with these settings; several compose")
    parser.add_argument("--estimate", type=bool, default=False, help="say what it costs at most, and ask nothing")
    parser.add_class_arguments(kind)
    with parsing([name, *arguments], parser):
        config = parser.parse_args(arguments)
    try:
        made = parser.instantiate(config, instantiators=[(build, object, True)]).as_dict()
    except Refused as refused:
        raise refusal(refused, config.as_dict()) from refused
    estimate = made.pop("estimate")
    made.pop("config")
    job = kind(**made)
    try:
        job.estimate()
        if not estimate:
            job.run()
    except ModuleNotFoundError as error:
        raise UserError(
            f"{error.name}: asking a server needs the extra: pip install 'hybrid-fine-tuning[remote]'"
        ) from None
    return 0
