"""What a search has found: all trials in ``search.jsonl`` and ``search.md``, the best settings in ``best.yaml``."""

import shlex
from typing import Any

import yaml
from optuna.trial import FrozenTrial, TrialState

from research.ablation.reporting.tables import escaped
from research.ablation.results import Results, commit
from research.ablation.search.development import Development
from research.ablation.search.study import ERROR, Study, shown
from research.callbacks.pruning import PRUNED
from research.files import write_whole

STATUS = {TrialState.COMPLETE: "done", TrialState.PRUNED: "pruned", TrialState.FAIL: "failed"}


def write(study: Study, arguments: list[str]) -> None:
    """All three beside the grid's results, each whole or not at all.

    Raises:
        UserError: if one cannot be written.
    """
    search, folder = study.search, study.grid.results.parent
    header = {
        "grid": str(study.grid.path),
        "command": shlex.join(["python", "-m", "research.cli", "ablate", *arguments]),
        "commit": commit(),
        "study": study.name,
        "metric": search.metric,
        "axes": {axis: sorted({dict(c)[axis] for c in study.arms}) for axis in study.grid.axes},
        "space": search.space,
        "seeds": search.seeds,
        "trials": search.trials,
    }
    trials = study.trials()
    Results(header, [line(study, trial) for trial in trials]).write(folder / "search.jsonl")
    write_whole(folder / "search.md", "\n".join(table(study, trials)) + "\n")
    if (best := best_of(study)) and (arm := study.arm_of(best)):
        comments = f"# {study.described(best)}\n# {header['command']} (commit {header['commit']})\n"
        write_whole(folder / "best.yaml", comments + yaml.safe_dump(Development(arm).settings, sort_keys=False))


def best_of(study: Study) -> FrozenTrial | None:
    """The first of the finished trials that did best."""
    done = [trial for trial in study.trials() if trial.state == TrialState.COMPLETE]
    sign = 1 if study.search.direction == "maximize" else -1
    return max(done, key=lambda trial: sign * trial.values[0], default=None)


def line(study: Study, trial: FrozenTrial) -> dict[str, Any]:
    """A trial in ``search.jsonl``."""
    known = {"trial": trial.number, "status": STATUS.get(trial.state, "missing"), "settings": trial.params}
    known |= {"value": trial.value, "curve": trial.intermediate_values, "runs": study.folders(trial)}
    return known | {name: trial.user_attrs[name] for name in (PRUNED, ERROR) if name in trial.user_attrs}


def table(study: Study, trials: list[FrozenTrial]) -> list[str]:
    """Markdown: the best trial first, then those that were given up, failed or are not done."""
    search, settings = study.search, list(study.distributions)
    sign = 1 if search.direction == "maximize" else -1
    order = sorted(trials, key=lambda t: (t.state != TrialState.COMPLETE, -sign * (t.value or 0), t.number))
    rows = [["trial", "status", search.figure, *settings], ["---:", "---", "---:", *(["---"] * len(settings))]]
    for trial in order:
        status = STATUS.get(trial.state, "missing")
        after = f" after step {trial.user_attrs[PRUNED]}" if PRUNED in trial.user_attrs else ""
        value = "" if trial.value is None else shown(trial.value)
        drawn = (trial.params.get(name, "") for name in settings)
        rows.append([str(trial.number), status + after, value, *map(shown, drawn)])
    return [f"| {' | '.join(map(escaped, row))} |" for row in rows]
