"""Ways to ask one student for the probabilities of texts: each takes a list of them, pads it, and gives an array."""

from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

import numpy as np
import torch
from early_exit import EarlyExit, Examples
from transformers import pipeline

from research.inference import load
from research.inference.export.command import export
from research.inference.export.given import Given
from research.inference.export.graph import Graph
from research.inference.export.tokenizer import framing
from research.precision import native_bfloat16

TASK = "questions"
Ask = Callable[[list[str]], np.ndarray]
"""Probabilities (N, C) of N texts."""


def ways_of(checkpoint: Path, work: Path, examples: Examples, only: Collection[str] | None = None) -> dict[str, Ask]:
    """The ways by their names, or only some; ``work`` is for the files that they need, ``examples`` for early exit."""
    given = Given(load(checkpoint), TASK)
    read, labels = reader_of(given), list(given.model.tasks[TASK].labels)
    made: dict[str, Callable[[], Ask]] = {
        "predict": lambda: of_model(checkpoint, "32"),
        "predict, bfloat16": lambda: of_model(checkpoint, "bf16"),
        "predict, int8": lambda: of_model(checkpoint, "int8"),
        "float32": lambda: of_torch(Graph(given), read),
        "bfloat16": lambda: of_torch(narrow(Graph(given)), read),
        "int8": lambda: of_torch(quantised(Graph(given)), read),
        "ONNX Runtime, float32": lambda: of_onnx(onnx_file(checkpoint, work), read),
        "ONNX Runtime, int8": lambda: of_onnx(quantised_onnx(onnx_file(checkpoint, work)), read),
        "pipeline of Transformers": lambda: of_pipeline(checkpoint, work, labels),
        "early exit": lambda: EarlyExit(Graph(given), read, examples),
    }
    if not native_bfloat16():
        del made["bfloat16"], made["predict, bfloat16"]
    return {name: make() for name, make in made.items() if only is None or name in only}


def of_model(checkpoint: Path, precision: Any) -> Ask:
    model = load(checkpoint, precision=precision, reordered=True)
    return lambda texts: torch.from_numpy(model.logits(texts, TASK)).softmax(-1).numpy()


def of_torch(graph: torch.nn.Module, read: Any) -> Ask:
    @torch.inference_mode()
    def ask(texts: list[str]) -> np.ndarray:
        return graph(**read(texts)).float().softmax(-1).numpy()

    return ask


def narrow(graph: Graph) -> Graph:
    """Weights and states of the encoder in bfloat16; it pools in float32, as in training."""
    graph.base.to(torch.bfloat16)
    return graph


def quantised(graph: torch.nn.Module) -> torch.nn.Module:
    """Weights of linear maps in int8, activations too, by their range in each call."""
    return torch.ao.quantization.quantize_dynamic(graph, {torch.nn.Linear}, torch.qint8)


def onnx_file(checkpoint: Path, work: Path) -> Path:
    folder = work / "onnx"
    if not folder.exists():
        export(checkpoint, "onnx", folder, TASK)
    return folder / "model.onnx"


def quantised_onnx(path: Path) -> Path:
    """The same beside it, in int8 as :func:`quantised`, a scale for each row of weights."""
    from onnxruntime.quantization import QuantType, quantize_dynamic

    small = path.with_name("int8.onnx")
    if not small.exists():
        quantize_dynamic(path, small, per_channel=True, weight_type=QuantType.QInt8)
    return small


def of_onnx(path: Path, read: Any) -> Ask:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    names = [each.name for each in session.get_inputs()]

    def ask(texts: list[str]) -> np.ndarray:
        batch = read(texts)
        logits: Any = session.run(None, {name: batch[name].numpy() for name in names})[0]
        return torch.from_numpy(logits).softmax(-1).numpy()

    return ask


def of_pipeline(checkpoint: Path, work: Path, labels: list[str]) -> Ask:
    folder = work / "transformers"
    if not folder.exists():
        export(checkpoint, "transformers", folder, TASK)
    classify = pipeline("text-classification", model=str(folder), top_k=None, device="cpu")

    def ask(texts: list[str]) -> np.ndarray:
        found = [{each["label"]: each["score"] for each in row} for row in classify(texts, batch_size=len(texts))]
        return np.array([[row[label] for label in labels] for row in found])

    return ask


def reader_of(given: Given) -> Any:
    tokenizer = framing(given.student, given.max_length)
    return lambda texts: tokenizer(texts, return_tensors="pt", padding=True, truncation=True).data
