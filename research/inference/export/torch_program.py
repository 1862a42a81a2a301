"""``model.pt2``: the graph as ``torch.export`` writes it, which torch runs and compiles without our code."""

from pathlib import Path

import torch

from research.inference.export.given import Given, Use, agreement
from research.inference.export.graph import WITHIN, Graph, example, save_tokenizer

FORMAT = "torch"
CODE = """\
import torch
from transformers import AutoTokenizer

tokenizer = AutoTokenizer.from_pretrained("FOLDER")
program = torch.export.load("FOLDER/model.pt2").module()
batch = tokenizer(["a text"], padding=True, truncation=True, return_tensors="pt")
OUTPUT = program(*(batch[name] for name in INPUTS))"""


def write(given: Given, folder: Path) -> Use:
    """The program and the tokenizer; torch has read it back and run it on random texts."""
    graph = Graph(given)
    inputs, axes = example(graph)
    path = folder / "model.pt2"
    torch.export.save(torch.export.export(graph, inputs, dynamic_shapes=tuple(axes.values())), path)
    save_tokenizer(given, folder)
    program = torch.export.load(path).module()
    ours, theirs = given.compared(folder, lambda batch: program(*(batch[name] for name in graph.inputs)))
    code = CODE.replace("OUTPUT", graph.output).replace("INPUTS", str(tuple(graph.inputs)))
    return Use("pytorch", None, code, agreement(FORMAT, graph.output, ours, theirs, WITHIN))
