"""``loss_curves.png``: one line an objective."""

import csv
from pathlib import Path

MARKS = ["-", "--", "-.", ":"]


def draw_losses(metrics: Path, out: Path) -> None:
    """Draw the raw losses of a ``metrics.csv`` over its steps, faint as logged and strong as a moving mean."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt
    import numpy as np

    with metrics.open(newline="") as file:
        rows = list(csv.DictReader(file))
    names = [name for name in (rows[0] if rows else {}) if name.startswith("loss/")]
    plt.style.use("tableau-colorblind10")
    figure, axes = plt.subplots(figsize=(7, 4), layout="constrained")
    for i, name in enumerate(names):
        points = [(int(row["step"]), float(row[name])) for row in rows if row[name]]
        if not points:
            continue
        steps, losses = np.array(points).T
        width = max(len(losses) // 20, 1)
        smooth = np.convolve(losses, np.ones(width) / width, mode="valid")
        (line,) = axes.plot(steps[width - 1 :], smooth, MARKS[i % 4], label=name.removeprefix("loss/"))
        axes.plot(steps, losses, color=line.get_color(), alpha=0.25, linewidth=0.8)
    axes.set(xlabel="training step", ylabel="loss (nats)", yscale="log", title=metrics.parent.name)
    if names:
        axes.legend()
    axes.grid(alpha=0.3)
    figure.savefig(out, dpi=120)
    plt.close(figure)
