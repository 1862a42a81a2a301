"""The tables of a grid in LaTeX."""

import re
from collections.abc import Sequence
from itertools import groupby

from research.ablation.reporting.layout import DETAILS, Cell, Layout, short
from research.ablation.reporting.tables import labels, title, told

ARROWS = {"max": r"\uparrow", "min": r"\downarrow"}
MARKS = {1: r"$^{\bigtriangleup}$", 0: "", -1: r"$^{\bigtriangledown}$"}
PAPER = [0, 6, 7, 8, 9, 11, 12]  # of DETAILS, what a paper's page has room for
ESCAPES = str.maketrans({
    "\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "[": "{[}", "*": "{*}",
    "<": r"$<$", ">": r"$>$", "|": r"$|$", "±": r"$\pm$", "∞": r"$\infty$", "↑": r"$\uparrow$", "↓": r"$\downarrow$",
    "▲": r"$^{\bigtriangleup}$", "▼": r"$^{\bigtriangledown}$", **{one: rf"\{one}" for one in "&%$#_{}"},
})  # fmt: skip


def latex(layout: Layout) -> str:
    """``table`` environments for a paper with the packages ``booktabs`` and ``graphicx``: the arms, and each metric's
    comparisons. One that is wider than the text is scaled down to it."""
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
    notes = rf"\footnotesize\raggedright {' '.join(map(_tex, layout.notes()))}"
    arms = _environment("l" * width + "c" * len(layout.columns), lines, _tex(title(analysis)), "arms", notes)
    parts = [f"% {' '.join(told(analysis).splitlines())}", r"% \usepackage{booktabs,graphicx}", arms]
    for number, metric in enumerate(analysis.metrics, 1):
        if not (compared := [row for row in layout.details(metric) if row[5] != "-"]):
            continue
        rows = [[row[i] for i in PAPER] for row in (DETAILS, *compared)]
        head, *lines = [" & ".join(map(_tex, row)) + r" \\" for row in rows]
        lines = [r"\toprule", head, r"\midrule", *lines, r"\bottomrule"]
        caption = f"{_tex(title(analysis))}: {_tex(short(metric))} of each arm against its baseline."
        parts.append(_environment("l" + "r" * (len(PAPER) - 1), lines, caption, f"comparisons-{number}"))
    return "\n".join(parts)


def _tex(text: str) -> str:
    return re.sub(r"(?<!\S)-(?=\d)", "$-$", text.translate(ESCAPES))


def _cell(cell: Cell | None) -> str:
    if cell is None:
        return "left out"
    text = _tex(cell.text)
    text = (rf"\textbf{{{text}}}" if cell.best else text) + MARKS[cell.sign]
    return rf"\shortstack{{{text}\\\scriptsize ({_tex(cell.remark)})}}" if cell.remark else text


def _environment(columns: str, lines: Sequence[str], caption: str, label: str, *below: str) -> str:
    return "\n".join([
        r"\begin{table}", r"\centering", rf"\caption{{{caption}}}", rf"\label{{tab:{label}}}",
        rf"\sbox0{{\begin{{tabular}}{{{columns}}}", *lines, r"\end{tabular}}%",
        r"\ifdim\wd0>\linewidth\resizebox{\linewidth}{!}{\usebox0}\else\usebox0\fi",
        *(rf"\par\smallskip {{{text}\par}}" for text in below),
        r"\end{table}", "",
    ])  # fmt: skip
