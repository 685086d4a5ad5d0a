"""HTML and SVG that cannot be broken by what stands in the data: whatever is not markup already is escaped.

As in MarkupSafe and hiccup, text and markup are different types: a `str` becomes text, only `tag` and
`joined` make `Markup`. Names of elements and attributes are literals of this package, never data.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterable

_VOID = frozenset({"input", "meta"})
"""Elements of HTML that have no end."""

_EMPTY = frozenset({"path", "rect"})
"""Elements of SVG that we write without content: there only `/>` ends one."""

_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")
"""What neither HTML nor XML 1.0 takes, or UTF-8 cannot hold."""

_DIRECTION = re.compile("[\u202a-\u202e\u2066-\u2069\u200e\u200f]")
"""Marks that turn the text after them around: a name could make a sentence read otherwise than it is."""


class Markup(str):
    """Text that is markup already."""

    __slots__ = ()


Content = str | int | float | None | Iterable["Content"]
"""What an element may hold: text, numbers, markup, any of these one after the other, or nothing."""


def clean(text: str) -> str:
    """Text with a visible mark in place of each character that a page or an XML file cannot hold."""
    return _DIRECTION.sub("\N{REPLACEMENT CHARACTER}", _CONTROL.sub("\N{REPLACEMENT CHARACTER}", text))


def joined(*content: Content) -> Markup:
    """Contents one after the other, as markup."""
    return Markup("".join(_rendered(each) for each in content))


def tag(name: str, *content: Content, **attributes: str | float | bool | None) -> Markup:
    """An element.

    Args:
        name: of the element.
        content: what it holds.
        attributes: by name, with `_` for `-`, and one at the end of names that Python has taken (`class_`).
            None and False leave one out, True is one without a value.
    """
    written = "".join(_attribute(key, value) for key, value in attributes.items())
    if name in _VOID or name in _EMPTY:
        return Markup(f"<{name}{written}{'/' if name in _EMPTY else ''}>")
    return Markup(f"<{name}{written}>{joined(*content)}</{name}>")


def _attribute(key: str, value: str | float | bool | None) -> str:
    if value is None or value is False:
        return ""
    name = key.rstrip("_").replace("_", "-")
    if value is True:
        return f" {name}"
    return f' {name}="{html.escape(clean(str(value)))}"'


def _rendered(content: Content) -> str:
    if content is None:
        return ""
    if isinstance(content, Markup):
        return str(content)
    if isinstance(content, str):
        return html.escape(clean(content))
    if isinstance(content, int | float):
        return str(content)
    return joined(*content)
