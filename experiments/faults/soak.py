"""Trains for a while and watches memory, open files and threads; writes soak.json, soak.md and soak.png.

python experiments/faults/soak.py --minutes 60
"""

import argparse
import json
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from drill import row
from scipy import stats
from trial import HERE, PATIENCE, Trial

from research.ablation.results import commit
from research.evaluation.plot import MARKS, canvas, save

EVERY = 5.0  # seconds between two samples
WARM = 0.2  # of the time, at the beginning, that is no part of the slope
BLOCKS = 12  # means that the slope is fitted to: neighbouring samples are too much alike to count each as evidence
WATCHED = {"memory": "MB", "its own memory": "MB", "open files": "", "threads": "", "processes": ""}
CALLBACKS = (
    "[{class_path: research.callbacks.LossGuard, init_args: {spike: 20}}, "
    "{class_path: research.callbacks.WeightAverage}, "
    "{class_path: research.callbacks.TrainingDynamics, init_args: {objective: ce}}]"
)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=60.0)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        samples, steps = soak(60 * given.minutes, Path(folder))
    slopes = {name: slope(samples, name) for name in WATCHED}
    results = {
        "command": " ".join(["python", *sys.argv]),
        "commit": commit(),
        "minutes": given.minutes,
        "steps": steps,
        "slopes": slopes,
        "samples": samples,
    }
    (HERE / "soak.json").write_text(json.dumps(results) + "\n")
    (HERE / "soak.md").write_text("\n".join(page(results)) + "\n")
    draw(samples, HERE / "soak.png")
    print("\n".join(page(results)))
    return 0


def soak(seconds: float, folder: Path) -> tuple[list[dict[str, float]], int]:
    """The samples of a run of so many seconds, and its steps: training, validation, checkpoints and callbacks."""
    trial = Trial("bert", "sampled", 1, folder, steps=10**6, workers=1)
    with trial.running("disturbed", "--trainer.callbacks", CALLBACKS) as process:
        trial.wait_for(process, 1)
        main, started, samples = psutil.Process(process.pid), time.monotonic(), []
        while (passed := time.monotonic() - started) < seconds:
            if process.poll() is not None:
                raise RuntimeError(f"the run ended:\n{process.communicate()[0]}")
            samples.append({"seconds": passed, **sample(main)})
            time.sleep(EVERY)
        process.send_signal(signal.SIGTERM)
        said = process.communicate(timeout=PATIENCE)[0]
        if process.returncode != 128 + signal.SIGTERM:
            raise RuntimeError(f"the run did not stop as told:\n{said}")
    return samples, trial.saved()


def sample(main: psutil.Process) -> dict[str, float]:
    """Memory is that of the run with its workers, where a page that they share counts once, and that of the run alone.

    Pages of files are left out: how much of a library counts as a process's goes by who else has it in use.
    """
    workers = main.children(recursive=True)
    return {
        "memory": sum(kilobytes(process.pid, "Pss_Anon", "Pss_Shmem") for process in (main, *workers)) / 1e3,
        "its own memory": kilobytes(main.pid, "Anonymous") / 1e3,
        "open files": main.num_fds(),
        "threads": main.num_threads(),
        "processes": 1 + len(workers),
    }


def kilobytes(pid: int, *names: str) -> int:
    """These lines of the kernel's sum over all mappings of a process; 0 for one that has just ended."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return sum(int(line.split()[1]) for line in lines if line.partition(":")[0] in names)


def slope(samples: list[dict[str, float]], name: str) -> dict[str, float]:
    """Least squares through block means after the warm-up, a hour, with the 95% interval's half."""
    warm = samples[int(WARM * len(samples)) :]
    hours = np.array([s["seconds"] for s in warm]) / 3600
    values = np.array([s[name] for s in warm])
    x, y = (np.array([part.mean() for part in np.array_split(v, BLOCKS)]) for v in (hours, values))
    fit = stats.linregress(x, y)
    half = float(stats.t.ppf(0.975, BLOCKS - 2) * fit.stderr) if y.std() else 0.0
    return {"slope": float(fit.slope), "half": half, "first": float(values[0]), "last": float(values[-1])}


def page(results: dict[str, Any]) -> list[str]:
    head = ("of the run", "after warm-up", "at the end", "change an hour (95%)")
    lines = [
        f"Made by `{results['command']}` at commit {results['commit']}: {results['minutes']:g} minutes, "
        f"{results['steps']} steps; the first fifth is warm-up.",
        "",
        row(*head),
        row(*["---"] * len(head)),
    ]
    for name, unit in WATCHED.items():
        found = results["slopes"][name]
        change = f"{found['slope']:+.2f} ± {found['half']:.2f} {unit}".rstrip()
        lines.append(row(name, f"{found['first']:.4g}", f"{found['last']:.4g}", change))
    return lines


def draw(samples: list[dict[str, float]], out: Path) -> None:
    figure, axes = canvas()
    minutes = [s["seconds"] / 60 for s in samples]
    for name, mark in zip(("memory", "its own memory"), MARKS, strict=False):
        axes.plot(minutes, [s[name] for s in samples], mark, label=name)
    axes.set(xlabel="time (minutes)", ylabel="memory (MB)", ylim=(0, None))
    save(figure, axes, out)


if __name__ == "__main__":
    sys.exit(main())
