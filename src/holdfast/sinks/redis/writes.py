"""What a handler returns for a Redis sink."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from pydantic import BaseModel

Key = str | bytes
"""The name of a key, of a hash's field or of a sorted set's member; text is UTF-8."""

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
    """

    key: Key
    value: Value
    expire: float | None = None


@dataclass(frozen=True, slots=True)
class HashSet:
    """Set fields of a hash; its other fields stay.

    Attributes:
        key: the hash.
        fields: their values by name; those of an event are its fields.
    """

    key: Key
    fields: Mapping[Any, Value] | BaseModel


@dataclass(frozen=True, slots=True, init=False)
class Delete:
    """Delete keys, whatever they hold; none need be there.

    Attributes:
        keys: the keys.
    """

    keys: tuple[Key, ...]

    def __init__(self, *keys: Key) -> None:
        object.__setattr__(self, "keys", keys)


@dataclass(frozen=True, slots=True)
class Increment:
    """Add to the number under a key; a key that is not there counts as 0.

    Attributes:
        key: the key.
        by: what is added. Redis adds whole numbers exactly, in 64 bits, and others with some 17 digits.
    """

    key: Key
    by: int | float | Decimal = 1


@dataclass(frozen=True, slots=True)
class HashIncrement:
    """Add to the number in a field of a hash; a field that is not there counts as 0.

    Attributes:
        key: the hash.
        field: the field.
        by: what is added; see `Increment`.
    """

    key: Key
    field: Key
    by: int | float | Decimal = 1


@dataclass(frozen=True, slots=True)
class SortedSetAdd:
    """Put members into a sorted set, or give them another score.

    Attributes:
        key: the sorted set.
        scores: the scores by member.
    """

    key: Key
    scores: Mapping[Any, int | float | Decimal]


@dataclass(frozen=True, slots=True, init=False)
class Command:
    """Any command that writes and that Redis allows in scripts, in order with everything else.

    Attributes:
        name: of the command, such as `"XADD"`.
        arguments: what follows it.
    """

    name: str
    arguments: tuple[Value, ...]

    def __init__(self, name: str, *arguments: Value) -> None:
        object.__setattr__(self, "name", name)
        object.__setattr__(self, "arguments", arguments)


RedisWrite = Set | HashSet | Delete | Increment | HashIncrement | SortedSetAdd | Command
