"""The whole of it: every arm and seed, then the tables; what lies there already is not done again."""

import json
from collections.abc import Sequence
from typing import Any

import yaml

from research.ablation.results import commit
from research.applications.customer_service.measuring import curve, measured
from research.applications.customer_service.reporting import write
from research.applications.customer_service.scoring import SETFIT, labelled, scores
from research.applications.customer_service.splits import spoken
from research.applications.customer_service.training import RUNS, TEACHERS, folder_of, settings, split_of
from research.errors import UserError
from research.files import write_whole
from research.inference.decisions.scope import DETECTORS
from research.terminal import run_command


def run(seeds: Sequence[int] | None, python: str | None, command: str) -> str:
    """Train, ask, measure and calibrate; returns the tables.

    Raises:
        UserError: if the runs that lie there are of another config.
    """
    given = settings()
    seeds = list(seeds or given["seeds"])
    check_config(given)
    arms = [arm for arm in given["arms"] if arm not in TEACHERS.values()]
    arms = [*arms[:-1], *([SETFIT] if python else []), arms[-1]]
    results: dict[str, Any] = {
        "command": command, "commit": commit(), "seeds": seeds, "deployed": given["deployed"], "risk": given["risk"],
        "load": [], "arms": {arm: [] for arm in arms},
    }  # fmt: skip
    curves = {}
    for seed in seeds:
        split = split_of(seed)
        split.write(folder_of(seed))
        for arm in arms:
            arrays = scores(arm, seed, python)
            figures = measured(arrays, labelled(seed), split.near(), split.known, given["risk"])
            results["arms"][arm].append(figures)
            print(f"seed {seed} {arm}: accuracy {figures['accuracy']:.3f}, AUROC {figures['auroc/chosen/near']:.3f}")
            if seed == seeds[0]:
                curves[arm] = curve(arrays, labelled(seed), split.known)
            if arm == given["deployed"]:
                calibrate(seed, arm)
                results["load"].append(float(arrays["load"]))
    if not python:
        print("setfit is left out: its package wants other versions than ours; name its interpreter by --setfit-python")
    return write(results, curves)


def calibrate(seed: int, arm: str) -> None:
    """Fit the decisions of the arm that chat talks through.

    Raises:
        UserError: if that fails.
    """
    folder = folder_of(seed)
    if (folder / arm / "decisions.json").exists():
        return
    names = folder / "names.json"
    write_whole(names, json.dumps({intent: spoken(intent) for intent in split_of(seed).known}, indent=1))
    line = ["calibrate", "--ckpt", str(folder / arm), "--risk", str(settings()["risk"]), "--names", str(names)]
    line += ["--out-of-scope", *DETECTORS, "--outside", str(folder / "development.csv")]
    if status := run_command(line):
        raise UserError(f"{folder / arm}: calibrate ended with status {status}")


def check_config(given: dict[str, Any]) -> None:
    """Keep beside the runs what they are made by, and refuse to go on with those of another config."""
    kept, now = RUNS / "config.yaml", yaml.safe_dump(given)
    if kept.exists() and kept.read_text(encoding="utf-8") != now:
        raise UserError(f"{RUNS}: its runs are of another config.yaml; move the folder away to begin again")
    write_whole(kept, now)
