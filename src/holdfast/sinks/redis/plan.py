"""From what handlers return to commands, and from a batch to the parts in which it is sent.

Redis does nothing else while a script runs, so a batch goes in parts that take a few milliseconds each. The
positions are written with every part: one that is written already is left out when the batch comes again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any, Final

from pydantic import BaseModel
from pydantic_core import from_json, to_json

from holdfast.errors import SinkRefused
from holdfast.record import Position, TopicPartition
from holdfast.sinks.base import Refusal, SinkBatch
from holdfast.sinks.keyed import by_record
from holdfast.sinks.redis.writes import (
    Command,
    Delete,
    HashIncrement,
    HashSet,
    Increment,
    Set,
    SortedSetAdd,
)

MOST_COMMANDS: Final = 1_000
"""Commands of one part, about."""

_MOST_ARGUMENTS: Final = 6_000
"""Arguments of one command; Lua hands over no more than some 8,000."""

_LONGEST_WHY: Final = 300
"""Characters that are noted of why a record cannot be sent."""

_NOT_IN_A_SINK: Final = frozenset({"FLUSHALL", "FLUSHDB", "SELECT", "SWAPDB"})
"""Commands that would take the positions away, or write elsewhere than they are."""

# How the script takes a command back when a later one of the same record is refused; see `script`.
_WHOLE_KEY: Final = b"key"
_WHOLE_KEYS: Final = b"keys"
_FIELDS: Final = b"fields"
_MEMBERS: Final = b"members"
_NEVER: Final = b"never"

_BAD_VALUE: Final = (TypeError, AttributeError, ArithmeticError, LookupError)
"""What comes of a value that is of no class that is meant; only its own record is to blame."""

_LEAST: Final = -(2**63)
_MOST: Final = 2**63 - 1
"""Whole numbers in between are left to the client, which ends the process at one of thousands of digits."""

Piece = bytes | str | int
"""A part of a command, as the client takes it."""

Prepared = tuple[Piece, ...]
"""A command: how it is taken back, the number of what follows, its name, its arguments."""


class Part:
    """A part of a batch, which is written as a whole or not at all.

    Args:
        reached: for each partition, everything below which is written by the parts before it.

    Attributes:
        numbers: the partitions that it has records of, each with its place in `ends`.
        begins: for each of them, where it begins.
        ends: and the offset after its last record.
        records: as the script reads them: the partition's number, the offset, the number of commands, and
            those; of one that cannot be sent -1, and why.
        commands: how many there are.
    """

    __slots__ = ("_reached", "begins", "commands", "ends", "numbers", "records")

    def __init__(self, reached: dict[TopicPartition, int]) -> None:
        self.numbers: dict[TopicPartition, int] = {}
        self.begins: list[int] = []
        self.ends: list[int] = []
        self.records: list[Piece] = []
        self.commands = 0
        self._reached = reached

    def reach(self, place: TopicPartition, end: int) -> int:
        """Note that it goes up to an offset of a partition; returns the partition's number."""
        number = self.numbers.get(place)
        if number is None:
            number = self.numbers[place] = len(self.ends)
            self.begins.append(self._reached.get(place, 0))
            self.ends.append(end)
        else:
            self.ends[number] = end
        self._reached[place] = end
        return number


def parts_of(batch: SinkBatch, refusals: list[Refusal]) -> Iterator[Part]:
    """Cut a batch into parts, in the order of each partition.

    The first has all partitions, so that all of them are looked at before anything is written.

    Args:
        batch: what is to be written; it may have no writes.
        refusals: records that cannot be sent at all are added to it.
    """
    reached = {place: batch.begins.get(place, 0) for place in batch.ends}
    part = Part(reached)
    for place, begin in batch.begins.items():
        part.reach(place, begin)
    place = TopicPartition("", -1)
    for record in by_record(batch.writes):
        topic, partition, offset = record.position
        if partition != place.partition or topic != place.topic:
            place = TopicPartition(topic, partition)
        # Records of which nothing can be sent have a position all the same.
        number = part.reach(place, offset + 1)
        commands = _commands(record.values, record.position, refusals)
        if commands:
            part.records += (number + 1, offset, len(commands))
            for command in commands:
                part.records += command
        else:
            # Noted beside the positions as well: what a mended handler makes of it would be left out.
            why = str(refusals[-1].error)[:_LONGEST_WHY].encode(errors="backslashreplace")
            part.records += (number + 1, offset, -1, why)
        part.commands += max(len(commands), 1)
        if part.commands >= MOST_COMMANDS:
            yield part
            part = Part(reached)
    for place, end in batch.ends.items():
        if place in part.numbers or end > reached[place]:
            part.reach(place, max(end, reached[place]))
    if part.numbers:
        yield part


def _commands(values: Sequence[Any], position: Position, refusals: list[Refusal]) -> Sequence[Prepared]:
    """The commands of a record; none if one of its values cannot be sent."""
    try:
        if len(values) == 1:
            return prepare(values[0])
        return [command for value in values for command in prepare(value)]
    except SinkRefused as error:
        refusals.append(Refusal(position, error))
    except ValueError as error:
        refusals.append(Refusal(position, SinkRefused(f"it cannot be sent to Redis: {error}")))
    except _BAD_VALUE as error:
        why = f"it cannot be sent to Redis: {type(error).__name__}: {error}"
        refusals.append(Refusal(position, SinkRefused(why)))
    return ()


def prepare(value: Any) -> Sequence[Prepared]:
    """The commands for what a handler returned.

    Raises:
        SinkRefused: it means nothing to Redis.
        ValueError: a text is no UTF-8, or a value cannot be written as JSON.
        TypeError, AttributeError, ArithmeticError, LookupError: a value is of no class that is meant.
    """
    return _PREPARE[type(value)](value)


def _set(value: Set) -> Sequence[Prepared]:
    if value.expire is None:
        return ((_WHOLE_KEY, 3, b"SET", _text(value.key), _text(value.value)),)
    milliseconds = int(value.expire * 1000)
    if milliseconds <= 0:
        raise SinkRefused(f"a key expires after more than 0 s, not {value.expire!r}")
    return ((_WHOLE_KEY, 5, b"SET", _text(value.key), _text(value.value), b"PX", _text(milliseconds)),)


def _hash_set(value: HashSet) -> Sequence[Prepared]:
    fields = value.fields
    if isinstance(fields, BaseModel):
        fields = {name: getattr(fields, name) for name in type(fields).model_fields}
    if not fields:
        raise SinkRefused(f"there are no fields to set in the hash {value.key!r}")
    pieces = [
        # What the client writes as it is: a call less for nearly everything.
        each if type(each) is str and each.isascii() else _text(each)
        for field in fields.items()
        for each in field
    ]
    return _cut(_FIELDS, (b"HSET", _text(value.key)), pieces)


def _delete(value: Delete) -> Sequence[Prepared]:
    if not value.keys:
        raise SinkRefused("there are no keys to delete")
    return _cut(_WHOLE_KEYS, (b"DEL",), [_text(key) for key in value.keys])


def _increment(value: Increment) -> Sequence[Prepared]:
    name = b"INCRBY" if isinstance(value.by, int) else b"INCRBYFLOAT"
    return ((_WHOLE_KEY, 3, name, _text(value.key), _number(value.by)),)


def _hash_increment(value: HashIncrement) -> Sequence[Prepared]:
    name = b"HINCRBY" if isinstance(value.by, int) else b"HINCRBYFLOAT"
    return ((_FIELDS, 4, name, _text(value.key), _text(value.field), _number(value.by)),)


def _sorted_set_add(value: SortedSetAdd) -> Sequence[Prepared]:
    if not value.scores:
        raise SinkRefused(f"there are no members for the sorted set {value.key!r}")
    pieces: list[Piece] = []
    for member, score in value.scores.items():
        pieces += (_number(score), _text(member))
    return _cut(_MEMBERS, (b"ZADD", _text(value.key)), pieces)


def _command(value: Command) -> Sequence[Prepared]:
    if value.name.upper() in _NOT_IN_A_SINK:
        raise SinkRefused(
            f"{value.name} would take away the inputs' positions, or write beside them: no sink does that"
        )
    if len(value.arguments) > _MOST_ARGUMENTS:
        raise SinkRefused(
            f"{value.name} has {len(value.arguments):,} arguments, and a command may have "
            f"{_MOST_ARGUMENTS:,}; return several"
        )
    arguments = [_text(each) for each in value.arguments]
    return ((_NEVER, 1 + len(arguments), value.name.encode(), *arguments),)


_PREPARE: Final[Mapping[type, Callable[[Any], Sequence[Prepared]]]] = {
    Set: _set,
    HashSet: _hash_set,
    Delete: _delete,
    Increment: _increment,
    HashIncrement: _hash_increment,
    SortedSetAdd: _sorted_set_add,
    Command: _command,
}


def _cut(undo: bytes, head: tuple[Piece, ...], pieces: Sequence[Piece]) -> Sequence[Prepared]:
    """One command, or as many as its arguments make necessary."""
    if len(pieces) <= _MOST_ARGUMENTS:
        return ((undo, len(head) + len(pieces), *head, *pieces),)
    parts = [pieces[at : at + _MOST_ARGUMENTS] for at in range(0, len(pieces), _MOST_ARGUMENTS)]
    return tuple((undo, len(head) + len(part), *head, *part) for part in parts)


def _text(value: Any) -> Piece:
    """What Redis keeps of a value. What the client writes as it is stays that, which is quicker."""
    kind = type(value)
    if kind is str:
        # Encoded here where that can fail: the client does not say of which record it is.
        return value if value.isascii() else value.encode()  # type: ignore[no-any-return]
    if kind is bytes or (kind is int and _LEAST <= value <= _MOST):
        return value  # type: ignore[no-any-return]
    if kind is int or kind is float or kind is Decimal:
        return str(value).encode()
    if isinstance(value, str):
        return value.encode()
    if isinstance(value, bytes):
        return bytes(value)
    text = to_json(value)
    # A time, an id: what JSON has no form for but text needs no quotes.
    return from_json(text).encode() if text.startswith(b'"') else text


def _number(value: Any) -> bytes:
    if isinstance(value, bool) or not isinstance(value, (int, float, Decimal)):
        raise SinkRefused(f"a number is needed, not {value!r}")
    # Of a Decimal, never with an exponent: Redis reads what C does.
    return (f"{value:f}" if isinstance(value, Decimal) else str(value)).encode()
