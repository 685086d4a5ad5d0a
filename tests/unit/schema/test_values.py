"""Values of state tables: which types are accepted, and that they survive storage."""

from __future__ import annotations

import warnings
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Any, Literal, NamedTuple, NewType, Optional
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Base64Bytes, BaseModel, Field

from holdfast.errors import EventRefused, SchemaError, StateError
from holdfast.schema import Event, TopicEncoder, ValueCodec
from holdfast.schema.strict import refuse_misfits


class Kind(StrEnum):
    NEW = "new"


class Inner(BaseModel, frozen=True):
    name: str
    parent: Optional[Inner] = None  # noqa: UP045 - a quoted name cannot stand beside |


class Spending(BaseModel, frozen=True):
    total: Decimal = Decimal(0)
    count: int = 0
    kinds: tuple[Kind, ...] = ()
    by_sku: Mapping[str, int] = {}
    steps: tuple[Inner, ...] = ()
    state: Literal["open", "closed"] = "open"
    rate: Annotated[float, Field(ge=0)] = 0.0
    blob: Base64Bytes = b""


class Mutable(BaseModel):
    total: int = 0


class HoldsList(BaseModel, frozen=True):
    lines: list[int] = []


class HoldsMutable(BaseModel, frozen=True):
    inner: tuple[Mutable | None, ...] = ()


class HoldsAny(BaseModel, frozen=True):
    thing: Any = None


@dataclass(frozen=True)
class Point:
    x: int
    tags: tuple[str, ...] = ()


@dataclass
class LoosePoint:
    x: int


class Span(NamedTuple):
    low: int
    high: int


class Snapshot(Event):
    level: int


CustomerId = NewType("CustomerId", str)


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (int, -5),
        (int, 10**30),
        (float, 1.5),
        (float, float("inf")),
        (float, 3),
        (str, "ä\n"),
        (bool, True),
        (Decimal, Decimal("1.20")),
        (datetime, datetime(2026, 1, 2, 3, 4, 5, 6, tzinfo=UTC)),
        (UUID, UUID(int=7)),
        (Kind, Kind.NEW),
        (CustomerId, "c-1"),
        (tuple[int, ...], (1, 2)),
        (frozenset[str], frozenset({"a"})),
        (Point, Point(1, ("a",))),
        (Span, Span(1, 2)),
        (Snapshot, Snapshot(level=3)),
        (Inner, Inner(name="a", parent=Inner(name="b"))),
        (Spending, Spending(total=Decimal("1.10"), kinds=(Kind.NEW,), by_sku={"a": 1}, blob=b"aGk=")),
    ],
)
def test_immutable_values_survive_storage(kind: Any, value: object) -> None:
    """What is decoded equals what was encoded."""
    codec = ValueCodec(kind)
    assert codec.decode(codec.encode(value)) == value


@pytest.mark.parametrize(
    ("kind", "advice"),
    [
        (list, r"tuple\[X, \.\.\.\]"),
        (list[int], r"tuple\[X, \.\.\.\]"),
        (dict[str, int], "Mapping"),
        (set[int], "frozenset"),
        (bytes, "base64"),
        (defaultdict[str, int], "Mapping"),
        (tuple, "may hold anything"),
        (Sequence[int], r"tuple\[X, \.\.\.\]"),
        (bytearray, "str"),
        (Mutable, r"class Mutable\(BaseModel, frozen=True\)"),
        (HoldsList, r"HoldsList\.lines: list can be changed in place"),
        (HoldsMutable, r"HoldsMutable\.inner: Mutable is not frozen"),
        (HoldsAny, r"HoldsAny\.thing may be anything"),
        (tuple[list[int], ...], r"tuple\[X, \.\.\.\]"),
        (LoosePoint, r"@dataclass\(frozen=True\)"),
        (Any, "may be anything"),
        (None, "holds nothing"),
        (int | None, "delete the key instead"),
        (object, "frozen pydantic model"),
    ],
)
def test_what_could_change_in_place_is_refused_with_advice(kind: Any, advice: str) -> None:
    """A value in the cache that a handler changes would never reach the changelog."""
    with pytest.raises(SchemaError, match=advice):
        ValueCodec(kind)


def test_a_value_of_another_type_is_refused() -> None:
    """Also where the JSON of both looks alike."""
    with pytest.raises(StateError, match="holds Spending values; a Snapshot was set"):
        ValueCodec(Spending).encode(Snapshot(level=1))  # type: ignore[arg-type]
    with pytest.raises(StateError, match="holds int values; a str was set"):
        ValueCodec(int).encode("5")  # type: ignore[arg-type]


def test_a_value_that_could_not_be_restored_is_refused_when_it_is_set() -> None:
    """A NaN would be stored as null, and the worker could never start again."""
    codec = ValueCodec(Spending)
    with pytest.raises(StateError, match=r"cannot be read back as Spending: rate"):
        codec.encode(Spending.model_construct(rate=float("nan"), blob=b""))


def test_a_stored_value_that_no_longer_fits_says_what_to_do() -> None:
    """The model changed since the value was written."""

    class Grown(BaseModel, frozen=True):
        total: int
        new: str

    with pytest.raises(StateError, match=r"no Grown: new: Field required\. Give new fields .* a default"):
        ValueCodec(Grown).decode(b'{"total":1}')


@given(st.floats(allow_nan=False) | st.floats(allow_infinity=True, allow_nan=False))
def test_every_float_survives_storage(value: float) -> None:
    """Bit for bit, infinities included."""
    codec = ValueCodec(float)
    assert codec.decode(codec.encode(value)) == value


class Pair(NamedTuple):
    """A value whose fields nobody checks when it is made."""

    amount: float
    orders: int


@dataclass(frozen=True)
class Sums:
    """The same as a dataclass."""

    amount: float
    orders: int


@pytest.mark.parametrize("kind", [Pair, Sums])
def test_a_field_of_a_wrong_type_is_refused_when_it_is_written(kind: type[Any]) -> None:
    """Pydantic only warns, and writes what nobody could read back."""
    with warnings.catch_warnings():
        refuse_misfits()
        codec = ValueCodec(kind)
        assert codec.decode(codec.encode(kind(1, 2))) == kind(1.0, 2)
        with pytest.raises(StateError, match="float"):
            codec.encode(kind("x", 2))


def test_a_model_made_without_validation_is_refused_when_it_is_written() -> None:
    """Events are checked on their way out as well."""

    class Shipped(Event):
        pieces: int

    with warnings.catch_warnings():
        refuse_misfits()
        encoder = TopicEncoder("shipped", (Shipped,), None)
        with pytest.raises(EventRefused, match="int"):
            encoder.encode(Shipped.model_construct(pieces="many"))
