"""Tables that fit a telephone: there each row becomes a list, and the titles stand before their values.

As `display` takes a table's meaning away from screen readers, every part says its role.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from holdfast.chaos.report.markup import Content, Markup, tag


@dataclass(frozen=True, slots=True)
class Cell:
    """A cell.

    Attributes:
        content: what it holds.
        right: numbers are set to the right.
        head: it names its row.
        look: its CSS class.
    """

    content: Content
    right: bool = False
    head: bool = False
    look: str = ""


def table(
    caption: str, titles: Sequence[str], rows: Iterable[Sequence[Cell]], *, right: Sequence[str] = ()
) -> Markup:
    """A table.

    Args:
        caption: what it is, for those who do not see where it stands.
        titles: of its columns.
        rows: a cell for each column.
        right: titles that stand above numbers.
    """
    head = [
        tag("th", title, scope="col", role="columnheader", class_="right" if title in right else None)
        for title in titles
    ]
    return tag(
        "table",
        tag("caption", caption),
        tag("thead", tag("tr", head, role="row"), role="rowgroup"),
        tag("tbody", (tag("tr", _cells(titles, row), role="row") for row in rows), role="rowgroup"),
        role="table",
    )


def _cells(titles: Sequence[str], row: Sequence[Cell]) -> Iterable[Markup]:
    for title, cell in zip(titles, row, strict=True):
        look = " ".join(filter(None, (cell.look, "right" if cell.right else ""))) or None
        if cell.head:
            yield tag("th", cell.content, scope="row", role="rowheader", class_=look)
        else:
            yield tag("td", tag("span", cell.content), role="cell", data_title=title, class_=look)
