"""Names that users give stand in a plot as they are, and a legend holds what any panel shows."""

import warnings

import pytest

from research.evaluation.plot import ABREAST, LONGEST, entries, panels, plain, same, svg


@pytest.mark.parametrize("name", [r"$\nosuch$", "a$b", "_hidden", "<script>alert(1)</script>", "--> ]]> &", "外卖"])
def test_a_name_is_drawn_as_it_is(name: str) -> None:
    from xml.etree import ElementTree

    figure, (axes,) = panels(1)
    axes.plot([0, 1], [0, 1], label=plain(name))
    axes.legend()
    with warnings.catch_warnings(action="error"):
        words = [element.text for element in ElementTree.fromstring(svg(figure)).iter() if element.text]
    assert name in {word.strip() for word in words}


def test_a_long_name_keeps_its_ends() -> None:
    assert plain("a" * LONGEST) == "a" * LONGEST
    short = plain("begins_" + "x" * 100 + "_ends")
    assert len(short) == LONGEST and short.startswith("begins_") and short.endswith("_ends") and "…" in short


def test_the_legend_has_what_any_panel_shows() -> None:
    _, axes = panels(2)
    axes[0].plot([0, 1], label="a")
    axes[1].plot([0, 1], label="a")
    axes[1].plot([0, 1], label="b")
    assert entries(axes)[1] == ["a", "b"]


def test_many_panels_stand_in_rows() -> None:
    figure, axes = same(ABREAST + 2)
    figure.draw_without_rendering()
    assert len(axes) == len(figure.axes) == ABREAST + 2
    assert len({round(ax.bbox.y0) for ax in axes}) == 2 and min(ax.bbox.width for ax in axes) > 3 * figure.dpi
    assert all(any(label.get_visible() for label in ax.get_xticklabels()) for ax in axes)
