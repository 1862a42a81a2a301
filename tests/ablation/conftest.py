"""A grid over the tiny run of the integration tests."""

from collections.abc import Callable
from pathlib import Path

import pytest

TINY = Path(__file__).parents[1] / "integration" / "tiny.yaml"


@pytest.fixture
def grid_file(tmp_path: Path, slices: Path) -> Callable[..., Path]:
    """``grid_file("axes: ...")``: a grid file of a folder called ``question``, whose base is the tiny run."""

    def grid_file(text: str) -> Path:
        folder = tmp_path / "question"
        folder.mkdir(exist_ok=True)
        (folder / "base.yaml").write_text(TINY.read_text().replace("SLICES", str(slices)))
        (folder / "grid.yaml").write_text(f"base: base.yaml\nruns: {tmp_path}/runs\n{text}")
        return folder / "grid.yaml"

    return grid_file
