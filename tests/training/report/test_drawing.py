import re
from xml.etree import ElementTree

import pytest

from training.report import drawing
from training.report.drawing import canvas, line_style
from training.report.names import SCENARIOS

pytestmark = pytest.mark.torch


def drawn(name: str = "one") -> str:
    with canvas(name) as of:
        of.axes.plot([0, 1], [0, 1], label="<b>$x", **line_style("fused"))
        of.axes.axvline(0.5, color=drawing.INK)
        of.legend()
    return of.svg


def test_a_drawing_is_one_element_with_ids_of_its_own() -> None:
    svg = drawn("one")
    # The page's parser knows xlink without being told; an XML parser does not.
    ElementTree.fromstring(svg.replace("xlink:", ""))  # noqa: S314
    ids = set(re.findall(r'\bid="([^"]*)"', svg))
    assert ids
    assert all(each.startswith("one-") for each in ids)
    used = set(re.findall(r'(?:href="#|url\(#)([^")]*)', svg))
    assert used
    assert used <= ids
    assert "http" not in svg


def test_the_same_drawing_has_the_same_bytes() -> None:
    assert drawn() == drawn()


def test_colours_are_the_pages() -> None:
    svg = drawn()
    assert "var(--series-ours)" in svg
    assert "currentColor" in svg
    assert not re.search(r"#0[1-5]0\w{3}\b", svg)


def test_text_is_escaped_and_no_formula() -> None:
    assert "&lt;b&gt;$x" in drawn()


def test_no_two_scenarios_differ_by_colour_alone() -> None:
    styles = [line_style(scenario) for scenario in SCENARIOS]
    assert len({style["color"] for style in styles}) == len(SCENARIOS)
    assert len({(style["marker"], str(style["linestyle"])) for style in styles}) == len(SCENARIOS)
    assert line_style("one of later")["color"] == drawing.MUTED
