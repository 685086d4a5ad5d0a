"""Arguments of producers, as they are given with `--set`: converted, or refused before anything starts."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal

import pytest
import typer

from holdfast.cli.feed import parse_arguments
from holdfast.topology import ResolvedProducer
from holdfast.topology.model import ProducerDecl


def orders(  # type: ignore[no-untyped-def] # one parameter has no annotation, on purpose
    count: int = 1,
    *,
    price: Decimal = Decimal(1),
    day: date | None = None,
    sku: str = "",
    kind: Literal["big", "small"] = "big",
    folder: Path = Path(),
    tags: tuple[str, ...] = (),
    live: bool = False,
    anything=None,
) -> Iterator[Any]:
    """Yield nothing."""
    return iter(())


def needs(count: int, *more: int, **others: int) -> Iterator[Any]:
    """Yield nothing."""
    return iter(())


def undefined(count: Missing = 1) -> Iterator[Any]:  # type: ignore[name-defined] # noqa: F821
    """Yield nothing."""
    return iter(())


def unusual(count: Callable[[], int] | object = 1, other: Unusual | None = None) -> Iterator[Any]:
    """Yield nothing."""
    return iter(())


class Unusual:
    """A class that no text becomes."""


def parse(*given: str, source: Callable[..., Any] = orders) -> dict[str, Any]:
    """Parse for one producer."""
    decl = ProducerDecl.model_validate({"<name>": "orders", "source": "m:orders", "writes": ["orders"]})
    return dict(parse_arguments(given, {"orders": ResolvedProducer(decl, source, ())})["orders"])


@pytest.mark.parametrize(
    ("given", "value"),
    [
        ("count=500", 500),
        ("price=0.10", Decimal("0.10")),
        ("price=2", Decimal(2)),
        ("day=2026-11-21", date(2026, 11, 21)),
        ("day=", None),
        ("sku=007", "007"),
        ("sku=true", "true"),
        ("sku='007'", "007"),
        ("sku=a: b: c", "a: b: c"),
        ("sku=", ""),
        ("kind=small", "small"),
        ("folder=/tmp", Path("/tmp")),
        ("tags=[a, b]", ("a", "b")),
        ("live=yes", True),
        ("anything=[1, x]", [1, "x"]),
    ],
)
def test_a_value_becomes_what_the_annotation_says(given: str, value: object) -> None:
    """What has no annotation is read as in YAML."""
    (found,) = parse(given).values()
    assert (found, type(found)) == (value, type(value))


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ("count=abc", "'count=abc': producer orders takes count: int; Input should be a valid integer"),
        ("count=1.5", "'count=1.5': producer orders takes count: int; "),
        ("count=", "'count=': producer orders takes count: int; "),
        ("count=[1", "'count=[1': producer orders takes count: int; "),
        ("orders.count=x", "'orders.count=x': producer orders takes count: int; "),
        ("kind=huge", "'kind=huge': producer orders takes kind: "),
        ("anything=[1", "'anything=[1' cannot be read as YAML"),
        ("cout=5", "no producer takes 'cout'; did you mean \"count\"?"),
    ],
)
def test_a_value_that_does_not_fit_is_refused_with_the_annotation(given: str, says: str) -> None:
    """As a usage error, like an unknown name."""
    with pytest.raises(typer.BadParameter) as caught:
        parse(given)
    assert caught.value.message.startswith(says)


def test_an_argument_that_a_producer_needs_is_asked_for() -> None:
    """Before it is called; what it takes besides by position or by any name is not asked for."""
    with pytest.raises(
        typer.BadParameter, match="producer orders needs count; give it with --set count=VALUE"
    ):
        parse(source=needs)
    assert parse("count=3", source=needs) == {"count": 3}


@pytest.mark.parametrize("source", [undefined, unusual])
def test_annotations_that_say_nothing_usable_leave_the_value_as_it_is(source: Callable[..., Any]) -> None:
    """The producer itself has to know."""
    assert parse("count=3", source=source) == {"count": 3}
