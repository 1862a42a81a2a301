"""The sections as one HTML file that needs no other."""

import base64
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from research.errors import UserError
from research.evaluation.errors.sections import Section

PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{{ title }}</title>
<style>
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; color: #222 }
table { border-collapse: collapse; display: block; overflow-x: auto }
th, td { padding: .2rem .6rem; text-align: right; border-bottom: 1px solid #ddd; font-variant-numeric: tabular-nums }
th:first-child, td:first-child { text-align: left; max-width: 16rem; overflow-wrap: break-word }
h1, h2, dt, li { overflow-wrap: anywhere }
dt { color: #555; font-size: .9rem; margin-top: .8rem }
dd { margin: 0; padding-left: .8rem; border-left: 3px solid #c8c8c8; white-space: pre-wrap; overflow-wrap: anywhere }
img { max-width: 100% }
</style>
</head>
<body>
<h1>{{ title }}</h1>
<nav><ul>
{%- for chapter in chapters %}
<li><a href="#c{{ loop.index }}">{{ chapter }}</a></li>
{%- endfor %}
</ul></nav>
{%- for chapter, sections in chapters.items() %}
<h2 id="c{{ loop.index }}">{{ chapter }}</h2>
{%- for section in sections %}
<h3>{{ section.title }}</h3>
{%- if section.note %}
<p>{{ section.note }}</p>
{%- endif %}
{%- if section.picture %}
<img src="data:image/svg+xml;base64,{{ section.picture.svg | base64 }}" alt="{{ section.picture.words }}">
{%- endif %}
{%- if section.table %}
<table>
<tr>{% for cell in section.table.head %}<th scope="col">{{ cell }}</th>{% endfor %}</tr>
{%- for row in section.table.rows %}
<tr>{% for cell in row %}<td>{{ cell }}</td>{% endfor %}</tr>
{%- endfor %}
</table>
{%- endif %}
{%- if section.examples %}
<dl>
{%- for shown in section.examples %}
<dt>{{ shown.caption }}</dt>
<dd>{{ shown.text }}</dd>
{%- endfor %}
</dl>
{%- endif %}
{%- endfor %}
{%- endfor %}
</body>
</html>
"""


def write_page(title: str, chapters: Mapping[str, Sequence[Section]], path: Path) -> None:
    """Write the page whole or not at all.

    Raises:
        UserError: where it cannot be written.
    """
    from jinja2 import Environment

    environment = Environment(autoescape=True)
    environment.filters["base64"] = lambda text: base64.b64encode(text.encode()).decode()
    html = environment.from_string(PAGE).render(title=title, chapters=chapters)
    work = path.with_name(f".{path.name}.new")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        work.write_text(html, encoding="utf-8")
        os.replace(work, path)
    except OSError as error:
        work.unlink(missing_ok=True)
        raise UserError(f"--out {path}: cannot be written ({error.strerror})") from None
