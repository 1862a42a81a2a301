"""One HTML file that shows answers with their reasons."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from research.evaluation.frame import framed
from research.evaluation.plot import panels, plain, same, svg
from research.files import write_whole

MOST = 200  # texts that a page shows

BODY = """
<p>Words on <span class="for">blue with a solid line</span> speak for the answer, words on
<span class="against">orange with a dotted line</span> against it; the stronger the colour, the more, as a
share of the heaviest of the text. Weights stand where the pointer rests.</p>
<style>
.said { font-size: 1.15rem; line-height: 2; white-space: pre-wrap; overflow-wrap: anywhere }
.for { background: rgb(0 114 178 / var(--share, .4)); border-bottom: 2px solid #0072b2 }
.against { background: rgb(230 159 0 / var(--share, .4)); border-bottom: 2px dotted #a86b00 }
</style>
{%- for one in shown %}
<h2>{{ one.where }}: {{ one.answer }}</h2>
{%- for parts in one.fields %}
<p class="said">{% for text, weight, share in parts -%}
{%- if weight is none %}{{ text }}{% else -%}
<span class="{{ 'for' if weight >= 0 else 'against' }}" style="--share: {{ share }}" title="{{ weight }}">
{{- text }}</span>
{%- endif %}{% endfor %}</p>
{%- endfor %}
{%- for words, drawing in one.pictures %}
<figure>{{ picture(drawing, words) }}<figcaption>{{ words }}</figcaption></figure>
{%- endfor %}
{%- if one.examples %}
<h3>Training examples that speak for and against it</h3>{{ table(["example", "label", "influence"], one.examples) }}
{%- endif %}
{%- endfor %}
{%- if left_out %}
<p>{{ left_out }} more are in the file of answers alone.</p>
{%- endif %}"""


def write_page(
    path: Path, title: str, records: Sequence[Mapping[str, Any]], answers: Sequence[Mapping[str, Any]]
) -> None:
    """Write the page of texts and what :class:`Explainer` says of them, whole or not at all.

    Raises:
        UserError: if it cannot be written.
    """
    shown = [_of(record, answer) for record, answer in zip(records[:MOST], answers[:MOST], strict=True)]
    write_whole(path, framed(BODY, title, shown=shown, left_out=max(len(answers) - MOST, 0)))


def _of(record: Mapping[str, Any], answer: Mapping[str, Any]) -> dict[str, Any]:
    fields = [field for field in ("text", "text_pair") if record.get(field) is not None]
    tokens = answer.get("tokens") or answer.get("words") or []
    examples = [[e["text"], e["label"], e["influence"]] for side in ("for", "against") for e in answer.get(side, [])]
    return {
        "where": record["where"],
        "answer": _answer(answer),
        "fields": [parts(record[f], [t for t in tokens if t.get("field", "text") == f], tokens) for f in fields],
        "pictures": _pictures(answer),
        "examples": examples,
    }


def parts(text: str, tokens: Sequence[Mapping[str, Any]], among: Sequence[Mapping[str, Any]]) -> list[tuple[Any, ...]]:
    """A text cut into ``(characters, weight or None, share in [0, 0.6])``, shares being of the heaviest ``among``."""
    heaviest = max((abs(token["weight"]) for token in among), default=0.0) or 1.0
    found, end = list[tuple[Any, ...]](), 0
    for token in tokens:
        start = max(token["start"], end)  # of an unknown character several tokens may stand for the same
        found.append((text[end:start], None, 0.0))
        found.append((text[start : token["end"]], token["weight"], round(0.6 * abs(token["weight"]) / heaviest, 3)))
        end = max(token["end"], end)
    return [*(part for part in found if part[0]), (text[end:], None, 0.0)]


def _answer(answer: Mapping[str, Any]) -> str:
    if "value" in answer:
        return f"{answer['value']:.4g}"
    if "labels" in answer:
        return ", ".join(answer["labels"]) or "no label"
    label = answer.get("label")
    share = answer.get("probabilities", {}).get(label)
    return "no answer" if label is None else label if share is None else f"{label} ({share:.1%})"


def _pictures(answer: Mapping[str, Any]) -> list[tuple[str, str]]:
    found = []
    if "layers" in answer:
        found.append(("weight of each token's state, by layer", _layers(answer["layers"], answer["read"])))
    if "attention" in answer:
        found.append(("attention of each layer, mean over its heads", _maps(answer["attention"], answer["read"])))
    return found


def _layers(rows: Sequence[Sequence[float]], read: Sequence[str]) -> str:
    """A row a layer, on a scale of its own: their sums are alike, but not their largest weights."""
    import numpy as np

    weights = np.array(rows)
    figure, (axes,) = panels(1, 1 + 0.3 * len(rows))
    shares = weights / np.abs(weights).max(1, keepdims=True).clip(1e-12)
    image = axes.imshow(shares, "PuOr", vmin=-1, vmax=1, aspect="auto")
    figure.colorbar(image).set_label("weight, of the largest", fontsize=7)
    axes.set(xlabel="token", ylabel="layer", yticks=range(len(rows)))
    axes.set_xticks(range(len(read)), [plain(token) for token in read], rotation=90, fontsize=7)
    return svg(figure)


def _maps(maps: Sequence[Any], read: Sequence[str]) -> str:
    figure, axes = same(len(maps))
    names = [plain(token) for token in read]
    most = max(max(row) for each in maps for row in each)
    for number, (ax, each) in enumerate(zip(axes, maps, strict=True), 1):
        image = ax.imshow(each, "cividis", vmin=0, vmax=most)
        ax.set(xlabel="token that is looked at", ylabel="token")
        ax.set_title(f"layer {number}", fontsize=8)
        ax.set_xticks(range(len(read)), names, rotation=90, fontsize=6)
        ax.set_yticks(range(len(read)), names, fontsize=6)
    figure.colorbar(image, ax=axes, label="attention (share)")
    return svg(figure)
