"""A plot of many arms with long names has room for its legend and for its axes, and no two arms look the same."""

from research.ablation.reporting.plots.drawing import POINTS, drawing, style
from research.evaluation.plot import panels


def test_everything_lies_inside_and_the_axes_keep_their_room() -> None:
    figure, axes = panels(1)
    for i in range(30):
        axes[0].plot([0, 1], [0, i], label=f"an_arm_of_a_name_that_is_{i:02d}_quite_long")
    drawing(figure, axes, "title", "text")
    figure.draw_without_rendering()
    assert figure.bbox.containsx(figure.legends[0].get_window_extent().x0)
    assert figure.bbox.containsy(figure.legends[0].get_window_extent().y0)
    assert figure.bbox.containsy(figure.legends[0].get_window_extent().y1)
    assert axes[0].bbox.width > 4 * figure.dpi and not figure.legends[0].get_window_extent().overlaps(axes[0].bbox)


def test_names_of_bars_leave_the_bars_their_room() -> None:
    figure, axes = panels(2, sharey=True)
    axes[0].set(yticks=range(3), yticklabels=["x" * 40] * 3)
    drawing(figure, axes, "title", "text")
    figure.draw_without_rendering()
    assert min(ax.bbox.width for ax in axes) > 3 * figure.dpi


def test_no_two_arms_look_the_same() -> None:
    looks = [(style(i)["color"], style(i)["linestyle"]) for i in range(40)]
    marks = [(style(i)["color"], POINTS[i % len(POINTS)]) for i in range(90)]
    assert len({*looks}) == 40 and len({*marks}) == 90
