"""From results to ``results.md``, ``.tex``, ``.csv`` and ``.html``."""

import os
from pathlib import Path
from tempfile import TemporaryDirectory

from research.ablation.reporting.analysis import Analysis
from research.ablation.reporting.latex import latex
from research.ablation.reporting.layout import Layout
from research.ablation.reporting.page import page
from research.ablation.reporting.tables import comma_separated, markdown
from research.ablation.results import Results
from research.errors import UserError
from research.files import unwritable


def write(results: Results, folder: Path) -> None:
    """All four files, or none of them.

    Raises:
        UserError: if the folder cannot be written, or a library is missing.
    """
    layout = Layout(Analysis(results))
    try:
        texts = {
            "results.md": markdown(layout),
            "results.tex": latex(layout),
            "results.csv": comma_separated(layout.analysis),
            "results.html": page(layout),
        }
    except ModuleNotFoundError as error:
        extra = "pip install 'hybrid-fine-tuning[ablation]'"
        raise UserError(
            f"tables of a grid need {error.name} of the extra: {extra}; then ablate --report {folder}"
        ) from None
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(dir=folder, prefix=".results") as work:
            for name, text in texts.items():
                (Path(work) / name).write_text(text, encoding="utf-8")
            for name in texts:
                os.replace(Path(work) / name, folder / name)
    except OSError as error:
        raise unwritable(folder, error) from None


def rebuild(folder: Path) -> None:
    """The files of a folder, anew from its ``results.jsonl`` alone.

    Raises:
        UserError: if the folder holds none, or cannot be written.
    """
    write(Results.read(folder / "results.jsonl"), folder)
    print(f"written to {folder}/: results.md, results.tex, results.csv, results.html")
