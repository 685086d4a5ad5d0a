"""Dead letters, read again: what stands in them, in which order they go back, and what is written then. Pure.

What is written to them: `holdfast.engine.dead_letter`; how it is read by a shard: `holdfast.engine.redriven`.
"""

from __future__ import annotations

import heapq
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from holdfast.engine.dead_letter import (
    ATTEMPTS,
    FIRST_FAILED,
    LAST_FAILED,
    NUMBER,
    PARKING,
    PREFIX,
    PROCESSOR,
    TIMESTAMP,
)
from holdfast.engine.redriven import Parked, RawHeaders, Sent
from holdfast.errors import KeyParked
from holdfast.record import Message, Output, Position

PARKED_CAUSE = f"{KeyParked.__module__}.{KeyParked.__qualname__}"
"""The cause of a letter that only waits for an earlier one of its key."""


@dataclass(frozen=True, slots=True)
class Letter:
    """One dead letter.

    Attributes:
        place: where it stands.
        processor: who set the record aside.
        origin: where the record was read.
        cause: the class of what was raised.
        text: what it said.
        stack: its traceback, or a part of it.
        attempts: how often the record was tried.
        first_failed: when it was first set aside, in milliseconds since the epoch; None if that is not known.
        last_failed: when it was set aside in this letter; the same.
        parked: its place among those of a parked key, if it has one.
        key: the record's key.
        value: the record's value; None of a tombstone.
        timestamp: the record's own.
        headers: the record's own.
    """

    place: Position
    processor: str
    origin: Position
    cause: str
    text: str
    stack: str
    attempts: int
    first_failed: int | None
    last_failed: int | None
    parked: Parked | None
    key: bytes | None
    value: bytes | None
    timestamp: int
    headers: RawHeaders

    @property
    def name(self) -> str:
        """How a user names it."""
        return f"{self.place.partition}@{self.place.offset}"

    @property
    def is_waiting(self) -> bool:
        """Whether it only waits for an earlier one of its key."""
        return self.cause == PARKED_CAUSE

    @property
    def owner(self) -> tuple[str, int, bytes | None]:
        """Whose order it is part of: that of a key in a shard."""
        return self.processor, self.origin.partition, self.key

    def redriven(
        self, topic: str, *, discarded: bool = False, after: int | None = None, new_key: bool = False
    ) -> Output:
        """The record that gives it back to its processor.

        Args:
            topic: the redrive topic.
            discarded: only say that those after it need not wait for it.
            after: the number before its own that is still to come, if that is known; see `gaps_before`.
            new_key: have systems outside take it for another record.
        """
        sent = Sent(
            processor=self.processor,
            origin=self.origin,
            letter=str(self.place),
            attempts=self.attempts,
            first_failed=self.first_failed,
            timestamp=self.timestamp,
            parked=self.parked,
            is_discarded=discarded,
            after=after,
            has_new_key=new_key,
        )
        value = None if discarded else self.value
        return Output(topic, value, self.key, 0, sent.headers(() if discarded else self.headers))


def read_letter(message: Message) -> Letter | None:
    """A record of the dead letters' topic; None if no processor wrote it."""
    headers: RawHeaders = message.headers() or []
    names = [name for name, _ in headers]
    if PREFIX + "exception" not in names:
        return None
    # The last ones are ours: a letter that somebody copied to an input has such headers of its own.
    begin = len(names) - 1 - names[::-1].index(PREFIX + "exception")
    told = {name: (value or b"").decode(errors="replace") for name, value in headers[begin:]}
    try:
        parked = Parked(told[PARKING], int(told[NUMBER])) if PARKING in told else None
        return Letter(
            place=Position(message.topic(), message.partition(), message.offset()),
            processor=told[PROCESSOR],
            origin=Position(
                told[PREFIX + "topic"], int(told[PREFIX + "partition"]), int(told[PREFIX + "offset"])
            ),
            cause=told[PREFIX + "exception"],
            text=told[PREFIX + "message"],
            stack=told[PREFIX + "stacktrace"],
            attempts=int(told[ATTEMPTS]),
            first_failed=_number(told.get(FIRST_FAILED)),
            last_failed=_number(told.get(LAST_FAILED)),
            parked=parked,
            key=message.key(),
            value=message.value(),
            timestamp=int(told.get(TIMESTAMP, message.timestamp()[1])),
            headers=headers[:begin],
        )
    except (KeyError, ValueError):
        return None


def _number(text: str | None) -> int | None:
    return None if text is None else int(text)


def in_order(letters: Iterable[Letter]) -> Iterator[Letter]:
    """Letters in an order in which they may go back: that of each key.

    A record that was redriven and failed again has a letter behind those of later records. So records of one
    input go by their offsets, those of a parked key by their numbers, and what came by several inputs by the
    time at which it was set aside first.
    """
    owners: defaultdict[object, list[Letter]] = defaultdict(list)
    for letter in letters:
        # Nothing is known of the order of records without keys, but that of their input.
        owners[letter.owner].append(letter)
    for of_key in owners.values():
        yield from _of_key(of_key)


def _of_key(letters: Sequence[Letter]) -> Iterator[Letter]:
    runs: defaultdict[object, list[Letter]] = defaultdict(list)
    for letter in letters:
        runs[letter.parked.parking if letter.parked else letter.origin.topic].append(letter)
    for run in runs.values():
        run.sort(key=_place_in_run)
    return heapq.merge(*runs.values(), key=lambda it: it.first_failed or 0)


def _place_in_run(letter: Letter) -> tuple[int, int]:
    return (letter.parked.number if letter.parked else letter.origin.offset), letter.place.offset


def gaps_before(letters: Iterable[Letter]) -> dict[Position, int]:
    """For letters of parked keys, the number of the one before it that is open as well; 0 for the first.

    What is in between was dealt with, or its letter was deleted, and nobody has to wait for it: all that is
    still to come of a parking has open letters, as long as nothing is under way to its shard.

    Args:
        letters: all open ones of the parkings in question.
    """
    parkings: defaultdict[str, list[Letter]] = defaultdict(list)
    for letter in letters:
        if letter.parked is not None:
            parkings[letter.parked.parking].append(letter)
    found: dict[Position, int] = {}
    for of_key in parkings.values():
        before = 0
        for letter in sorted(of_key, key=_place_in_run):
            found[letter.place] = before
            before = letter.parked.number if letter.parked is not None else before
    return found
