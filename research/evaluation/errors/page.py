"""The sections as one HTML file that needs no other."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from research.evaluation.errors.sections import Section
from research.evaluation.frame import framed
from research.files import write_whole

BODY = """
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
{{ picture(section.picture.svg, section.picture.words) }}
{%- endif %}
{%- if section.table %}{{ table(section.table.head, section.table.rows) }}{% endif %}
{%- if section.examples %}
<dl>
{%- for shown in section.examples %}
<dt>{{ shown.caption }}</dt>
<dd>{{ shown.text }}</dd>
{%- endfor %}
</dl>
{%- endif %}
{%- endfor %}
{%- endfor %}"""


def write_page(title: str, chapters: Mapping[str, Sequence[Section]], path: Path) -> None:
    """Write the page whole or not at all.

    Raises:
        UserError: where it cannot be written.
    """
    write_whole(path, framed(BODY, title, chapters=chapters))
