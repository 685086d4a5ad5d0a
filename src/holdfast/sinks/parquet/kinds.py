"""The types of columns: from what topology.yaml says, or from the annotation of a field.

Arrow takes some values for what they are not: 1.5 for the number 1, a time without a zone for one in UTC, a
text for the list of its characters. So each kind looks at its values first.
"""

from __future__ import annotations

import re
import types
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time
from decimal import Decimal
from enum import Enum
from typing import Annotated, Any, Final, Literal, Union, get_args, get_origin
from uuid import UUID

import pyarrow as pa
from pydantic import BaseModel, RootModel
from pydantic.fields import FieldInfo
from pydantic_core import to_json

_DIGITS: Final = 38
_PLACES: Final = 18
_DECIMAL: Final = re.compile(r"decimal\((\d+), ?(\d+)\)")
_LIST: Final = re.compile(r"list<(.+)>")


@dataclass(frozen=True, slots=True)
class Kind:
    """The type of a column.

    Attributes:
        name: as topology.yaml has it.
        type: Arrow's.
        take: turns a value that is not None into one for Arrow; raises ValueError if it is no such value.
    """

    name: str
    type: pa.DataType
    take: Callable[[Any], Any]


def _exactly(name: str, kinds: tuple[type, ...], but: tuple[type, ...] = ()) -> Callable[[Any], Any]:
    def take(value: Any) -> Any:
        if isinstance(value, Enum):
            value = value.value
        if not isinstance(value, kinds) or isinstance(value, but):
            raise ValueError(f"{value!r} is no {name}")
        return value

    return take


def _text(value: Any) -> str:
    if isinstance(value, Enum):
        value = value.value
    if not isinstance(value, (str, UUID)):
        raise ValueError(f"{value!r} is no string")
    return str(value)


def _timestamp(value: Any) -> datetime:
    if not isinstance(value, datetime):
        raise ValueError(f"{value!r} is no timestamp")
    if value.tzinfo is None:
        raise ValueError(f"{value!r} has no time zone, and could be any of 24 hours")
    return value


def _local(value: Any) -> datetime:
    if not isinstance(value, datetime) or value.tzinfo is not None:
        raise ValueError(f"{value!r} is no time without a zone")
    return value


def _json(value: Any) -> str:
    # An error of it is a ValueError.
    return to_json(value, by_alias=True).decode()


_PLAIN: Final = {
    kind.name: kind
    for kind in (
        Kind("string", pa.string(), _text),
        Kind("binary", pa.binary(), _exactly("binary", (bytes, bytearray, memoryview))),
        Kind("bool", pa.bool_(), _exactly("bool", (bool,))),
        Kind("int32", pa.int32(), _exactly("int32", (int,), (bool,))),
        Kind("int64", pa.int64(), _exactly("int64", (int,), (bool,))),
        Kind("float32", pa.float32(), _exactly("float32", (float, int), (bool,))),
        Kind("float64", pa.float64(), _exactly("float64", (float, int), (bool,))),
        Kind("date", pa.date32(), _exactly("date", (date,), (datetime,))),
        Kind("time", pa.time64("us"), _exactly("time", (time,))),
        Kind("timestamp", pa.timestamp("us", tz="UTC"), _timestamp),
        Kind("local_timestamp", pa.timestamp("us"), _local),
        Kind("json", pa.string(), _json),
    )
}
_OF_CLASSES: Final[Mapping[type, str]] = {
    str: "string",
    UUID: "string",
    bytes: "binary",
    bool: "bool",
    int: "int64",
    float: "float64",
    datetime: "timestamp",
    date: "date",
    time: "time",
}


def kind_named(text: str) -> Kind:
    """The kind that topology.yaml names; its form was checked there.

    Raises:
        ValueError: a decimal of digits that there are not.
    """
    if found := _DECIMAL.fullmatch(text):
        return _decimal(int(found[1]), int(found[2]))
    if found := _LIST.fullmatch(text):
        return _list(kind_named(found[1]))
    return _PLAIN[text]


def kind_of(annotation: Any, metadata: Sequence[Any] = ()) -> Kind:
    """The kind of a field. What has none of its own is kept as JSON text.

    Args:
        annotation: the field's.
        metadata: what pydantic says of it beside that, such as the digits of a `Decimal`.
    """
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return kind_of(arguments[0], (*arguments[1:], *metadata))
    if origin in (Union, types.UnionType):
        rest = [each for each in arguments if each is not type(None)]
        return kind_of(rest[0], metadata) if len(rest) == 1 else _PLAIN["json"]
    if origin is Literal:
        return _of_values(arguments)
    if origin in (list, set, frozenset) or (origin is tuple and arguments[1:] == (...,)):
        return _list(kind_of(arguments[0]))
    if isinstance(annotation, type):
        return _of_class(annotation, metadata)
    return _PLAIN["json"]


def _of_class(found: type, metadata: Sequence[Any]) -> Kind:
    if issubclass(found, Enum):
        return _of_values([member.value for member in found])
    if issubclass(found, Decimal):
        return _decimal_of(metadata)
    if issubclass(found, RootModel):
        return kind_of(found.model_fields["root"].annotation)
    if issubclass(found, BaseModel):
        return _struct(fields_of(found))
    name = next((name for kind, name in _OF_CLASSES.items() if issubclass(found, kind)), "json")
    # A bool is an int to Python, and a datetime a date: the order above tells them apart.
    return _PLAIN[name]


def _of_values(values: Sequence[Any]) -> Kind:
    kinds = {type(value) for value in values}
    return _PLAIN[_OF_CLASSES.get(kinds.pop(), "json")] if len(kinds) == 1 else _PLAIN["json"]


def fields_of(model: type[BaseModel]) -> dict[str, Kind]:
    """The kinds of the fields that pydantic writes, by the names that it gives them."""
    kinds = {
        field.serialization_alias or field.alias or name: kind_of(field.annotation, field.metadata)
        for name, field in model.model_fields.items()
        if not field.exclude
    }
    computed = model.model_computed_fields
    return kinds | {field.alias or name: kind_of(field.return_type) for name, field in computed.items()}


def _decimal_of(metadata: Sequence[Any]) -> Kind:
    said = [part for each in metadata for part in (each.metadata if isinstance(each, FieldInfo) else [each])]
    digits = min((it for each in said if (it := getattr(each, "max_digits", None))), default=_DIGITS)
    places = [it for each in said if (it := getattr(each, "decimal_places", None)) is not None]
    if places:
        return _decimal(min(digits, _DIGITS), min(places))
    # Of so many digits all may be after the point.
    return _decimal(_DIGITS, min(digits, _PLACES))


def _decimal(digits: int, places: int) -> Kind:
    if not 1 <= digits <= _DIGITS or places > digits:
        raise ValueError(f"decimal({digits}, {places}): up to {_DIGITS} digits, and as many after the point")

    def take(value: Any) -> Decimal:
        if isinstance(value, bool) or not isinstance(value, (Decimal, int)):
            raise ValueError(f"{value!r} is no decimal({digits}, {places})")
        return Decimal(value)

    return Kind(f"decimal({digits}, {places})", pa.decimal128(digits, places), take)


def _list(inner: Kind) -> Kind:
    def take(values: Any) -> list[Any]:
        if not isinstance(values, (list, tuple, set, frozenset)):
            raise ValueError(f"{values!r} is no list")
        return [None if value is None else inner.take(value) for value in values]

    return Kind(f"list<{inner.name}>", pa.list_(inner.type), take)


def _struct(kinds: Mapping[str, Kind]) -> Kind:
    if not kinds:
        return _PLAIN["json"]

    def take(values: Any) -> dict[str, Any]:
        if not isinstance(values, Mapping):
            raise ValueError(f"{values!r} has no fields")
        return {
            name: None if (value := values.get(name)) is None else kind.take(value)
            for name, kind in kinds.items()
        }

    inner = pa.struct([(name, kind.type) for name, kind in kinds.items()])
    return Kind(f"struct<{', '.join(kinds)}>", inner, take)
