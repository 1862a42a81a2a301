"""The page of a grid: tables and plots in one HTML file that needs no network."""

import base64
from pathlib import Path

from research.ablation.layout import ARROWS, DETAILS, Layout, name
from research.ablation.plots import Drawing, bars, curves, forgetting, interactions, pareto
from research.ablation.tables import MARKS, labels, link, repeat, title, told

TEMPLATE = """\
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{{ title }}</title>
<style>
body { font: 16px/1.5 system-ui, sans-serif; max-width: 90rem; margin: 0 auto; padding: 1rem; color: #111 }
p, li { max-width: 70rem }
.wide { overflow-x: auto }
table { border-collapse: collapse; margin: 1rem 0 }
th, td { padding: .25rem .5rem; text-align: left; border-bottom: 1px solid #ccc }
thead th { border-bottom: 2px solid #111 }
td { white-space: nowrap }
tbody th, td.name { max-width: 16rem; white-space: normal; overflow-wrap: break-word }
td a { color: inherit }
td small { color: #555; display: block; white-space: normal }
h1, h3, code, pre { overflow-wrap: anywhere }
pre { white-space: pre-wrap }
img { max-width: 100% }
figure { margin: 1rem 0 }
</style>
</head>
<body>
<h1>{{ title }}</h1>
<p>{{ told }}</p>
<div class="wide"><table>
<thead><tr>
{%- for axis in layout.axes or ["arm"] %}<th scope="col">{{ axis }}</th>{% endfor %}
{%- for column in layout.columns %}<th scope="col">{{ column }}&nbsp;{{ arrows[metrics[column.metric]] }}</th>
{%- endfor %}</tr></thead>
<tbody>
{%- for row, cells in rows %}
<tr>{% for label in row %}<th scope="row">{{ label }}</th>{% endfor %}
{%- for cell in cells %}<td>
{%- if cell is none %}left out{% else %}<a href="#arm-{{ numbers[cell.arm] }}">
{%- if cell.best %}<strong>{{ cell.text }}</strong>{% else %}{{ cell.text }}{% endif %}{{ marks[cell.sign] }}</a>
{%- if cell.remark %} <small>({{ cell.remark }})</small>{% endif %}{% endif %}</td>{% endfor %}</tr>
{%- endfor %}
</tbody></table></div>
<ul>{% for note in layout.notes() %}<li>{{ note }}</li>{% endfor %}</ul>
{%- for heading, drawings in plots %}
<h2>{{ heading }}</h2>
{%- for drawing in drawings %}
<figure><figcaption>{{ drawing.title }}</figcaption>
<img src="data:image/svg+xml;base64,{{ drawing.svg | base64 }}" alt="{{ drawing.title }}: {{ drawing.text }}"></figure>
{%- endfor %}{% endfor %}
{%- for metric in metrics %}
<h2>{{ layout.headed(metric) }}</h2>
<div class="wide"><table>
<thead><tr>{% for head in details %}<th scope="col">{{ head }}</th>{% endfor %}</tr></thead>
<tbody>
{%- for row in layout.details(metric) %}
<tr><th scope="row">{{ row[0] }}</th>{% for head, cell in details[1:] | zip(row[1:]) -%}
<td{% if head == "baseline" %} class="name"{% endif %}>{{ cell }}</td>{% endfor %}</tr>
{%- endfor %}
</tbody></table></div>
{%- endfor %}
<h2>Runs</h2>
{%- for arm, runs in layout.analysis.arms.items() %}
<h3 id="arm-{{ numbers[arm] }}">{{ name(arm) }}</h3>
<p>Again, SEED standing for the seed of each: <code>{{ repeat(runs) }}</code></p>
<ul>
{%- for run in runs %}
<li>seed {{ run.seed }}: {{ run.status }}, <a href="{{ link(run, folder) }}">{{ run.key }}</a>
{%- if run.status == "done" %}, <a href="{{ link(run, folder) }}/config.yaml">config</a>
{%- if run.commit %}, commit {{ run.commit }}{% endif %}
{%- for figure, value in run.metrics.items() if figure in metrics %}, {{ figure }} {{ value }}{% endfor %}
{%- endif %}
{%- if run.error %}<details><summary>end of its log</summary><pre>{{ run.error }}</pre></details>{% endif %}</li>
{%- endfor %}
</ul>
{%- endfor %}
</body>
</html>
"""


def page(layout: Layout, folder: Path) -> str:
    """All tables and plots, every cell with a link to its runs as seen from ``folder``."""
    from jinja2 import Environment

    environment = Environment(autoescape=True)
    environment.filters["zip"] = zip
    environment.filters["base64"] = lambda text: base64.b64encode(text.encode()).decode()
    return environment.from_string(TEMPLATE).render(
        title=title(layout.analysis),
        told=told(layout.analysis).replace("`", ""),
        layout=layout,
        metrics=layout.analysis.metrics,
        folder=folder,
        rows=[(labels(layout, row), cells) for row, cells in zip(layout.rows, layout.cells, strict=True)],
        plots=drawn(layout),
        details=DETAILS,
        numbers={arm: i for i, arm in enumerate(layout.analysis.arms)},
        arrows=ARROWS,
        marks=MARKS,
        name=name,
        repeat=repeat,
        link=link,
    )


def drawn(layout: Layout) -> list[tuple[str, list[Drawing]]]:
    """The plots by their headings; a kind for which the grid holds no figures is left out."""
    kinds = {
        "Figures": bars,
        "Learning": curves,
        "Quality against cost": pareto,
        "Gain against forgetting": forgetting,
        "Interaction of objectives": interactions,
    }
    return [(heading, drawings) for heading, draw in kinds.items() if (drawings := list(draw(layout)))]
