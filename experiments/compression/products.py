"""How fast a linear map is on one core, in float32, our integers and torchao's; writes products.json and products.md.

python experiments/compression/products.py
"""

import argparse
import copy
import importlib.metadata
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.benchmark import Timer
from torchao.quantization import Int8DynamicActivationInt8WeightConfig, Int8WeightOnlyConfig, quantize_

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "speed"))
from common import machine  # noqa: E402

from research.ablation.results import commit  # noqa: E402
from research.files import write_whole  # noqa: E402
from research.models.compression.integers import RoundedLinear  # noqa: E402
from research.models.linear import use_fast_linear  # noqa: E402

SHAPE = (384, 1536)  # of the largest maps of MiniLM
ROWS = (16, 64, 512)  # tokens


def ways(linear: nn.Linear) -> dict[str, Callable[[Tensor], Tensor]]:
    """The maps by their names; those of torchao also as torch.compile makes them."""
    ours = nn.Sequential(copy.deepcopy(linear))
    use_fast_linear(ours)
    found: dict[str, Any] = {
        "torch, float32": linear,
        "here, float32": ours,
        "here, int8": RoundedLinear(linear, 8),
        "here, int4": RoundedLinear(linear, 4),
    }
    for name, config in {
        "torchao, int8 weights and inputs": Int8DynamicActivationInt8WeightConfig(version=2),
        "torchao, int8 weights": Int8WeightOnlyConfig(version=2),
    }.items():
        made = nn.Sequential(copy.deepcopy(linear))
        quantize_(made, config)
        found[name] = made
        found[f"{name}, compiled"] = torch.compile(made, dynamic=True)
    return found


@torch.inference_mode()
def microseconds(way: Callable[[Tensor], Tensor], rows: int) -> float:
    """Median over a second, of processor time."""
    x = torch.randn(rows, SHAPE[0])
    way(x)
    timer = Timer("way(x)", timer=time.thread_time, globals={"way": way, "x": x}, num_threads=1)
    return 1e6 * timer.blocked_autorange(min_run_time=1.0).median


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    linear = nn.Linear(*SHAPE).requires_grad_(False)
    times = {name: [microseconds(way, rows) for rows in ROWS] for name, way in ways(linear).items()}
    about = machine()
    versions = f"torch {about['torch']}, torchao {importlib.metadata.version('torchao')}"
    lines = [f"| a map of {SHAPE[0]} to {SHAPE[1]} | {' | '.join(f'{rows} tokens (us)' for rows in ROWS)} |"]
    lines.append("|---|" + "---|" * len(ROWS))
    lines += [f"| {name} | {' | '.join(f'{time:.0f}' for time in each)} |" for name, each in times.items()]
    where = f"{about['cpu']}, {about['instructions']}, {versions}"
    lines += ["", f"Median of processor time on one core. {where}. Commit {commit()}: "
              "`python experiments/compression/products.py`."]  # fmt: skip
    found = {"machine": about, "commit": commit(), "shape": SHAPE, "rows": ROWS, "microseconds": times}
    write_whole(HERE / "products.json", json.dumps(found, indent=1) + "\n")
    write_whole(HERE / "products.md", "\n".join(lines) + "\n")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
