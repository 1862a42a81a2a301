"""The arms that this program trains, each from the one config."""

import json
import shutil
from pathlib import Path
from typing import Any

import yaml

from research.applications.customer_service.splits import Split
from research.errors import UserError
from research.files import write_whole
from research.terminal import run_command

CONFIG = Path(__file__).with_name("config.yaml")
RUNS = Path("runs/customer_service")
TASK = "messages"
TEACHERS = {"hybrid": "teacher"}  # what has to be trained before


def settings() -> dict[str, Any]:
    """The application's ``config.yaml``."""
    given: dict[str, Any] = yaml.safe_load(CONFIG.read_text(encoding="utf-8"))
    return given


def split_of(seed: int) -> Split:
    """Which intents are known and which messages are labelled, under a seed."""
    return Split(seed, **settings()["intents"])


def folder_of(seed: int) -> Path:
    return RUNS / str(seed)


def train(arm: str, seed: int) -> Path:
    """The folder of an arm's run, which is trained unless it is there.

    Raises:
        UserError: if its fit fails.
    """
    run = folder_of(seed) / arm
    if (run / "fit.json").exists():
        return run
    if arm in TEACHERS:
        train(TEACHERS[arm], seed)
    shutil.rmtree(run, ignore_errors=True)
    config = run.with_suffix(".yaml")
    write_whole(config, yaml.safe_dump(config_of(arm, seed), sort_keys=False))
    if status := run_command(["fit", "--config", str(config)]):
        raise UserError(f"{config}: fit ended with status {status}; give the same command again to go on")
    return run


def config_of(arm: str, seed: int) -> dict[str, Any]:
    """What ``fit`` reads: what all arms share, what this one has besides, and where the seed's files lie."""
    given = settings()
    merged = merge(given["fit"], given["arms"][arm])
    merged = json.loads(json.dumps(merged).replace("FOLDER", str(folder_of(seed))))
    merged["seed_everything"] = seed
    merged["run"] |= {"name": arm, "folder": str(folder_of(seed))}
    merged["data"]["streams"][TASK]["init_args"]["shots_seed"] = seed
    return merged


def merge(first: Any, second: Any) -> Any:
    """``second`` over ``first``, key by key."""
    if not (isinstance(first, dict) and isinstance(second, dict)):
        return second
    return first | {name: merge(first[name], value) if name in first else value for name, value in second.items()}
