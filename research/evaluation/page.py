"""``report.html``: one file that needs no other, with what looks wrong, the table and the panels."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from research.evaluation.diagnosis import Finding
from research.evaluation.frame import framed
from research.evaluation.panels import PANELS, draw
from research.evaluation.run_log import RunLog
from research.files import write_whole

BODY = """
<ul>
{%- for log in logs %}
<li><b>{{ log.name }}</b> ({{ log.folder }}): {{ log.end }}</li>
{%- endfor %}
</ul>
<h2>What looks wrong</h2>
{%- for finding in findings %}
<p class="wrong"><b>{{ finding.run }}: {{ finding.subject }}</b> {{ finding.what }},
steps {{ finding.steps[0] }} to {{ finding.steps[1] }}.<br>{{ finding.advice }}</p>
{%- else %}
<p>Nothing that is checked here.</p>
{%- endfor %}
<h2>Figures</h2>{{ table(head, rows) }}
{%- for title, drawing in panels %}
<h2>{{ title }}</h2>
<figure>{{ drawing | safe }}</figure>
{%- endfor %}"""


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
    drawings = [(panel.title, drawing) for panel in PANELS if (drawing := draw(panel, logs)) is not None]
    names = [log.name for log in logs]
    rows = [[name, *row] for name, row in cells.items()]
    told = {"logs": logs, "findings": findings, "head": ["", *names], "rows": rows, "panels": drawings}
    write_whole(path, framed(BODY, names[0] if len(names) == 1 else f"{len(names)} runs", **told))
