"""What the documents show works."""

import re
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
IMPORTS = """
import torch
import torch.nn.functional as F
from torch import Tensor
from research.objectives import Objective
from research.step import Clean, Step
"""


def test_the_objective_of_the_contributing_guide_trains(tmp_path, monkeypatch, slices):
    guide = (ROOT / "CONTRIBUTING.md").read_text()
    code = re.search(r"```python\n(.*?)```", guide, re.S)
    assert code is not None
    (tmp_path / "uniformity.py").write_text(IMPORTS + code[1])
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delenv("HYBRID_RUN_FOLDER", raising=False)
    tiny = (ROOT / "tests/integration/tiny.yaml").read_text().replace("SLICES", str(slices))
    yaml_line = re.search(r"```yaml\n(.*?)```", guide, re.S)
    assert yaml_line is not None
    line = yaml_line[1].replace("research.objectives.uniformity", "uniformity").replace("news_text", "wiki")
    (tmp_path / "tiny.yaml").write_text(tiny.replace("  objectives:\n", "  objectives:\n" + line))
    from research.terminal import run_command

    arguments = ["--config", str(tmp_path / "tiny.yaml"), "--trainer.max_steps", "2", "--run.folder", str(tmp_path)]
    assert run_command(["fit", *arguments]) == 0
    assert "loss/uniformity" in (tmp_path / "tiny" / "metrics.csv").read_text()
    sys.modules.pop("uniformity", None)


def test_readme_names_files_that_exist():
    readme = (ROOT / "README.md").read_text()
    for name in set(re.findall(r"`((?:configs|experiments|research|docs|tests|notebooks)/[\w./-]+\.\w+)`", readme)):
        assert (ROOT / name).exists(), name
    for image in re.findall(r"!\[.*?\]\((.*?)\)", readme):
        assert (ROOT / image).exists(), image


def test_figures_in_the_readme_are_those_of_the_results():
    """Each row of a table under `<!-- from FILE -->` stands in FILE, which a run has written."""
    quoted = re.findall(r"<!-- from (\S+) -->\n(.+?)\n\n", (ROOT / "README.md").read_text(), re.S)
    assert quoted
    for name, table in quoted:
        results = (ROOT / name).read_text().splitlines()
        for row in table.splitlines():
            assert row in results, (name, row)
