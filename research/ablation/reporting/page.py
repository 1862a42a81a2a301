"""The page of a grid: tables and plots in one HTML file that needs no network."""

from research.ablation.reporting.layout import ARROWS, DETAILS, Layout, name
from research.ablation.reporting.plots import Drawing, bars, curves, forgetting, interactions, pareto
from research.ablation.reporting.tables import MARKS, labels, link, repeat, title, told
from research.evaluation.frame import framed

BODY = """
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
{{ picture(drawing.svg, drawing.title ~ ": " ~ drawing.text) }}</figure>
{%- endfor %}{% endfor %}
{%- for metric in metrics %}
<h2>{{ layout.headed(metric) }}</h2>{{ table(details, layout.details(metric), ["baseline"]) }}
{%- endfor %}
<h2>Runs</h2>
{%- for arm, runs in layout.analysis.arms.items() %}
<h3 id="arm-{{ numbers[arm] }}">{{ name(arm) }}</h3>
<p>Again, SEED standing for the seed of each: <code>{{ repeat(runs) }}</code></p>
<ul>
{%- for run in runs %}
<li>seed {{ run.seed }}: {{ run.status }}, <a href="{{ link(run) }}">{{ run.key }}</a>
{%- if run.status == "done" %}, <a href="{{ link(run) }}/config.yaml">config</a>
{%- if run.commit %}, commit {{ run.commit }}{% endif %}
{%- for figure, value in run.metrics.items() if figure in metrics %}, {{ figure }} {{ value }}{% endfor %}
{%- endif %}
{%- if run.error %}<details><summary>end of its log</summary><pre>{{ run.error }}</pre></details>{% endif %}</li>
{%- endfor %}
</ul>
{%- endfor %}"""


def page(layout: Layout) -> str:
    """All tables and plots, every cell with a link to its runs."""
    return framed(
        BODY,
        title(layout.analysis),
        told=told(layout.analysis).replace("`", ""),
        layout=layout,
        metrics=layout.analysis.metrics,
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
