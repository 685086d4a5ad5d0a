"""Redriven records: dead letters that are given back to the processor that set them aside.

They come by the application's redrive topic, in the partition that has the shard's number. What it was, and
where, stands in headers of our own before those of the record; a handler sees none of them.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NamedTuple

from holdfast.record import Message, Position

log = logging.getLogger(__name__)

_PREFIX: Final = "holdfast.redrive."
PROCESSOR: Final = _PREFIX + "processor"
"""The first header: who is meant. The others skip a record after a look at it."""
_LAST: Final = _PREFIX + "letter"
"""The last header of ours; those of the record follow."""
_HOLD: Final = _PREFIX + "hold"

RawHeaders = Sequence[tuple[str, bytes | None]]


class Parked(NamedTuple):
    """A record's place among those of a parked key.

    Attributes:
        parking: what names this parking of the key: no other one is called so.
        number: the first record of it has 1.
    """

    parking: str
    number: int


class Sent(NamedTuple):
    """What is said of a redriven record, beside the record itself.

    Attributes:
        processor: who is meant.
        origin: where the record was read from before it was first set aside.
        letter: the place of its dead letter, as text.
        attempts: how often it was tried.
        first_failed: when it was first set aside, in milliseconds since the epoch; None if that is not known.
        timestamp: the record's own.
        parked: its place among those of a parked key, if it has one.
        is_discarded: nobody wants it any more: those after it need not wait for it.
        after: the number before it that is still to come; those in between were dealt with, or their letters
            were deleted. None where that is not known.
        has_new_key: systems outside are to take it for another record than the one that was set aside.
    """

    processor: str
    origin: Position
    letter: str
    attempts: int
    first_failed: int | None
    timestamp: int
    parked: Parked | None = None
    is_discarded: bool = False
    after: int | None = None
    has_new_key: bool = False

    def headers(self, own: Iterable[tuple[str, bytes | None]]) -> list[tuple[str, bytes | None]]:
        """The headers of the record that is written.

        Args:
            own: the headers of the record that was set aside.
        """
        said: dict[str, object] = {
            "processor": self.processor,
            "topic": self.origin.topic,
            "partition": self.origin.partition,
            "offset": self.origin.offset,
            "attempts": self.attempts,
            "timestamp": self.timestamp,
        }
        if self.first_failed is not None:
            said["first-failed"] = self.first_failed
        if self.parked is not None:
            said |= {"parking": self.parked.parking, "number": self.parked.number}
        if self.after is not None:
            said["after"] = self.after
        if self.is_discarded:
            said["discarded"] = 1
        if self.has_new_key:
            said["new-key"] = 1
        said["letter"] = self.letter
        return [*((_PREFIX + name, str(value).encode()) for name, value in said.items()), *own]


class Hold(NamedTuple):
    """Has a shard read its other inputs no further for a time, so that no more records of parked keys come.

    Attributes:
        ms: milliseconds; 0 lets it go on.
    """

    ms: int

    def headers(self, processor: str) -> list[tuple[str, bytes | None]]:
        """The headers of the record that is written, which has nothing else."""
        return [(PROCESSOR, processor.encode()), (_HOLD, str(self.ms).encode()), (_LAST, b"")]


class Redriven:
    """A redriven record as its handler sees it: what was set aside, at the place where it is read now.

    Args:
        message: what was read.
        sent: what was said of it.
        headers: the headers of the record that was set aside.
    """

    __slots__ = ("_headers", "_message", "sent")

    def __init__(self, message: Message, sent: Sent, headers: list[tuple[str, bytes]] | None) -> None:
        self.sent = sent
        self._message = message
        self._headers = headers

    @property
    def known_as(self) -> Position | None:
        """The place by which systems outside know the record; None for that where it is read now."""
        return None if self.sent.has_new_key else self.sent.origin

    def key(self) -> bytes | None:
        """The key's bytes."""
        return self._message.key()

    def value(self) -> bytes | None:
        """The value's bytes."""
        return self._message.value()

    def headers(self) -> list[tuple[str, bytes]] | None:
        """The headers of the record that was set aside."""
        return self._headers

    def offset(self) -> int:
        """The offset in the redrive topic."""
        return self._message.offset()

    def topic(self) -> str:
        """The redrive topic."""
        return self._message.topic()

    def partition(self) -> int:
        """The partition, which is that of the origin as well."""
        return self._message.partition()

    def timestamp(self) -> tuple[int, int]:
        """Kind of timestamp, and that of the record that was set aside."""
        return self._message.timestamp()[0], self.sent.timestamp


def read_redriven(message: Message, processor: str) -> Redriven | Hold | None:
    """What a record of the redrive topic is to a processor; None if it is for another one.

    What nobody can read was not written by `holdfast dlq`: it is left out, with a line in the log.
    """
    headers: list[tuple[str, bytes]] = message.headers() or []
    if headers and headers[0][0] == PROCESSOR and headers[0][1] != processor.encode():
        return None
    try:
        last = [name for name, _ in headers].index(_LAST)
        said = {name.removeprefix(_PREFIX): value.decode() for name, value in headers[: last + 1]}
        if headers[1][0] == _HOLD:
            return Hold(int(said["hold"]))
        sent = _sent(said)
    except (ValueError, LookupError, AttributeError) as error:
        log.warning(
            "%s[%d]@%d is no redriven record (%r); it is left out",
            message.topic(),
            message.partition(),
            message.offset(),
            error,
        )
        return None
    return Redriven(message, sent, headers[last + 1 :] or None)


def _sent(said: Mapping[str, str]) -> Sent:
    return Sent(
        processor=said["processor"],
        origin=Position(said["topic"], int(said["partition"]), int(said["offset"])),
        letter=said["letter"],
        attempts=int(said["attempts"]),
        first_failed=int(said["first-failed"]) if "first-failed" in said else None,
        timestamp=int(said["timestamp"]),
        parked=Parked(said["parking"], int(said["number"])) if "parking" in said else None,
        is_discarded="discarded" in said,
        after=int(said["after"]) if "after" in said else None,
        has_new_key="new-key" in said,
    )


def topic_of(message: Message) -> str:
    """The input that a record is of: of a redriven one, that where it was set aside."""
    return message.sent.origin.topic if isinstance(message, Redriven) else message.topic()
