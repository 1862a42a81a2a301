"""``model.pt2``: the graph as ``torch.export`` writes it, which torch runs and compiles without our code."""

import json
from pathlib import Path

import torch

from research.inference.export.given import Given, Use, agreement
from research.inference.export.graph import WITHIN, Graph, example
from research.inference.export.tokenizer import framing, reader

FORMAT = "torch"
CODE = """\
import torch
from transformers import AutoTokenizer

tokenizer = AutoTokenizer.from_pretrained("FOLDER")
program = torch.export.load("FOLDER/model.pt2").module()
batch = tokenizer(["a text"], padding=True, truncation=True, return_tensors="pt")
OUTPUT = program(*(batch[name] for name in INPUTS))"""


def write(given: Given, folder: Path) -> Use:
    """The program, with ``labels.json`` inside, and the tokenizer; it was read back and run on random texts."""
    graph = Graph(given)
    inputs, axes = example(graph)
    path = folder / "model.pt2"
    program = torch.export.export(graph, inputs, dynamic_shapes=tuple(axes.values()))
    torch.export.save(program, path, extra_files={"labels.json": json.dumps(graph.labels)})
    framing(given.student, given.max_length).save_pretrained(folder)
    reread = torch.export.load(path).module()
    read = reader(folder)

    def run(texts: list[str], seconds: list[str] | None) -> torch.Tensor:
        batch = read(texts, seconds)
        return reread(*(batch[name] for name in graph.inputs))

    ours, theirs = given.compared(run)
    code = CODE.replace("OUTPUT", graph.output).replace("INPUTS", str(tuple(graph.inputs)))
    return Use("pytorch", None, code, agreement(FORMAT, f"{graph.what} of random texts", ours, theirs, WITHIN))
