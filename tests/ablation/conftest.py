"""A grid over the tiny run of the integration tests, and results without runs."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from research.ablation.results import Results

TINY = Path(__file__).parents[1] / "integration" / "tiny.yaml"


@pytest.fixture
def grid_file(tmp_path: Path, slices: Path) -> Callable[..., Path]:
    """``grid_file("axes: ...")``: a grid file of a folder called ``question``, whose base is the tiny run."""

    def grid_file(text: str) -> Path:
        folder = tmp_path / "question"
        folder.mkdir(exist_ok=True)
        (folder / "base.yaml").write_text(TINY.read_text().replace("SLICES", str(slices)))
        (folder / "grid.yaml").write_text(f"base: base.yaml\nruns: {tmp_path}/runs\n{text}")
        return folder / "grid.yaml"

    return grid_file


@pytest.fixture
def one_thread() -> Iterator[None]:
    """As the tasks have it: sums in another order would differ in their last digits."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def results_of() -> Callable[..., Results]:
    """``results_of({"objectives": [...]}, {("all",): [{"test/ce/accuracy": 0.9}, None, "its log"]})``.

    Each arm has an entry a seed: its metrics, None where it is missing, or the end of its log where it failed.
    Metrics may hold ``examples``, ``curve`` and ``seconds`` besides.
    """

    def results_of(
        axes: Mapping[str, Sequence[str]],
        arms: Mapping[tuple[str, ...], Sequence[Any]],
        metrics: Mapping[str, str] | None = None,
        baseline: Mapping[str, str] | None = None,
    ) -> Results:
        header = {
            "grid": "experiments/question/grid.yaml", "command": "python -m research.cli ablate", "commit": "abc1234",
            "metrics": metrics or {"test/ce/accuracy": "max"}, "axes": axes, "baseline": baseline or {},
            "seeds": list(range(max(map(len, arms.values())))),
        }  # fmt: skip
        runs = []
        for arm, entries in arms.items():
            for seed, entry in enumerate(entries):
                key = f"{len(runs):04x}"
                run = {"arm": dict(zip(axes, arm, strict=True)), "seed": seed, "key": key, "status": "missing",
                       "run": f"../../runs/ablations/question/{key}",
                       "options": ["--config", f"{'_'.join(arm)}.yaml", "--seed_everything", str(seed)]}  # fmt: skip
                if isinstance(entry, str):
                    run |= {"status": "failed", "error": entry}
                elif entry is not None:
                    run |= {
                        "status": "done", "commit": "abc1234",
                        "metrics": {name: value for name, value in entry.items() if "/" in name},
                        "cost": {"seconds": entry.get("seconds", 10.0), "steps": 5, "tokens": 50, "peak_memory_gb": 1},
                        "curve": entry.get("curve", {"step": [], "loss": []}),
                        "examples": entry.get("examples", {}),
                    }  # fmt: skip
                runs.append(run)
        return Results(header, runs)

    return results_of
