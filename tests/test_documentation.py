"""What the documents show works."""

import importlib
import inspect
import pkgutil
import re
import sys
from pathlib import Path

import pytest

import research.objectives
import research.weighting
from research.models import teachers
from research.models.teachers import Teacher
from research.objectives import Objective
from research.weighting import Weighting

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


QUOTING = [
    path
    for folder in ("", "docs", "experiments", "research/applications")
    for path in sorted((ROOT / folder).glob("*.md" if folder in ("", "docs") else "*/*.md"))
    if "<!-- from " in path.read_text(encoding="utf-8")
]


@pytest.mark.parametrize("page", QUOTING, ids=lambda path: str(path.relative_to(ROOT)))
def test_figures_in_the_documents_are_those_of_the_results(page):
    """Each row of a table under `<!-- from FILE -->` stands in FILE, which a run has written."""
    quoted = re.findall(r"<!-- from (\S+) -->\n(.+?)\n\n", page.read_text(encoding="utf-8"), re.S)
    assert quoted
    for name, table in quoted:
        results = (ROOT / name).read_text().splitlines()
        for row in table.splitlines():
            assert row in results, (name, row)


def test_the_plan_in_the_questions_is_what_its_command_prints(monkeypatch, capsys):
    from research.terminal import run_command

    page = (ROOT / "docs" / "faq.md").read_text()
    shown = re.search(r"^    python -m research.cli (plan [^\n]*)\n\n```text\n(.*?)```", page, re.S | re.M)
    assert shown is not None
    monkeypatch.chdir(ROOT)
    assert run_command(shown[1].split()) == 0
    printed = capsys.readouterr().out.splitlines()
    assert [line for line in shown[2].splitlines() if line not in printed] == []


def named_by_configs():
    """The objectives, weightings and teachers that a config can name: every class of these rooms that can be made."""
    found = {}
    for package, base in ((research.objectives, Objective), (research.weighting, Weighting), (teachers, Teacher)):
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            for name, thing in vars(importlib.import_module(module.name)).items():
                if isinstance(thing, type) and issubclass(thing, base) and not inspect.isabstract(thing):
                    found[name] = thing
    del found["Recorder"]  # it writes the cache of a teacher, and no config names it
    return found


def test_each_objective_weighting_and_teacher_is_described():
    page = (ROOT / "docs" / "objectives.md").read_text()
    entries = {entry.split("\n", 1)[0].strip(): entry for entry in page.split("\n### ")[1:]}
    classes = named_by_configs()
    assert classes.keys() - entries.keys() == set(), "not described"
    for name, entry in entries.items():
        parts = re.findall(r"^- \*\*(.+?)\*\*: \S", entry, re.M)
        assert parts == ["Data", "Use it", "Formula", "Paper", "Cost"], name
        what = entry.splitlines()[1]
        assert what and not what.startswith("-") and what.endswith("."), name
        assert re.search(r"\b(19|20)\d\d\b|none", entry.split("**Paper**")[1].splitlines()[0]), name
    others = entries.keys() - classes.keys()
    source = "\n".join(path.read_text() for path in (ROOT / "research").rglob("*.py"))
    for name in others:  # views, optimisers and callbacks that belong to a method
        assert re.search(rf"^class {name}\b", source, re.M), f"{name} is described, but not there"
