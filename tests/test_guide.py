"""What the guide shows works, pages are the same in both languages, and the site has every page and public package."""

import re
from pathlib import Path

import pytest
import yaml

from research.terminal import run_command

ROOT = Path(__file__).parents[1]
GUIDE = (ROOT / "docs" / "guide.md").read_text()
SNIPPETS = re.findall(r"```yaml\n(.*?)```", GUIDE, re.S)
PARTS = [text for text in SNIPPETS if not text.startswith("base:")]


@pytest.mark.parametrize("name", ["guide", "faq"])
def test_a_page_in_chinese_shows_what_the_english_one_shows(name):
    shown = [parts((ROOT / "docs" / f"{name}{ending}").read_text()) for ending in (".md", ".zh.md")]
    assert len(shown[0]["code"]) > 0
    assert shown[0] == shown[1]


def parts(page: str) -> dict[str, object]:
    """Code, commands and rows of results; the levels of headings; where links lead, but to the other language."""
    return {
        "code": re.findall(r"^```\w+\n.*?```$|^    .*?$|^<!-- from .*?\n\n", page, re.S | re.M),
        "headings": [len(marks) for marks in re.findall(r"^(#+) ", page, re.M)],
        "links": {
            link for link in re.findall(r"\]\((.*?)\)", page) if not re.fullmatch(r"(guide|faq)(\.zh)?\.md", link)
        },
    }


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
