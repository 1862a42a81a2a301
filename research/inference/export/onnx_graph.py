"""``model.onnx``: the graph for ONNX Runtime, with any number of texts of any length."""

import json
from pathlib import Path
from typing import Any

import torch

from research.errors import UserError
from research.inference.export.given import Given, Use, agreement
from research.inference.export.graph import WITHIN, Graph, example
from research.inference.export.tokenizer import framing, reader

FORMAT = "onnx"
CODE = """\
import onnxruntime
from transformers import AutoTokenizer

tokenizer = AutoTokenizer.from_pretrained("FOLDER")
session = onnxruntime.InferenceSession("FOLDER/model.onnx")
batch = tokenizer(["a text"], padding=True, truncation=True, return_tensors="np")
(OUTPUT,) = session.run(None, {one.name: batch[one.name] for one in session.get_inputs()})"""


def write(given: Given, folder: Path) -> Use:
    """The graph, with ``labels`` as JSON in its metadata, and the tokenizer; ONNX Runtime has run it."""
    try:
        import onnxruntime
        import onnxscript  # noqa: F401
    except ImportError:
        raise UserError("--format onnx needs the extra: pip install 'hybrid-fine-tuning[onnx]'") from None
    graph = Graph(given)
    inputs, axes = example(graph)
    path = folder / "model.onnx"
    program: Any = torch.onnx.export(
        graph, inputs, dynamo=True, verbose=False, input_names=graph.inputs, output_names=[graph.output],
        dynamic_shapes=tuple(axes.values()), external_data=False,
    )  # fmt: skip
    program.model.metadata_props["labels"] = json.dumps(graph.labels)
    program.save(path)
    framing(given.student, given.max_length).save_pretrained(folder)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    read = reader(folder)

    def run(texts: list[str], seconds: list[str] | None) -> torch.Tensor:
        batch = read(texts, seconds)
        return torch.from_numpy(session.run(None, {name: batch[name].numpy() for name in graph.inputs})[0])

    ours, theirs = given.compared(run)
    return Use(
        "onnx",
        None,
        CODE.replace("OUTPUT", graph.output),
        agreement(FORMAT, f"{graph.what} of random texts", ours, theirs, WITHIN),
    )
