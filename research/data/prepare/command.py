"""``data prepare``: a config, run by datatrove, and its report."""

from __future__ import annotations

import importlib.metadata
import json
import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from research.config_errors import Refused, build, parsing, refusal
from research.data.cache import key
from research.errors import UserError
from research.terminal import FULL

if TYPE_CHECKING:
    from research.data.prepare.preparation import Preparation

log = logging.getLogger(__name__)


def main(arguments: list[str]) -> int:
    """Prepare the corpus that the command line and its config files describe, and print the report."""
    try:
        return _main(arguments)
    except ImportError as error:
        if error.name is not None and error.name.startswith("research"):
            raise
        told = str(error).strip().splitlines()[-1].strip().rstrip(".")  # of datatrove itself, or of one of its steps
        raise UserError(f"{told}; data prepare needs the extra: pip install 'hybrid-fine-tuning[prepare]'") from error


def _main(arguments: list[str]) -> int:
    from jsonargparse import ArgumentParser

    from research.data.prepare.preparation import Preparation

    parser = ArgumentParser(prog="python -m research.cli data prepare", exit_on_error=False, description=__doc__)
    parser.add_argument("--config", action="config", help="YAML file with these settings; several compose")
    parser.add_class_arguments(Preparation)
    with parsing(["prepare", *arguments], parser):
        config = parser.parse_args(arguments)
    settings: dict[str, Any] = yaml.safe_load(parser.dump(config, skip_unset=False))
    try:
        made = parser.instantiate(config, instantiators=[(build, object, True)]).as_dict()
    except Refused as refused:
        raise refusal(refused, config.as_dict()) from refused
    made.pop("config")
    return prepare(Preparation(**made), settings)


def prepare(preparation: Preparation, settings: dict[str, Any]) -> int:
    """Run what is not done yet of a preparation with these `settings`, and print the report."""
    from research.data.prepare.folder import Folder
    from research.data.prepare.report import table

    digests = _digests(preparation, settings)
    folder = Folder(Path(preparation.folder).absolute())
    folder.check(digests)  # before a lock is left in a folder that is not ours
    try:
        with folder.locked():
            folder.claim(digests)
            if not folder.report.exists():
                for stage in preparation.run(folder):
                    log.info(stage)
    except OSError as error:
        if error.errno not in FULL:
            raise
        told = f"folder: {preparation.folder}: {error.strerror}"
        raise UserError(f"{told}; make room, and the same command goes on where it stopped") from error
    if not folder.report.exists():
        log.info("all stages are submitted; when they are done, the same command shows the report")
        return 0
    report = json.loads(folder.report.read_text(encoding="utf-8"))
    print(table(report))
    if not report["kept"]:
        raise UserError(f"folder: {preparation.folder}: no document was kept; report.md says which step dropped them")
    print(f"{preparation.folder}: data/ is the corpus, report.md has examples of what was dropped")
    return 0


def _digests(preparation: Preparation, settings: dict[str, Any]) -> dict[str, str]:
    """What decides the corpus, each part under the name of its setting."""
    deciding = ("exact_duplicates", "near_duplicates", "tasks", "compression")
    tests = [step.fingerprint() for step in preparation.steps if hasattr(step, "fingerprint")]
    return {
        **{f"sources.{name}": source.fingerprint() for name, source in preparation.sources.items()},
        "steps": key(settings["steps"], tests),
        **{name: key(settings[name]) for name in deciding},
        "version of datatrove": importlib.metadata.version("datatrove"),
    }
