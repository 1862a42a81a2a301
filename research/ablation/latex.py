"""The tables of a grid in LaTeX."""

from collections.abc import Sequence
from itertools import groupby

from research.ablation.layout import DETAILS, Cell, Layout, short
from research.ablation.tables import labels, title, told

ARROWS = {"max": r"\uparrow", "min": r"\downarrow"}
MARKS = {1: r"$^{\bigtriangleup}$", 0: "", -1: r"$^{\bigtriangledown}$"}
PAPER = [0, 6, 7, 8, 9, 11, 12]  # of DETAILS, what a paper's page has room for
ESCAPES = str.maketrans({
    "\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "[": "{[}", "*": "{*}",
    "<": r"$<$", ">": r"$>$", "±": r"$\pm$", "∞": r"$\infty$", "↑": r"$\uparrow$", "↓": r"$\downarrow$",
    "▲": r"$^{\bigtriangleup}$", "▼": r"$^{\bigtriangledown}$", **{one: rf"\{one}" for one in "&%$#_{}"},
})  # fmt: skip


def latex(layout: Layout) -> str:
    """Two ``table`` environments for a paper that uses the package ``booktabs``: the arms, and the comparisons."""
    analysis, width = layout.analysis, len(layout.axes) or 1
    groups = [(task, len(list(columns))) for task, columns in groupby(layout.columns, lambda column: column.task)]
    metrics = [rf"{_tex(short(c.metric))} ${ARROWS[analysis.metrics[c.metric]]}$" for c in layout.columns]
    lines = [r"\toprule"]
    if layout.across is not None:
        above = [rf"\multicolumn{{{count}}}{{c}}{{{_tex(task or '')}}}" for task, count in groups]
        starts = [width + 1 + sum(count for _, count in groups[:i]) for i in range(len(groups))]
        lines += [" & ".join([*[""] * width, *above]) + r" \\"]
        lines += [
            "".join(rf"\cmidrule(lr){{{s}-{s + count - 1}}}" for s, (_, count) in zip(starts, groups, strict=True))
        ]
    lines += [" & ".join([*map(_tex, layout.axes or [""]), *metrics]) + r" \\", r"\midrule"]
    for row, cells in zip(layout.rows, layout.cells, strict=True):
        lines.append(" & ".join([*map(_tex, labels(layout, row)), *map(_cell, cells)]) + r" \\")
    lines.append(r"\bottomrule")
    notes = rf"\footnotesize {' '.join(map(_tex, layout.notes()))}"
    arms = _environment("l" * width + "c" * len(layout.columns), lines, _tex(title(analysis)), "arms", notes)
    parts = [f"% {told(analysis)}", r"% \usepackage{booktabs}", arms]
    compared = [(metric, row) for metric in analysis.metrics for row in layout.details(metric) if row[5] != "-"]
    if compared:
        lines = [r"\toprule", " & ".join(["metric", *map(_tex, [DETAILS[i] for i in PAPER])]) + r" \\", r"\midrule"]
        lines += [" & ".join(map(_tex, [short(metric), *(row[i] for i in PAPER)])) + r" \\" for metric, row in compared]
        lines.append(r"\bottomrule")
        caption = f"{_tex(title(analysis))}: each arm against its baseline."
        parts.append(_environment("ll" + "r" * (len(PAPER) - 1), lines, caption, "comparisons"))
    return "\n".join(parts)


def _tex(text: str) -> str:
    return text.translate(ESCAPES)


def _cell(cell: Cell | None) -> str:
    if cell is None:
        return "left out"
    text = _tex(cell.text)
    text = (rf"\textbf{{{text}}}" if cell.best else text) + MARKS[cell.sign]
    return f"{text} ({_tex(cell.remark)})" if cell.remark else text


def _environment(columns: str, lines: Sequence[str], caption: str, label: str, *below: str) -> str:
    return "\n".join([
        r"\begin{table}", r"\centering", rf"\caption{{{caption}}}", rf"\label{{tab:{label}}}",
        rf"\begin{{tabular}}{{{columns}}}", *lines, r"\end{tabular}", *(rf"\par {text}" for text in below),
        r"\end{table}", "",
    ])  # fmt: skip
