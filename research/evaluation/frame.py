"""The frame of every page: one HTML file that needs no other, and how it shows tables and pictures."""

import base64
from typing import Any

FRAME = """\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{{ title }}</title>
<style>
body { font: 16px/1.5 system-ui, sans-serif; max-width: 90rem; margin: 0 auto; padding: 1rem; color: #222 }
p, li { max-width: 70rem }
.wide, figure { overflow-x: auto; margin: 1rem 0 }
table { border-collapse: collapse }
th, td { padding: .2rem .5rem; text-align: right; border-bottom: 1px solid #ccc; font-variant-numeric: tabular-nums }
thead th { border-bottom: 2px solid #222 }
th:first-child, th[scope=row] { text-align: left; font-weight: normal }
td { white-space: nowrap }
tbody th, td.name { max-width: 16rem; white-space: normal; overflow-wrap: break-word }
td a { color: inherit }
td small { display: block; white-space: normal }
small, dt { color: #555 }
dt { font-size: .9rem; margin-top: .8rem }
dd { margin: 0; padding-left: .8rem; border-left: 3px solid #ccc; white-space: pre-wrap; overflow-wrap: anywhere }
h1, h2, h3, li, dt, code, pre, .wrong { overflow-wrap: anywhere }
pre { white-space: pre-wrap }
img, svg { max-width: 100%; height: auto }
.wrong { border-left: 4px solid #c85200; padding-left: .8rem }
</style>
</head>
<body>
<h1>{{ title }}</h1>
{%- block body %}{% endblock %}
</body>
</html>
"""
PARTS = """\
{% macro table(head, rows, names=()) %}
<div class="wide"><table>
<thead><tr>{% for cell in head %}<th scope="col">{{ cell }}</th>{% endfor %}</tr></thead>
<tbody>
{%- for row in rows %}
<tr><th scope="row">{{ row[0] }}</th>
{%- for cell in row[1:] %}<td{% if head[loop.index] in names %} class="name"{% endif %}>{{ cell }}</td>{% endfor %}</tr>
{%- endfor %}
</tbody></table></div>
{%- endmacro %}
{% macro picture(svg, words) -%}
<img src="data:image/svg+xml;base64,{{ svg | base64 }}" alt="{{ words }}">
{%- endmacro %}
"""
HEAD = '{% extends "frame" %}{% from "parts" import table, picture %}{% block body %}'


def framed(body: str, title: str, **values: Any) -> str:
    """A page from a Jinja template of its body, whose values are escaped.

    Args:
        body: may call ``table(head, rows, names)``, rows beginning with their name and ``names`` being the heads of
            further columns of names, and ``picture(svg, words)``.
        title: of the page.
        values: what the body shows.
    """
    from jinja2 import DictLoader, Environment

    templates = {"frame": FRAME, "parts": PARTS, "page": HEAD + body + "{% endblock %}"}
    environment = Environment(loader=DictLoader(templates), autoescape=True)
    environment.filters["base64"] = lambda text: base64.b64encode(text.encode()).decode()
    return environment.get_template("page").render(title=title, **values)
