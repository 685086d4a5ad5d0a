"""Values of state tables: which types may be one, and their bytes."""

from __future__ import annotations

import dataclasses
import types
from collections import abc
from collections.abc import Callable, Iterator
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from typing import Annotated, Any, Generic, Literal, TypeVar, Union, get_args, get_origin, get_type_hints
from uuid import UUID

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from holdfast.errors import SchemaError, StateError
from holdfast.schema.event import complete
from holdfast.schema.explain import explain_fields, shorten
from holdfast.schema.strict import UNWRITABLE

T = TypeVar("T")

_SCALARS = (str, int, float, bool, Decimal, datetime, date, time, timedelta, UUID, Enum, type(None))
# Not Sequence and Set: they come back as another class (list, set) than the one that was put in, so a handler
# that works before a restore could fail after it.
_READ_ONLY = (tuple, frozenset, abc.Mapping)
_INSTEAD: dict[type, str] = {
    list: "tuple[X, ...]",
    dict: "collections.abc.Mapping[K, V], and a new one for each change",
    set: "frozenset[X]",
    bytearray: "str",
    bytes: "str (in base64 or hex)",
    abc.Sequence: "tuple[X, ...]",
    abc.Set: "frozenset[X]",
}


class ValueCodec(Generic[T]):
    """Writes and reads the values of one table as JSON.

    Table values are shared between the handler and the cache, so they must be immutable: a frozen
    pydantic model, or a scalar (int, float, str, bool, Decimal, datetime, ...).

    Attributes:
        type: the declared type of the values.
        encode: value to bytes. Raises `StateError` for a value that could not be read back.
        decode: bytes to value. Raises `StateError` for bytes that are no such value.
    """

    __slots__ = ("decode", "encode", "type")

    def __init__(self, type_: type[T]) -> None:
        """Prepare the codec.

        Raises:
            SchemaError: when the type is mutable, or pydantic has no schema for it.
        """
        check_value_type(type_)
        self.type = type_
        serializer, validator = _core(type_)
        self.encode: Callable[[T], bytes] = _encoder(type_, serializer.to_json, validator.validate_json)
        self.decode: Callable[[bytes], T] = _decoder(type_, validator.validate_json)


def check_value_type(type_: Any) -> None:
    """Check that values of `type_` cannot change after they were made.

    Raises:
        SchemaError: when they can; the message names the field and what to write instead.
    """
    if type_ is None or type_ is type(None):
        raise SchemaError("a table of None holds nothing; name a frozen model or a scalar type.")
    if type(None) in get_args(type_):
        # The table answers None for a key that it does not hold.
        raise SchemaError(f"{_name(type_)}: a table cannot hold None; delete the key instead.")
    problem = next(_mutable_parts(type_, _name(type_), set()), None)
    if problem:
        raise SchemaError(f"{_name(type_)} cannot be the value of a table: {problem}")


def _mutable_parts(type_: Any, path: str, seen: set[Any]) -> Iterator[str]:
    """Yield one sentence for each part of `type_` that could be changed in place."""
    origin = get_origin(type_)
    if origin is Annotated:
        # An annotated bytes (pydantic's Base64Bytes) brings its own text form.
        inner = get_args(type_)[0]
        yield from () if inner is bytes else _mutable_parts(inner, path, seen)
    elif origin is Literal:
        return
    elif origin in (Union, types.UnionType, *_READ_ONLY):
        for arg in get_args(type_):
            if arg is not Ellipsis:
                yield from _mutable_parts(arg, path, seen)
    elif isinstance(type_, TypeVar) or type_ is Any:
        yield f"{path} may be anything; name its type."
    elif isinstance(origin or type_, type):
        yield from _mutable_class(origin or type_, path, seen)
    else:
        inner = getattr(type_, "__supertype__", getattr(type_, "__value__", None))
        if inner is None:
            yield f"{path}: {_name(type_)} is not a type that can be kept."
        else:
            yield from _mutable_parts(inner, path, seen)


def _mutable_class(class_: type, path: str, seen: set[Any]) -> Iterator[str]:
    if class_ in seen or issubclass(class_, _SCALARS):
        return
    seen.add(class_)
    if issubclass(class_, BaseModel):
        complete(class_)
        if not class_.model_config.get("frozen"):
            name = class_.__name__
            yield f"{path}: {name} is not frozen. Write `class {name}(BaseModel, frozen=True)`."
            return
        base64 = class_.model_config.get("val_json_bytes", "utf8") != "utf8"
        for name, field in class_.model_fields.items():
            if not (field.annotation is bytes and (base64 or field.metadata)):
                yield from _mutable_parts(field.annotation, f"{path}.{name}", seen)
    elif dataclasses.is_dataclass(class_):
        if not class_.__dataclass_params__.frozen:  # type: ignore[attr-defined]
            yield f"{path}: {class_.__name__} is not frozen. Write `@dataclass(frozen=True)`."
            return
        for name, annotation in get_type_hints(class_).items():
            yield from _mutable_parts(annotation, f"{path}.{name}", seen)
    elif class_ in _READ_ONLY:
        yield f"{path}: {class_.__name__} may hold anything; name the types of its items."
    elif issubclass(class_, tuple):
        for name, annotation in get_type_hints(class_).items():
            yield from _mutable_parts(annotation, f"{path}.{name}", seen)
    else:
        instead = next((text for kind, text in _INSTEAD.items() if issubclass(class_, kind)), None)
        hint = f"Use {instead}." if instead else "Use a frozen pydantic model."
        reason = "is not JSON" if issubclass(class_, bytes) else "can be changed in place"
        yield f"{path}: {class_.__name__} {reason}. {hint}"


def _core(type_: Any) -> tuple[Any, Any]:
    """Return pydantic's core serializer and validator of a type."""
    if isinstance(type_, type) and issubclass(type_, BaseModel):
        return type_.__pydantic_serializer__, type_.__pydantic_validator__
    # Only tables read these bytes, so a NaN may stay what it is.
    config = ConfigDict(ser_json_inf_nan="constants")
    adapter: TypeAdapter[Any] = TypeAdapter(type_, config=None if dataclasses.is_dataclass(type_) else config)
    return adapter.serializer, adapter.validator


def _encoder(
    type_: type[T], to_json: Callable[[T], bytes], validate: Callable[[bytes], T]
) -> Callable[[T], bytes]:
    name = _name(type_)
    kind = _runtime_class(type_)

    def encode(value: T) -> bytes:
        if not isinstance(value, kind):
            raise StateError(
                f"the table holds {name} values; a {type(value).__name__} was set: {shorten(value)}"
            )
        try:
            data = to_json(value)
        except UNWRITABLE as error:
            raise StateError(f"{shorten(value)} cannot be kept as {name}: {error}") from error
        # A NaN in a float field is written as null, which a later restore could not read back.
        if b"null" in data:
            try:
                validate(data)
            except ValidationError as error:
                raise StateError(
                    f"{shorten(value)} cannot be read back as {name}: {explain_fields(error)}"
                ) from error
        return data

    return encode


def _runtime_class(type_: Any) -> type | tuple[type, ...]:
    """Return what ``isinstance`` takes for `type_`; `object` where it cannot tell."""
    origin = get_origin(type_) or type_
    if type_ is float:
        return (float, int)
    return origin if isinstance(origin, type) and origin is not types.UnionType else object


def _decoder(type_: type[T], validate: Callable[[bytes], T]) -> Callable[[bytes], T]:
    name = _name(type_)

    def decode(data: bytes) -> T:
        try:
            return validate(data)
        except ValidationError as error:
            raise StateError(
                f"a stored value is no {name}: {explain_fields(error)}. Give new fields of the model a "
                f"default, or name a new table; the value starts with {shorten(data)}"
            ) from error

    return decode


def _name(type_: Any) -> str:
    return type_.__name__ if isinstance(type_, type) and not get_args(type_) else str(type_)
