"""What the guide shows works, in both languages, and the site shows every public package."""

import re
from pathlib import Path

import pytest
import yaml

from research.terminal import run_command

ROOT = Path(__file__).parents[1]
GUIDE, CHINESE = ((ROOT / "docs" / name).read_text() for name in ("guide.md", "guide.zh.md"))
SNIPPETS = re.findall(r"```yaml\n(.*?)```", GUIDE, re.S)
PARTS = [text for text in SNIPPETS if not text.startswith("base:")]


def code(page: str) -> list[str]:
    """Blocks of code, commands and rows of figures."""
    return re.findall(r"```\w+\n.*?```|^    .*?$|^\| `.*?$", page, re.S | re.M)


def test_the_guide_shows_the_same_in_chinese():
    assert len(code(GUIDE)) > 20
    assert code(GUIDE) == code(CHINESE)
    assert [len(marks) for marks in re.findall(r"^(#+) ", GUIDE, re.M)] == [
        len(marks) for marks in re.findall(r"^(#+) ", CHINESE, re.M)
    ]
    targets = [{link for link in re.findall(r"\]\((.*?)\)", page) if "guide" not in link} for page in (GUIDE, CHINESE)]
    assert targets[0] == targets[1]


@pytest.mark.parametrize("part", PARTS, ids=lambda part: "/".join(part.replace(":", "").split()[:3]))
def test_each_part_of_the_guide_is_a_part_of_a_config(part, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(ROOT)
    (tmp_path / "part.yaml").write_text(part)
    files = ["--config", "configs/quickstart.yaml", "--config", str(tmp_path / "part.yaml")]
    assert run_command(["fit", *files, "--print_config"]) == 0
    assert holds(yaml.safe_load(capsys.readouterr().out), yaml.safe_load(part))


def holds(whole: object, part: object) -> bool:
    """What the part sets, the whole has; it prints a class that needs no naming with its name."""
    if isinstance(part, dict):
        whole = (
            whole["init_args"]
            if isinstance(whole, dict) and "class_path" not in part and "init_args" in whole
            else whole
        )
        return isinstance(whole, dict) and all(key in whole and holds(whole[key], part[key]) for key in part)
    return whole == part


def test_the_grid_of_the_guide_is_accepted(tmp_path, capsys):
    grid = next(text for text in SNIPPETS if text.startswith("base:"))
    (tmp_path / "grid.yaml").write_text(grid.replace("../..", str(ROOT)))
    assert run_command(["ablate", "--config", str(tmp_path / "grid.yaml"), "--dry-run"]) == 0
    assert "20 runs" in capsys.readouterr().out


def test_the_site_has_every_package_with_public_names():
    shown = re.findall(r"automodule:: (\S+)", "".join(path.read_text() for path in (ROOT / "docs/api").glob("*.md")))
    public = {
        ".".join(path.parent.relative_to(ROOT).parts)
        for path in (ROOT / "research").rglob("__init__.py")
        if "__all__" in path.read_text()
    }
    assert public - set(shown) == {
        "research.models.teachers",
        "research.ablation.reporting.plots",
    }  # named one level up
    navigation = (ROOT / "docs" / "index.md").read_text()
    for page in [*(ROOT / "docs").glob("*.md"), *(ROOT / "docs" / "api").glob("*.md")]:
        name = page.relative_to(ROOT / "docs").with_suffix("")
        assert name.name == "index" or re.search(rf"^{re.escape(str(name))}$", navigation, re.M), name
