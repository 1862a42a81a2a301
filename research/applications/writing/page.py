"""``samples.html``: what people and students wrote of the same facts, and what is wrong with it."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from research.applications.writing.slots import SlotErrors, slot_errors
from research.evaluation.frame import framed
from research.files import write_whole

SAMPLES = 15
BODY = """
<p>Facts of places that no student was trained on, at even distances in the test file; the first seed of each arm.
What is missing, added, repeated or wrong stands behind a sentence.</p>
{%- for place in places %}
<h2>{{ place.title }}</h2>
<p>{{ place.facts }}</p>
<dl>
{%- for who, text, errors in place.texts %}
<dt>{{ who }}</dt><dd>{{ text }}{% if errors %}<small>{{ errors }}</small>{% endif %}</dd>
{%- endfor %}
</dl>
{%- endfor %}"""


def write_samples(path: Path, texts: Mapping[str, Sequence[Mapping[str, Any]]], decodings: Sequence[str]) -> None:
    """Write the page, whole or not at all.

    Args:
        path: where.
        texts: for each arm by its name the lines of its ``texts.jsonl``, all of the same places.
        decodings: which sentences are shown.

    Raises:
        UserError: if it cannot be written.
    """
    first = next(iter(texts.values()))
    places = []
    for i in range(0, len(first), max(len(first) // SAMPLES, 1)):
        facts = first[i]["facts"]
        said = [("people", first[i]["people"][0])]
        said += [(f"{arm}, {name}", lines[i][name]) for arm, lines in texts.items() for name in decodings]
        rows = [(who, text, told(slot_errors(text, facts))) for who, text in said]
        words = ", ".join(f"{slot}: {value}" for slot, value in facts.items())
        places.append({"title": facts["name"], "facts": words, "texts": rows})
    write_whole(path, framed(BODY, "Sentences from facts", places=places))


def told(errors: SlotErrors) -> str:
    """The errors in words, or nothing."""
    kinds = ("missing", "added", "repeated", "wrong")
    return "; ".join(f"{kind}: {', '.join(slots)}" for kind in kinds if (slots := getattr(errors, kind)))
