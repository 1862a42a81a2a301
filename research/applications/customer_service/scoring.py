"""What each arm says of each set of messages: logits and embeddings, kept as arrays beside its run."""

import json
import os
import shutil
import subprocess
import time
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch

from research.applications.customer_service.faq import faq
from research.applications.customer_service.splits import FAR, Messages, far
from research.applications.customer_service.training import TASK, config_of, folder_of, settings, split_of, train
from research.data.stream_module import Connection, StreamDataModule
from research.data.task import TaskDataModule
from research.inference import load
from research.models import Student
from research.models.backbone import resolve
from research.step import Clean

SETFIT = "setfit"

Scores = dict[str, np.ndarray]
"""``SET/logits`` (N, C), ``SET/embeddings`` (N, H), ``latency`` (n,) in seconds a message, ``load`` of the machine."""


def scores(arm: str, seed: int, python: str | None) -> Scores:
    """Those of an arm, trained and asked unless they lie there; ``python`` is the interpreter that has SetFit."""
    path = folder_of(seed) / f"{arm}.npz"
    if not path.exists():
        if arm == SETFIT:
            asked_setfit(seed, path, str(python))
        else:
            write_arrays(path, asked(arm, seed))
    with np.load(path) as arrays:
        return dict(arrays)


def asked(arm: str, seed: int) -> Scores:
    """The scores and the latency of one arm on its seed's split, on one thread where time counts."""
    model = load(train(arm, seed), decisions=False)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        out: Scores = {"latency": latency(lambda text: list(model.predict([text])), timed(seed))}
        out["load"] = np.array(os.getloadavg()[0])
    finally:
        torch.set_num_threads(threads)
    for name, texts in texts_of(seed).items():
        out[f"{name}/logits"], out[f"{name}/embeddings"] = model.scores(texts)
    if arm != settings()["deployed"]:
        shutil.rmtree(folder_of(seed) / arm / "checkpoints")
    return out


def asked_setfit(seed: int, path: Path, python: str) -> None:
    """SetFit's own package, in an interpreter that has it, on the same shots."""
    given = settings()
    init = given["fit"]["data"]["streams"][TASK]["init_args"]
    question = {
        "backbone": resolve(given["fit"]["model"]["student"]["backbone"]), "seed": seed,
        "max_length": init["max_length"], "train": labelled(seed)["train"], "texts": texts_of(seed),
        "timed": timed(seed), **given["setfit"],
    }  # fmt: skip
    work = path.with_suffix("")
    work.mkdir(parents=True, exist_ok=True)
    (work / "question.json").write_text(json.dumps(question))
    subprocess.run([python, str(Path(__file__).with_name("setfit_peer.py")), str(work)], check=True)
    os.replace(work / "answer.npz", path)


@cache
def labelled(seed: int) -> dict[str, Messages]:
    """The messages of the known intents: the shots (``train``), ``validation`` and ``test``."""
    from jsonargparse import ArgumentParser

    config = config_of("ce", seed)
    parser = ArgumentParser(exit_on_error=False)
    parser.add_argument("--student", type=Student)
    parser.add_argument("--stream", type=StreamDataModule)
    given = {"student": config["model"]["student"], "stream": config["data"]["streams"][TASK]}
    made = parser.instantiate(parser.parse_object(given))
    data: TaskDataModule = made.stream
    data.connect(Connection(TASK, made.student, [Clean()]))
    data.prepare_data()
    data.setup()
    known = {record["where"]: record["text"] for record in data.source}
    return {
        split: [(known[data.where(split, i)], data.gold(split, i)) for i in range(len(data.rows[split][1]))]
        for split in ("train", "validation")
    } | {"test": split_of(seed).inside("test")}


@cache
def texts_of(seed: int) -> dict[str, list[str]]:
    """All sets: of known intents, of others to choose by and to test, of no bank's; and the FAQ's questions."""
    split = split_of(seed)
    inside = {name: [text for text, _ in messages] for name, messages in labelled(seed).items()}
    outside = {"development": [text for text, _ in split.outside()], "near": [text for text, _ in split.near()]}
    distant = {name: far(name, settings()["far"]) for name in FAR}
    return {**inside, **outside, **distant, "faq": [entry.question for entry in faq().values()]}


def timed(seed: int) -> list[str]:
    """Test messages, evenly from all of them, to answer one by one."""
    every, count = [text for text, _ in labelled(seed)["test"]], settings()["latency"]
    return every[:: max(len(every) // count, 1)][:count]


def latency(answer: Any, texts: list[str]) -> np.ndarray:
    """Seconds that each text takes when it comes alone, after some to warm up."""
    for text in texts[:10]:
        answer(text)
    out = []
    for text in texts:
        start = time.perf_counter()
        answer(text)
        out.append(time.perf_counter() - start)
    return np.array(out)


def write_arrays(path: Path, arrays: Scores) -> None:
    work = path.with_suffix(".new.npz")
    np.savez(work, **arrays)  # type: ignore[arg-type]
    os.replace(work, path)
