"""``report.html``: one file that needs no other, with what looks wrong, the table and the panels."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from research.errors import UserError
from research.evaluation.diagnosis import Finding
from research.evaluation.panels import PANELS, draw
from research.evaluation.run_log import RunLog

TEMPLATE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>{{ logs | map(attribute="name") | join(", ") }}</title>
<style>
body { font: 16px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 80rem; padding: 0 1rem; color: #222; }
h1, li, .wrong { overflow-wrap: anywhere; }
table { border-collapse: collapse; display: block; overflow-x: auto; }
th, td { padding: .2rem .8rem; text-align: right; border-bottom: 1px solid #ddd; }
th { max-width: 16rem; overflow-wrap: break-word; }
th:first-child { text-align: left; min-width: 12rem; }
figure { margin: 0; }
svg { max-width: 100%; height: auto; }
.wrong { border-left: 4px solid #c85200; padding-left: .8rem; }
</style>
<h1>{% if logs | length == 1 %}{{ logs[0].name }}{% else %}{{ logs | length }} runs{% endif %}</h1>
<ul>
{% for log in logs %}<li><b>{{ log.name }}</b> ({{ log.folder }}): {{ log.end }}</li>
{% endfor %}</ul>
<h2>What looks wrong</h2>
{% for finding in findings %}<p class="wrong"><b>{{ finding.run }}: {{ finding.subject }}</b> {{ finding.what }},
steps {{ finding.steps[0] }} to {{ finding.steps[1] }}.<br>{{ finding.advice }}</p>
{% else %}<p>Nothing that is checked here.</p>
{% endfor %}<h2>Figures</h2>
<table>
<tr><th></th>{% for name in rows[0] %}<th>{{ name }}</th>{% endfor %}</tr>
{% for name, cells in rows[1].items() %}<tr><th>{{ name }}</th>
{% for cell in cells %}<td>{{ cell }}</td>{% endfor %}</tr>
{% endfor %}</table>
{% for title, drawing in panels %}<h2>{{ title }}</h2>
<figure>{{ drawing | safe }}</figure>
{% endfor %}</html>
"""


def write_page(
    logs: Sequence[RunLog], findings: Sequence[Finding], cells: Mapping[str, Sequence[str]], path: Path
) -> None:
    """Write the page of runs, whole or not at all.

    Args:
        logs: of the runs, which stand side by side.
        findings: what looks wrong in any of them.
        cells: the rows of the table by the name of the figure, a cell a run.
        path: where.

    Raises:
        UserError: if it cannot be written.
    """
    from jinja2 import Environment

    drawings = [(panel.title, drawing) for panel in PANELS if (drawing := draw(panel, logs)) is not None]
    template = Environment(autoescape=True).from_string(TEMPLATE)
    text = template.render(logs=logs, findings=findings, rows=([log.name for log in logs], cells), panels=drawings)
    work = path.with_name(f".{path.name}.new")
    try:
        work.write_text(text, encoding="utf-8")
        os.replace(work, path)
    except OSError as error:
        raise UserError(f"--page {path}: cannot be written ({error.strerror})") from None
