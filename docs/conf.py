"""The site: the Markdown of the whole repository as it stands, and the API from docstrings. `make docs` builds it."""

import pydoc
import re
from typing import Any

from docutils import nodes
from sphinx.addnodes import pending_xref
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment

import research
import research.data
import research.inference
import research.models.compression

project = html_title = "Hybrid fine-tuning"
author = "The Hybrid Fine-Tuning authors"
version = release = research.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
# The source is the repository, so that links between its documents are the same here as where the code is read.
root_doc = "docs/index"
include_patterns = ["*.md", "docs/**", "experiments/**.md", "notebooks/**.md", "research/**.md"]
exclude_patterns = [".*", "data", "runs", "prepared", "site", "tests", "wandb", "**/__pycache__"]

myst_heading_anchors = 4
suppress_warnings = ["myst.header"]  # a page of results begins with the heading of a table
nitpicky = True
nitpick_ignore_regex = [("py:.*", r"(?!research\.).*")]

autodoc_default_options = {"members": True, "show-inheritance": True}
autodoc_inherit_docstrings = False
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
napoleon_numpy_docstring = False

html_theme = "furo"
html_extra_path = ["root"]
html_copy_source = False
linkcheck_ignore = [r"http://(localhost|127\.0\.0\.1)"]

# What is imported when it is asked for is not in `dir`, where autodoc looks.
for package in (research.data, research.inference, research.models.compression):
    vars(package).update({name: getattr(package, name) for name in package.__all__})


def read(_app: Sphinx, name: str, source: list[str]) -> None:
    """Tables of results link to the folders of their runs, which are not published; README files lead to the tables."""
    if name.startswith(("experiments/", "research/")) and not name.endswith("README"):
        source[0] = "---\norphan: true\n---\n" + re.sub(r"\[([^]\n]+)\]\((?:\.\./)+runs/[^)\n]*\)", r"\1", source[0])


def internal(_app: Sphinx, _env: BuildEnvironment, node: pending_xref, text: nodes.Element) -> nodes.Element | None:
    """A name that has no entry but exists is plain text; one that does not exist is a warning."""
    return text if node["refdomain"] == "py" and pydoc.locate(node["reftarget"]) else None


def language_of(_app: Sphinx, name: str, _template: str, context: dict[str, Any], _tree: nodes.document | None) -> None:
    context["language"] = "zh" if name.endswith(".zh") else "en"


def setup(app: Sphinx) -> None:
    app.connect("source-read", read)
    app.connect("missing-reference", internal)
    app.connect("html-page-context", language_of)
