"""The notebooks run, in reduced size; what is committed of them was executed from top to bottom."""

from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

ROOT = Path(__file__).parents[1]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
LARGEST = 300_000  # bytes


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_it_runs(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    notebook = nbformat.read(path, as_version=4)
    if "data/" in "".join(cell.source for cell in notebook.cells) and not (ROOT / "data").exists():
        pytest.skip("data/ is not there")
    monkeypatch.setenv("NOTEBOOK_REDUCED", "1")
    NotebookClient(notebook, timeout=600, resources={"metadata": {"path": str(path.parent)}}).execute()


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_it_was_executed_as_it_stands(path: Path) -> None:
    code = [cell for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    outputs = [output for cell in code for output in cell.outputs]
    assert not [output for output in outputs if output.output_type == "error" or output.get("name") == "stderr"]
    assert path.stat().st_size < LARGEST
    home = f"{Path.home()}/"
    folders = [f"{ROOT}/", "/tmp/", *([home] if home != "//" else [])]
    assert not [folder for folder in folders if folder in path.read_text("utf-8")]


def test_each_has_a_line_in_the_index() -> None:
    index = (ROOT / "notebooks" / "README.md").read_text(encoding="utf-8")
    assert NOTEBOOKS and [path.name for path in NOTEBOOKS if f"]({path.name})" not in index] == []
