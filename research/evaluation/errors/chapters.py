"""What there is to say of runs: a chapter a run, and one for each further run beside the first."""

from pathlib import Path

import numpy as np

from research.errors import UserError
from research.evaluation.errors.answers import Answers, Classified, Measured, Tagged, Written
from research.evaluation.errors.cartography import cartography_sections
from research.evaluation.errors.confusion import confusion_sections
from research.evaluation.errors.data import Streams, Texts, texts_of
from research.evaluation.errors.difference import difference_sections
from research.evaluation.errors.multilabel import multilabel_sections
from research.evaluation.errors.residuals import residual_sections
from research.evaluation.errors.sections import Section
from research.evaluation.errors.slices import slices, slices_section
from research.evaluation.errors.writing import writing_sections


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
            if isinstance(answers, Written):
                answers = aligned[run] = answers.by_source(texts.text)
            masks = masks or slices(answers.where, texts)
            report[f"{run}: {name}"] = [
                *_own(answers, texts, most),
                slices_section(answers, masks),
                *(_dynamics(run, name, texts, most) if isinstance(answers, Classified) else ()),
            ]
        for run in others:
            differ = difference_sections(aligned[base], aligned[run], masks, texts.text, most)
            report[f"A {base}, B {run}: {name}"] = differ
    return report


def _aligned(run: Path, name: str, answered: dict[str, Answers], base: Path, first: Answers) -> Answers:
    answers = answered[name].in_order_of(first.where) if name in answered else None
    if answers is None:
        raise UserError(f"{run}: its predictions of {name} are not of the same examples as those of {base}")
    relabelled = isinstance(answers, Tagged) and isinstance(first, Tagged) and answers.labels != first.labels
    if type(answers) is not type(first) or relabelled:
        raise UserError(f"{run}: its answers to {name} are of another problem than those of {base}, or of other labels")
    return answers


def _own(answers: Answers, texts: Texts, most: int) -> list[Section]:
    """What there is to say of answers of their kind alone."""
    match answers:
        case Classified():
            return confusion_sections(answers, texts.text, most)
        case Tagged():
            return multilabel_sections(answers, texts.text, most)
        case Measured():
            return residual_sections(answers, texts.text, most)
        case Written():
            return writing_sections(answers, texts.text, most)
    raise AssertionError(answers)


def _dynamics(run: Path, name: str, texts: Texts, most: int) -> list[Section]:
    path = run / f"dynamics.{name}.jsonl"
    if path.is_file():
        return cartography_sections(path, texts.text, most)
    callback = "trainer.callbacks: [{class_path: research.callbacks.TrainingDynamics, init_args: {objective: ...}}]"
    return [Section("Training examples", f"no {path.name}; it is there after a fit with {callback}")]
