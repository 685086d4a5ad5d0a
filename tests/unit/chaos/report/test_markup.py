"""Text from a run cannot become markup."""

from __future__ import annotations

from html.parser import HTMLParser

from holdfast.chaos.report.markup import Markup, clean, joined, tag
from tests.support.chaos_runs import HOSTILE


class Tags(HTMLParser):
    """Collects elements, their attributes and the text between them."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


def parsed(markup: str) -> Tags:
    tags = Tags()
    tags.feed(markup)
    return tags


def test_text_stays_text_and_markup_stays_markup() -> None:
    assert tag("p", "1 < 2 & 3", tag("b", "x"), 4) == "<p>1 &lt; 2 &amp; 3<b>x</b>4</p>"


def test_an_attribute_cannot_be_ended_by_its_value() -> None:
    found = parsed(tag("p", class_=HOSTILE, title=HOSTILE)).found
    assert found == [("p", {"class": clean(HOSTILE), "title": clean(HOSTILE)})]


def test_a_hostile_text_is_read_back_as_it_was_but_for_what_nobody_should_see() -> None:
    read = parsed(tag("p", HOSTILE))
    assert [name for name, _ in read.found] == ["p"]
    assert read.text == clean(HOSTILE)
    assert not set(read.text) & set("\x00\x1b\u202e")


def test_text_that_no_file_can_hold_gets_a_visible_mark() -> None:
    assert clean("a\ud800b\x07c") == "a\N{REPLACEMENT CHARACTER}b\N{REPLACEMENT CHARACTER}c"
    assert clean("a\tb\nc é 漢") == "a\tb\nc é 漢"


def test_false_and_none_leave_an_attribute_out_and_true_has_no_value() -> None:
    assert tag("input", hidden=True, disabled=False, title=None) == "<input hidden>"


def test_elements_of_svg_without_content_end_themselves() -> None:
    assert joined(tag("path", d="M0 0"), None, [tag("rect", x=1.5)]) == '<path d="M0 0"/><rect x="1.5"/>'


def test_nothing_but_the_builders_makes_markup() -> None:
    assert not isinstance(clean("x"), Markup)
    assert joined("<b>") == "&lt;b&gt;"
