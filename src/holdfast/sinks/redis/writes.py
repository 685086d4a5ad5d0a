"""What a handler returns for a Redis sink."""

from __future__ import annotations

import reprlib
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from math import isfinite
from typing import Any, Final
from uuid import UUID

from pydantic import BaseModel

from holdfast.errors import HandlerError

Key = str | bytes | int | UUID
"""The name of a key or of a hash's field; text is UTF-8, and a number or an id is its text."""

Value = Any
"""What is kept: text and bytes as they are, numbers and times as their text, and everything else, such as an
event, as the JSON that pydantic writes."""


@dataclass(frozen=True, slots=True)
class Set:
    """Set a key, whatever it held.

    Attributes:
        key: the key.
        value: its value.
        expire: seconds after which Redis deletes it; without it the key stays, whatever was said before.

    Raises:
        HandlerError: `key` or `expire` is none.
    """

    key: Key
    value: Value
    expire: float | None = None

    def __post_init__(self) -> None:
        if type(self.key) is not str:
            _require_key(self, self.key)
        if self.expire is not None:
            _require_seconds(self, self.expire)


@dataclass(frozen=True, slots=True)
class HashSet:
    """Set fields of a hash; its other fields stay.

    Attributes:
        key: the hash.
        fields: their values by name; those of an event are its fields.

    Raises:
        HandlerError: `key` is none, or `fields` has no names.
    """

    key: Key
    fields: Mapping[Any, Value] | BaseModel

    def __post_init__(self) -> None:
        if type(self.key) is not str:
            _require_key(self, self.key)
        if type(self.fields) is not dict:
            if isinstance(self.fields, BaseModel):
                return
            _require_mapping(self, "fields", self.fields)
        if None in self.fields:
            raise _nameless(self)


@dataclass(frozen=True, slots=True, init=False)
class Delete:
    """Delete keys, whatever they hold; none need be there.

    Attributes:
        keys: the keys.

    Raises:
        HandlerError: one of them is none.
    """

    keys: tuple[Key, ...]

    def __init__(self, *keys: Key) -> None:
        for key in keys:
            if type(key) is not str:
                _require_key(self, key)
        object.__setattr__(self, "keys", keys)


@dataclass(frozen=True, slots=True)
class Increment:
    """Add to the number under a key; a key that is not there counts as 0.

    Attributes:
        key: the key.
        by: what is added. Redis adds whole numbers exactly, in 64 bits, and others with some 17 digits.

    Raises:
        HandlerError: `key` or `by` is none.
    """

    key: Key
    by: int | float | Decimal = 1

    def __post_init__(self) -> None:
        if type(self.key) is not str:
            _require_key(self, self.key)
        if type(self.by) is not int:
            _require_number(self, self.by)


@dataclass(frozen=True, slots=True)
class HashIncrement:
    """Add to the number in a field of a hash; a field that is not there counts as 0.

    Attributes:
        key: the hash.
        field: the field.
        by: what is added; see `Increment`.

    Raises:
        HandlerError: `key`, `field` or `by` is none.
    """

    key: Key
    field: Key
    by: int | float | Decimal = 1

    def __post_init__(self) -> None:
        if type(self.key) is not str:
            _require_key(self, self.key)
        if type(self.field) is not str:
            _require_key(self, self.field)
        if type(self.by) is not int:
            _require_number(self, self.by)


@dataclass(frozen=True, slots=True)
class SortedSetAdd:
    """Put members into a sorted set, or give them another score.

    Attributes:
        key: the sorted set.
        scores: the scores by member.

    Raises:
        HandlerError: `key` is none, or `scores` has no members.
    """

    key: Key
    scores: Mapping[Any, int | float | Decimal]

    def __post_init__(self) -> None:
        if type(self.key) is not str:
            _require_key(self, self.key)
        if type(self.scores) is not dict:
            _require_mapping(self, "scores", self.scores)
        if None in self.scores:
            raise _nameless(self)


@dataclass(frozen=True, slots=True, init=False)
class Command:
    """Any command that writes and that Redis allows in scripts, in order with everything else.

    Attributes:
        name: of the command, such as `"XADD"`.
        arguments: what follows it.

    Raises:
        HandlerError: `name` is no text.
    """

    name: str
    arguments: tuple[Value, ...]

    def __init__(self, name: str, *arguments: Value) -> None:
        if not isinstance(name, str):
            raise HandlerError(f"Command: its name is text, not {_shown(name)}")
        object.__setattr__(self, "name", name)
        object.__setattr__(self, "arguments", arguments)


_KEYS: Final = (str, bytes, int, UUID)
_NUMBERS: Final = (int, float, Decimal)


# What follows is asked only of what is not of the usual class: these are made for every record.


def _require_key(write: object, key: object) -> None:
    if isinstance(key, bool) or not isinstance(key, _KEYS):
        several = "; of several keys, give each: Delete(*keys)" if isinstance(write, Delete) else ""
        raise HandlerError(
            f"{type(write).__name__}: a key is text, bytes, a whole number or a UUID, not "
            f"{_shown(key)}{several}"
        )


def _require_number(write: object, number: object) -> None:
    if isinstance(number, bool) or not isinstance(number, _NUMBERS):
        raise HandlerError(f"{type(write).__name__}: a number is needed, not {_shown(number)}")


def _require_seconds(write: object, seconds: Any) -> None:
    is_number = isinstance(seconds, _NUMBERS) and not isinstance(seconds, bool)
    if not is_number or not (isinstance(seconds, int) or isfinite(seconds)):
        raise HandlerError(
            f"{type(write).__name__}: `expire` is a number of seconds, not {_shown(seconds)}; of a "
            "`timedelta`, its `total_seconds()`"
        )


def _require_mapping(write: object, name: str, given: object) -> None:
    if not isinstance(given, Mapping):
        raise HandlerError(f"{type(write).__name__}: `{name}` is a mapping, not {_shown(given)}")


def _nameless(write: object) -> HandlerError:
    return HandlerError(f"{type(write).__name__}: None names nothing in it")


def _shown(value: object) -> str:
    return f"{type(value).__name__} {reprlib.repr(value)}" if value is not None else "None"


RedisWrite = Set | HashSet | Delete | Increment | HashIncrement | SortedSetAdd | Command
