"""``errors RUN...``: where runs err, and where two of them differ, from their predictions and training dynamics."""

import argparse
from pathlib import Path

import numpy as np

from research.data.inspect.layout import width, wrap
from research.errors import UserError
from research.evaluation.errors.answers import Answers, read_answers
from research.evaluation.errors.cartography import cartography_sections
from research.evaluation.errors.confusion import confusion_sections
from research.evaluation.errors.data import Streams, Texts, texts_of
from research.evaluation.errors.difference import difference_sections
from research.evaluation.errors.page import write_page
from research.evaluation.errors.sections import Section, as_text
from research.evaluation.errors.slices import slices, slices_section


def main(arguments: list[str]) -> int:
    """Print what there is to say of the runs named on the command line, and write it as a page."""
    parser = argparse.ArgumentParser(prog="python -m research.cli errors", description=__doc__)
    told = "folder of a run with predictions.jsonl, as predict leaves it; further ones are compared with the first"
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN", help=told)
    parser.add_argument("--out", type=Path, metavar="FILE", help="the page (default: errors.html in the first RUN)")
    parser.add_argument("--examples", type=int, default=20, metavar="N", help="examples of a list on the page (20)")
    chosen = parser.parse_args(arguments)
    if chosen.examples < 1:
        raise UserError(f"--examples is {chosen.examples}; it must be at least 1")
    runs = {run: read_answers(run) for run in chosen.runs}
    out = chosen.out or chosen.runs[0] / "errors.html"
    report = chapters(runs, chosen.examples)
    for chapter, sections in report.items():
        heading = wrap(chapter, 0, 4)
        print("\n".join([*heading, "#" * max(map(width, heading)), "", as_text(sections)]))
    write_page(f"Errors of {', '.join(run.name for run in chosen.runs)}", report, out)
    print(f"written to {out}")
    return 0


def chapters(runs: dict[Path, dict[str, Answers]], most: int) -> dict[str, list[Section]]:
    """The sections of each run, and of each further one beside the first, by heading.

    Raises:
        UserError: where runs have answered other examples than the first, or than their configs read now.
    """
    base, *others = runs
    streams = {run: Streams(run).datamodule.streams for run in runs}
    report = {}
    for name, first in runs[base].items():
        masks = dict[str, np.ndarray]()
        aligned = {run: _aligned(run, name, answered, base, first) for run, answered in runs.items()}
        for run, answers in aligned.items():
            texts = texts_of(streams[run][name])
            if set(answers.where) != set(texts.length):
                raise UserError(f"{run}: its predictions of {name} are not of the texts it reads now; predict again")
            masks = masks or slices(first.where, texts)
            report[f"{run}: {name}"] = [
                *confusion_sections(answers, texts.text, most),
                slices_section(answers, masks),
                *_dynamics(run, name, texts, most),
            ]
        for run in others:
            differ = difference_sections(first, aligned[run], masks, texts.text, most)
            report[f"A {base}, B {run}: {name}"] = differ
    return report


def _aligned(run: Path, name: str, answered: dict[str, Answers], base: Path, first: Answers) -> Answers:
    answers = answered[name].in_order_of(first.where) if name in answered else None
    if answers is None:
        raise UserError(f"{run}: its predictions of {name} are not of the same examples as those of {base}")
    return answers


def _dynamics(run: Path, name: str, texts: Texts, most: int) -> list[Section]:
    path = run / f"dynamics.{name}.jsonl"
    if path.is_file():
        return cartography_sections(path, texts.text, most)
    callback = "trainer.callbacks: [{class_path: research.callbacks.TrainingDynamics, init_args: {objective: ...}}]"
    return [Section("Training examples", f"no {path.name}; it is there after a fit with {callback}")]
