"""Redis as a sink: the writes and the inputs' positions in one script, so each record counts once.

    the batch in parts -> each part with its positions, atomically -> wait for replicas

Parts are sent one after the other without waiting. Each begins where the one before it ends and is not taken
otherwise, so that none is written when one before it was not.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from redis import exceptions

from holdfast.errors import SinkBehind, SinkDown, SinkError, SinkFenced, SinkRefused
from holdfast.record import Position, TopicPartition
from holdfast.sinks.base import Refusal, Sink, SinkBatch
from holdfast.sinks.redis.connection import Address, BoundedConnection
from holdfast.sinks.redis.judge import judge, text_of, unfit
from holdfast.sinks.redis.plan import Part, parts_of
from holdfast.sinks.redis.script import SCRIPT
from holdfast.sinks.redis.writes import (
    Command,
    Delete,
    HashIncrement,
    HashSet,
    Increment,
    Set,
    SortedSetAdd,
)

log = logging.getLogger(__name__)

_FOR_REPLICAS: Final = 0.8
"""Of the time that is left: how long the server waits for its replicas before it says how many have it."""


@dataclass(frozen=True, slots=True)
class _Origin:
    """Where a group began to write to this Redis.

    Attributes:
        topic_id: of the input; another one begins anew.
        offset: the first that may be there.
    """

    topic_id: str | None
    offset: int


class _ScriptMissingError(Exception):
    """The server has forgotten the script: it was restarted, or somebody emptied its cache."""


class RedisSink(Sink):
    """Writes to one Redis, or to the master of a group that Sentinel watches.

    Args:
        name: the sink's name.
        address: where it is.
        positions: how the keys begin that hold the inputs' positions.
        timeout: seconds that a batch may take.
        replicas: on how many replicas a batch has to be before its positions are committed on Kafka.
    """

    accepts = (Set, HashSet, Delete, Increment, HashIncrement, SortedSetAdd, Command)
    keeps_positions = True
    can_stop = True

    def __init__(self, name: str, address: Address, positions: str, timeout: float, replicas: int) -> None:
        self._name = name
        self._connection = BoundedConnection(address, timeout, name)
        self._positions = positions
        self._replicas = replicas
        self._script = ""
        self._origins: dict[TopicPartition, _Origin] = {}

    def write(self, batch: SinkBatch) -> Sequence[Refusal]:
        """Write a batch; see `Sink.write`."""
        with self._connection.used(self._begin):
            try:
                return self._write(batch)
            except _ScriptMissingError:
                self._load()
                return self._write(batch)

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def _begin(self) -> None:
        """Look at a server before it is written to, and give it the script."""
        text = self._connection.ask("INFO").decode(errors="replace")
        reason = unfit(dict(line.split(":", 1) for line in text.splitlines() if ":" in line))
        if reason is not None:
            raise SinkError(f"sink {self._name!r}: {self._connection.server} {reason}")
        self._load()

    def _load(self) -> None:
        self._script = self._connection.ask("SCRIPT", "LOAD", SCRIPT).decode()

    def _write(self, batch: SinkBatch) -> list[Refusal]:
        unsent: list[Refusal] = []
        sent: list[list[TopicPartition]] = []
        replies: list[Any] = []
        key = f"{self._positions}:{batch.group}"
        for part in parts_of(batch, unsent):
            self._connection.send("EVALSHA", self._script, 1, key, *self._arguments(part, batch))
            sent.append(list(part.numbers))
            if batch.stops_at_refusal:
                # One after the other: nothing is taken behind a refused record, of whichever input.
                replies.append(self._connection.reply())
                if not _is_written(replies[-1]):
                    break
        if self._replicas:
            patience = max(int(self._connection.seconds_left * _FOR_REPLICAS * 1000), 1)
            self._connection.send("WAIT", self._replicas, patience)
        replies += [self._connection.reply() for _ in sent[len(replies) :]]
        copies = self._connection.reply() if self._replicas else 0
        refusals: list[Refusal] = []
        for places, reply in zip(sent, replies, strict=True):
            refusals += self._taken(reply, places, batch)
        if all(map(_is_written, replies)):
            self._require_copies(copies)
        # What cannot be sent is told in its own words; the script has it from us.
        own = {each.position: each.error for each in unsent}
        return [replace(each, error=own.get(each.position, each.error)) for each in refusals]

    def _arguments(self, part: Part, batch: SinkBatch) -> list[Any]:
        arguments: list[Any] = [len(part.ends), int(batch.stops_at_refusal)]
        for place, number in part.numbers.items():
            arguments += (
                f"{place.topic}/{place.partition}",
                part.begins[number],
                part.ends[number],
                batch.fences.get(place, 0),
                batch.topic_ids.get(place.topic) or "",
                batch.begins.get(place, 0),
                self._known_origin(place, batch),
            )
        return arguments + part.records

    def _known_origin(self, place: TopicPartition, batch: SinkBatch) -> int | str:
        known = self._origins.get(place)
        return "" if known is None or known.topic_id != batch.topic_ids.get(place.topic) else known.offset

    def _taken(self, reply: Any, places: Sequence[TopicPartition], batch: SinkBatch) -> Iterator[Refusal]:
        """What a part's reply says.

        Raises:
            SinkError: it was not written, and neither is any part that begins where it ends.
        """
        if isinstance(reply, exceptions.NoScriptError):
            raise _ScriptMissingError
        if isinstance(reply, Exception):
            raise judge(text_of(reply), self._name) from reply
        verdict, *rest = reply
        if verdict == b"written":
            origins, refused = rest
            for place, origin in zip(places, origins, strict=True):
                self._note_origin(place, int(origin), batch)
            for number, offset, why in refused:
                position = _position(places[number - 1], offset)
                # Where a refusal stops the shard, those that are told here were noted before.
                yield self._refusal(position, why, is_noted=batch.stops_at_refusal)
            return
        if verdict == b"stopped":
            number, offset, why = rest
            yield self._refusal(_position(places[number - 1], offset), why)
            return
        raise self._judge(verdict, rest, places, batch)

    def _refusal(self, position: Position, why: bytes, *, is_noted: bool = False) -> Refusal:
        error = SinkRefused(f"sink {self._name!r} refuses it: {_text(why)}")
        return Refusal(position, error, is_noted=is_noted)

    def _judge(
        self, verdict: bytes, rest: Sequence[Any], places: Sequence[TopicPartition], batch: SinkBatch
    ) -> SinkError:
        if verdict == b"fenced":
            place, token = places[rest[0] - 1], int(rest[1])
            return SinkFenced(
                f"sink {self._name!r}: {place} has been written by a newer owner (fencing token {token}, "
                f"ours is {batch.fences.get(place, 0)}); this worker begins anew"
            )
        if verdict == b"behind":
            numbers, positions = rest[0][::2], rest[0][1::2]
            there = {places[n - 1]: int(at) for n, at in zip(numbers, positions, strict=True)}
            lost = ", ".join(
                f"{place} from offset {at} to {batch.begins.get(place, 0) - 1}" for place, at in there.items()
            )
            return SinkBehind(
                f"sink {self._name!r}: {self._connection.server} has lost what it had taken of {lost} (a "
                "fail-over to a replica that was behind, or a restart from older data); these records are "
                "handled again",
                there,
            )
        if verdict == b"wrong":
            position = _position(places[rest[0] - 1], rest[1])
            return SinkError(f"sink {self._name!r} cannot be written to, at {position}: {_text(rest[2])}")
        return judge(_text(rest[0]), self._name)

    def _note_origin(self, place: TopicPartition, origin: int, batch: SinkBatch) -> None:
        is_new = place not in self._origins
        self._origins[place] = _Origin(batch.topic_ids.get(place.topic), origin)
        if is_new and origin and origin == batch.begins.get(place) and batch.fences.get(place, 0) > 1:
            log.warning(
                "sink %r: %s knew nothing of %s, which stands at offset %d for group %s: it is taken for "
                "new. If it has lost its data, stop the workers and set the group back: `holdfast replay`",
                self._name,
                self._connection.server,
                place,
                origin,
                batch.group,
            )

    def _require_copies(self, copies: Any) -> None:
        """Make sure that a server which takes the place of this one has the batch.

        Raises:
            SinkDown: too few replicas have it. It comes again, is left out then, and waited for once more.
        """
        if isinstance(copies, Exception):
            raise judge(text_of(copies), self._name) from copies
        if copies < self._replicas:
            # It may be cut off from all others, which have another master by now: the next try asks for that.
            raise SinkDown(
                f"sink {self._name!r}: {self._connection.server} has a batch that {copies} of its replicas "
                f"have, and `replicas` wants {self._replicas}"
            )


def _is_written(reply: Any) -> bool:
    return isinstance(reply, list) and reply[0] == b"written"


def _position(place: TopicPartition, offset: bytes) -> Position:
    return Position(place.topic, place.partition, int(offset))


def _text(told: bytes) -> str:
    return told.decode(errors="replace")
