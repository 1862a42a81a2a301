"""Runs of the mixture, by the config beside this file: fit once, then read from their checkpoints."""

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from research.applications.recommendation.student import FilmStudent
from research.data.cache import key
from research.errors import UserError
from research.files import write_whole
from research.inference import load
from research.inference.model import Model
from research.models import Student
from research.run import CHOSEN, Run
from research.terminal import run_command

CONFIG = Path(__file__).with_name("config.yaml")


@dataclass
class Fitted:
    """A run that is done: its model, the streams of its config, and the seconds that its training took."""

    model: Model
    streams: dict[str, Any]
    seconds: float

    @property
    def student(self) -> FilmStudent:
        assert isinstance(self.model.student, FilmStudent)
        return self.model.student

    @property
    def history(self) -> int:
        """How many films before the next one it was shown."""
        return self.streams["next_films"]["init_args"]["source"]["init_args"]["history"]


def fitted(data: Path, folder: Path, seed: int, settings: Sequence[str]) -> Fitted:
    """Train by the config with ``settings`` of the command line, or go on, or read what an earlier call has trained.

    Args:
        data: where MovieLens' CSV files lie.
        folder: where the runs lie.

    Raises:
        UserError: if the fit fails; it has said why.
    """
    config = CONFIG.read_text(encoding="utf-8").replace("data/movielens", str(data))
    digest = key(config, list(settings))[:8]
    name, path = f"{digest}-seed{seed}", folder / f"{digest}.yaml"
    write_whole(path, config)
    run = Run(name=name, folder=str(folder))
    done = [version for version in run.versions() if (version / "fit.json").exists()]
    if not done:
        command = ["fit", "--config", str(path), "--seed_everything", str(seed), "--run.folder", str(folder)]
        os.environ.pop(CHOSEN, None)  # the folder of the fit before this one
        if status := run_command([*command, "--run.name", name, "--ckpt_path", "auto", *settings]):
            raise UserError(
                f"{folder / name}: the fit ended with status {status}; give the same command again to go on"
            )
        done = run.versions()
    made = yaml.safe_load((done[-1] / "config.yaml").read_text(encoding="utf-8"))
    return Fitted(load(done[-1]), made["data"]["streams"], json.loads((done[-1] / "fit.json").read_text())["seconds"])


def encoder() -> Student:
    """The text encoder that the config names, as it was published."""
    given = yaml.safe_load(CONFIG.read_text(encoding="utf-8"))["model"]["student"]["init_args"]["encoder"]
    return Student(**given)
