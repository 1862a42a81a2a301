"""What a checkpoint costs: how long training waits for it, and its checksums; writes results_checkpoints.json, .md.

python experiments/speed/checkpoints.py --repeats 7
"""

import argparse
import tempfile
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from common import commit, machine, made_by, spread, table, write

from research.checkpoints.writing import AsyncCheckpointIO, AtomicCheckpointIO

PARAMETERS = 22_700_000  # of MiniLM; the optimiser has two moments of each


def seconds(call: Callable[[], Any]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def compare(path: Path) -> None:
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None


def measure(checkpoint: dict[str, Any], folder: Path) -> dict[str, float]:
    path, at_once, beside = folder / "last.ckpt", AtomicCheckpointIO(), AsyncCheckpointIO()
    took = {"training waits, written at once": seconds(lambda: at_once.save_checkpoint(checkpoint, path))}
    torch.serialization.set_crc32_options(False)
    took["the same without checksums"] = seconds(lambda: at_once.save_checkpoint(checkpoint, path))
    torch.serialization.set_crc32_options(True)
    took["training waits, checkpoint_async"] = seconds(lambda: beside.save_checkpoint(checkpoint, path))
    took["then the thread writes"] = seconds(beside.wait)
    took["comparing the checksums"] = seconds(lambda: compare(path))
    took["torch.load"] = seconds(lambda: torch.load(path, weights_only=True))
    assert at_once.error is None and beside.error is None
    return took


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--folder", help="on the disk to measure; the default is that of temporary files")
    args = parser.parse_args()
    results: dict[str, Any] = {
        "command": f"python experiments/speed/checkpoints.py --repeats {args.repeats}",
        "commit": commit(),
        "machine": machine(),
    }
    parts = {name: torch.randn(PARAMETERS // 100, 100) for name in ("state_dict", "exp_avg", "exp_avg_sq")}
    checkpoint: dict[str, Any] = {"hybrid": {}, **parts}
    with tempfile.TemporaryDirectory(dir=args.folder) as folder:
        runs = results["runs"] = [measure(checkpoint, Path(folder)) for _ in range(args.repeats)]
        size = (Path(folder) / "last.ckpt").stat().st_size
    rows = [
        [name, spread([run[name] for run in runs]), spread([size / 1e9 / run[name] for run in runs])]
        for name in runs[0]
    ]
    what = f"A checkpoint of {size / 1e6:.0f} MB, 22.7 M parameters and AdamW's moments"
    end = f"{what}; median (least to most) of {args.repeats} repeats in turn."
    write("results_checkpoints", results, [*made_by(results), *table(["", "seconds", "GB a second"], rows), "", end])


if __name__ == "__main__":
    main()
