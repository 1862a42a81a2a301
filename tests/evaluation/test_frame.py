"""Whatever a page shows is shown as it is, and the page needs no other file."""

import base64

from research.evaluation.frame import framed

NASTY = '<script>alert("1 & 2")</script> {{ 7 * 7 }}'


def test_values_are_escaped_wherever_they_stand() -> None:
    body = '<p>{{ told }}</p>{{ table([told, "n"], [[told, told]]) }}{{ picture(svg, told) }}'
    page = framed(body, NASTY, told=NASTY, svg="<svg/>")
    assert "<script" not in page and page.count("{{ 7 * 7 }}") == 7, "title, heading, text, three cells, picture"
    assert f'src="data:image/svg+xml;base64,{base64.b64encode(b"<svg/>").decode()}"' in page
    assert page.startswith("<!doctype html>") and page.endswith("</html>") and "://" not in page
