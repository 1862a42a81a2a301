"""Measure this project's speed beside its peers'; each part writes its own results_PART.json and .md.

python experiments/speed/run.py                          # the step against its goals
python experiments/speed/run.py --all                    # every part
python experiments/speed/run.py --parts training start_up
"""

import argparse
import subprocess
import sys
import time
from pathlib import Path

from common import HERE, ROOT, environment

PARTS = {  # a script each; those of PEERS ask for packages that the project does not need
    "step": "four losses with a teacher, against a Hugging Face Trainer and the goals",
    "training": "BERT, GPT-2 and T5, against a Hugging Face Trainer",
    "teacher_cache": "writing and reading a teacher's cache",
    "start_up": "from the command to the first step",
    "inference": "predict, against a pipeline and Sentence Transformers",
    "switches": "what our own switches give on the step",
    "objectives": "what each objective adds to a step",
    "contrastive": "against Sentence Transformers' trainer",
    "causal_distillation": "against TRL's GKD trainer",
}
PEERS = ("contrastive", "causal_distillation")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="\n".join(f"{name:20} {what}" for name, what in PARTS.items()),
    )  # fmt: skip
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=["step"])
    parser.add_argument("--all", action="store_true", help="every part")
    parser.add_argument("--peer-python", type=Path, help="an interpreter with sentence-transformers and trl installed")
    args = parser.parse_args()
    seconds: dict[str, float] = {}
    for part in PARTS if args.all else args.parts:
        print(f"== {part}: {PARTS[part]}", flush=True)
        peer = ["--peer-python", str(args.peer_python)] if part in PEERS and args.peer_python else []
        start = time.perf_counter()
        line = [sys.executable, str(HERE / f"{part}.py"), *peer]
        if subprocess.run(line, cwd=ROOT, env=environment()).returncode:
            sys.exit(f"{part} failed")
        seconds[part] = time.perf_counter() - start
    print("\n" + "\n".join(f"{part:20} {taken:5.0f} s" for part, taken in seconds.items()))


if __name__ == "__main__":
    main()
