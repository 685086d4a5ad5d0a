"""Keys: from a field's value to the bytes that decide the partition.

Equal keys must give equal bytes, also from producers in other languages; so a key is plain text. Types
whose text is not settled (floats, booleans, nested models) are refused.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime, time
from decimal import Decimal
from enum import Enum
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin
from uuid import UUID

from pydantic import BaseModel

from holdfast.errors import EventRefused
from holdfast.schema.explain import shorten

KeyEncoder = Callable[[object], bytes]
"""Turns a key of one type into bytes."""


def _text(value: object) -> bytes:
    return str(value).encode()


def _iso(value: date | time) -> bytes:
    return value.isoformat().encode()


def _member(value: Enum) -> bytes:
    return encode_key(value.value)


# In this order, the first that the value is an instance of decides: an Enum may also be a str or an int.
_KINDS: tuple[tuple[type, Callable[..., bytes]], ...] = (
    (Enum, _member),
    (str, str.encode),
    (int, _text),
    (UUID, _text),
    (Decimal, _text),
    (datetime, _iso),
    (date, _iso),
    (time, _iso),
    (bytes, bytes),
)

_NEVER = (float, bool, dict, list, tuple, set, frozenset, BaseModel)

KEY_TYPES = "str, int, UUID, date, Decimal or an Enum of these"
"""What to use as a key, in words."""

_encoders: dict[type, Callable[..., bytes]] = {str: str.encode, int: _text, bytes: bytes, UUID: _text}


def encode_key(value: object) -> bytes:
    """Return the bytes of a key.

    str gives UTF-8, int its decimal digits, UUID, date, time and Decimal their text, an Enum the text of
    its value, bytes themselves.

    Raises:
        EventRefused: when the value is None or of a type that has no settled text.
    """
    encoder = _encoders.get(type(value)) or _find(type(value), value)
    try:
        return encoder(value)
    except UnicodeEncodeError as error:
        raise EventRefused(f"the key {shorten(value)} cannot be written as UTF-8: {error.reason}.") from error


def may_be_key(annotation: Any) -> bool:
    """Whether a value of a field with this annotation can be a key; True where only the value can tell."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin in (Union, UnionType):
        return any(may_be_key(each) for each in arguments if each is not type(None))
    if origin is Literal:
        return any(may_be_key(type(each)) for each in arguments)
    if hasattr(annotation, "__supertype__"):
        return may_be_key(annotation.__supertype__)
    kind = origin or annotation
    # Not "none of the good ones": pydantic has classes whose values are of another one (EmailStr gives str).
    return not (isinstance(kind, type) and issubclass(kind, _NEVER))


def _find(kind: type, value: object) -> Callable[..., bytes]:
    """Find the encoder of a type that was not met before, and remember it."""
    if value is None:
        raise EventRefused("the key is None; every event of a keyed topic needs one.")
    if kind is not bool:
        for base, encoder in _KINDS:
            if issubclass(kind, base):
                _encoders[kind] = encoder
                return encoder
    raise EventRefused(f"a {kind.__name__} cannot be a key (got {shorten(value)}); use {KEY_TYPES}.")
