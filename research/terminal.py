"""Between a command and the terminal: quiet libraries, one line an error, and the exit status."""

import gc
import importlib
import logging
import os
import re
import sys
import traceback
import warnings
from collections.abc import Callable

from research.errors import UserError
from research.files import FULL

MODULES = {  # commands of one word but those of training, by the module whose main() runs them
    "ablate": "research.ablation.command",
    "average": "research.averaging.command",
    "calibrate": "research.inference.decisions.command",
    "completion": "research.completion",
    "compress": "research.compression.command",
    "errors": "research.evaluation.errors.command",
    "explain": "research.inference.explanation.command",
    "export": "research.inference.export.command",
    "init": "research.init.command",
    "plan": "research.planning.command",
    "report": "research.evaluation.report",
    "serve": "research.inference.serving.command",
}
GROUPS = {  # and those of two words
    "checkpoint": {"consolidate": "research.checkpoints.consolidate"},
    "data": {"prepare": "research.data.prepare.command", "inspect": "research.data.inspect"},
    "teacher": {
        "cache": "research.models.teachers.caching.command",
        "label": "research.models.teachers.remote.label",
        "generate": "research.models.teachers.remote.generate",
        "write": "research.models.teachers.remote.writing",
    },
}

RESUME = "go on with the same command and --ckpt_path last"
FAULTS = {  # what messages of libraries mean
    r"DataLoader worker \(pid\D*([\d, ]+)\)": "a loader's worker (pid {0}) was killed, as a system does that is short "
    f"of memory; lower data.num_workers if it happens again, and {RESUME}",
    r"\bgloo\b|\bNCCL\b": "the connection to another process of this run is lost: it has "
    f"ended, hangs, or is out of reach; {RESUME}",
}


def run_command(arguments: list[str]) -> int:
    """Run a command line of ``research.cli`` and give its exit status."""
    return explained(dispatch, arguments)


def explained(main: Callable[[list[str]], int], arguments: list[str]) -> int:
    """The exit status of a program, whose errors are one line each; ``HYBRID_TRACEBACK=1`` shows tracebacks too."""
    quieten()
    try:
        return main(arguments)
    except BaseException as error:
        if os.environ.get("HYBRID_TRACEBACK") == "1" and not isinstance(error, SystemExit):
            traceback.print_exc()
        return explain(error)


def dispatch(arguments: list[str]) -> int:
    """Run a command; its errors are raised."""
    if arguments[0] == "predict" and answers_texts(arguments):
        return _run("research.inference.command", arguments[1:])
    if arguments[0] in MODULES:
        return _run(MODULES[arguments[0]], arguments[1:])
    if arguments[0] in GROUPS:
        return _grouped(*arguments)
    if "research.training_cli" not in sys.modules:  # a second run of this process must not freeze the first
        gc.disable()  # looking for garbage among what the imports make would be a third of the start
        importlib.import_module("research.training_cli")
        gc.freeze()
        gc.enable()
    from research.training_cli import TrainingCLI

    TrainingCLI(arguments)
    return 0


def answers_texts(arguments: list[str]) -> bool:
    """Whether ``predict`` is asked for texts, and not for the test splits of a config."""
    return any(argument.split("=")[0] in ("--ckpt", "-h", "--help") for argument in arguments)


def _grouped(group: str, command: str, *arguments: str) -> int:
    modules = GROUPS[group]
    if command not in modules:
        raise UserError(f"{group}: no command '{command}'; there is {' and '.join(modules)}")
    return _run(modules[command], list(arguments))


def _run(module: str, arguments: list[str]) -> int:
    status: int = importlib.import_module(module).main(arguments)
    return status


def explain(error: BaseException) -> int:
    """Say in one line what went wrong; returns the exit status."""
    if isinstance(error, SystemExit):
        return error.code if isinstance(error.code, int) else 0 if error.code is None else 1
    if isinstance(error, KeyboardInterrupt):
        print("\nstopped", file=sys.stderr)
        return 130
    if isinstance(error, UserError):
        last = str(error).splitlines()[-1]  # a loader's worker puts its traceback before it
        print(f"error: {last.removeprefix('research.errors.UserError: ')}", file=sys.stderr)
        return 2
    if native := re.search(r"\(os error (\d+)\)", str(error)):  # how libraries written in Rust report it
        error = OSError(int(native[1]), os.strerror(int(native[1])))
    if isinstance(error, OSError) and error.strerror:
        where = error.filename or "a file of the run or of the cache"
        advice = "; make room, or move run.folder and XDG_CACHE_HOME" if error.errno in FULL else ""
        print(f"error: {where}: {error.strerror}{advice}", file=sys.stderr)
        return 2
    from research.callbacks.checkpoint import Stopped  # slow to import, and no other error needs it

    if isinstance(error, Stopped):
        print(f"\n{error}; {RESUME}", file=sys.stderr)
        return 128 + error.number
    for pattern, meaning in FAULTS.items():
        if found := re.search(pattern, str(error)):
            print(f"error: {meaning.format(*found.groups())}", file=sys.stderr)
            return 1
    lines = [line.strip() for line in str(error).splitlines() if line.strip()] or ["no message"]
    said = lines[-1] if "in DataLoader worker process" in lines[0] else lines[0]  # a worker puts its traceback between
    print(
        f"error: {type(error).__name__}: {said} (set HYBRID_TRACEBACK=1 to see where it happened)",
        file=sys.stderr,
    )
    return 1


def quieten() -> None:
    """Our own lines at INFO; of the libraries only what a user can act on."""
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")
    os.environ.setdefault("WANDB_SILENT", "true")
    os.environ.setdefault("HF_HUB_VERBOSITY", "error")  # every retry is two lines; the error says it once
    logging.getLogger("huggingface_hub").setLevel(logging.ERROR)
    logging.basicConfig(format="%(message)s", level=logging.WARNING)
    logging.getLogger("research").setLevel(logging.INFO)
    for message in (
        ".*does not have many workers.*",
        ".*`isinstance\\(treespec, LeafSpec\\)`.*",
        ".*Checkpoint directory .* exists and is not empty.*",
        ".*in eval mode at the start of training.*",
        ".*smaller than the logging interval.*",
        ".*data pointer of FakeTensor.*",  # plan counts with them
        ".*barebones=True.*",
        ".*will save all targets and predictions in the buffer.*",  # figures of a rank need them all
        ".*sync_dist=True.*",  # results are synchronised by their metrics
    ):
        warnings.filterwarnings("ignore", message=message)
