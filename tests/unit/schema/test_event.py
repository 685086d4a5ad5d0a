"""Event classes: names, versions, immutability, registration of upcasters."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import Field, ValidationError

from holdfast.errors import SchemaError
from holdfast.schema import Event, check_event_class, wire_type
from holdfast.schema.event import parse_wire_type


class Placed(Event, version=2):
    order_id: str


@Placed.upcast(from_version=1)
def _renamed(old: dict[str, Any]) -> dict[str, Any]:
    return {"order_id": old["id"]}


def test_an_event_is_called_like_its_class_in_version_1() -> None:
    """Without keywords, the name on the wire is the class's name and the version is 1."""

    class Shipped(Event):
        order_id: str

    assert wire_type(Shipped) == b"Shipped.v1"


def test_name_and_version_are_class_keywords() -> None:
    """The name on the wire does not depend on how the class is called."""

    class OrderShippedV3(Event, name="shop.OrderShipped", version=3, oldest=3):
        order_id: str

    assert wire_type(OrderShippedV3) == b"shop.OrderShipped.v3"
    assert parse_wire_type(b"shop.OrderShipped.v3") == ("shop.OrderShipped", 3)


def test_a_bare_name_carries_no_version() -> None:
    """Foreign producers may write a type without a version; a zero version is no version."""
    assert parse_wire_type(b"com.example.Placed") == ("com.example.Placed", None)
    assert parse_wire_type(b"Placed.v0") == ("Placed.v0", None)


def test_an_event_cannot_be_changed() -> None:
    """Assignment to a field of an event is refused."""
    placed = Placed(order_id="o-1")
    with pytest.raises(ValidationError, match="frozen"):
        placed.order_id = "o-2"  # type: ignore[misc]


def test_a_subclass_cannot_give_up_immutability() -> None:
    """frozen=False is refused when the class is defined."""
    with pytest.raises(SchemaError, match="remove frozen=False"):

        class Mutable(Event, frozen=False):
            order_id: str


@pytest.mark.parametrize("name", ["", "1st", "with space", "Order.v2", "ü", "a/b"])
def test_a_name_that_would_be_ambiguous_on_the_wire_is_refused(name: str) -> None:
    """Names are plain text without a version at their end."""
    with pytest.raises(SchemaError, match="cannot be an event name"):

        class Bad(Event, name=name):
            pass


@pytest.mark.parametrize(("version", "oldest"), [(0, 1), (1, 2), (2, 0), (-1, -1)])
def test_impossible_versions_are_refused(version: int, oldest: int) -> None:
    """Versions start at 1, and the oldest one is not above the current one."""
    with pytest.raises(SchemaError, match="versions start at 1"):

        class Bad(Event, version=version, oldest=oldest):
            pass


@pytest.mark.parametrize("version", [0, 2, 3])
def test_an_upcaster_from_a_version_that_is_not_older_is_refused(version: int) -> None:
    """An upcaster that could never be used is a mistake."""

    class Current(Event, version=2):
        pass

    with pytest.raises(SchemaError, match="can never be used"):
        Current.upcast(from_version=version)


def test_two_upcasters_from_one_version_are_refused() -> None:
    """Only one function may stand between two versions."""
    with pytest.raises(SchemaError, match="two upcasters from version 1"):
        Placed.upcast(from_version=1)


def test_a_missing_upcaster_is_named_with_both_ways_out() -> None:
    """The check says which function to add, or which keyword declares that it is not needed."""

    class Gap(Event, version=3):
        pass

    Gap.upcast(from_version=1)(lambda old: old)
    with pytest.raises(SchemaError, match=r"from_version=2\), or declare oldest=3"):
        check_event_class(Gap)


def test_subclasses_do_not_share_upcasters() -> None:
    """An event derived from another one has its own versions."""

    class Special(Placed):
        pass

    assert Special.__event_version__ == 1
    assert Special.__event_upcasters__ == {}


def test_an_undefined_type_is_a_schema_error() -> None:
    """A field whose type cannot be found is reported with the class, not as pydantic's error."""

    class Forward(Event):
        other: Missing  # type: ignore[name-defined]  # noqa: F821

    with pytest.raises(SchemaError, match="Forward cannot be used"):
        check_event_class(Forward)


@pytest.mark.parametrize("thing", [int, "OrderPlaced", None, Event])
def test_what_is_no_event_class_is_refused(thing: object) -> None:
    """A topology may name anything; only event classes pass."""
    with pytest.raises(SchemaError, match="is not an event class"):
        check_event_class(thing)


def test_fields_with_aliases_can_be_set_by_both_names() -> None:
    """The alias is for the wire; Python code uses the Python name."""

    class Aliased(Event):
        order_id: str = Field(alias="orderId")

    assert Aliased(order_id="1") == Aliased(orderId="1")  # type: ignore[call-arg]


def test_not_a_number_is_refused() -> None:
    """JSON has no NaN, so an event cannot hold one."""

    class Reading(Event):
        celsius: float

    with pytest.raises(ValidationError, match="finite"):
        Reading(celsius=float("nan"))
