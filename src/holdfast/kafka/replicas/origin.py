"""Which broker served which offsets.

The client moves between a leader and its followers by itself, and hands out records without saying where
they came from. It does say so in its log, before it hands them out: one line for every set of records
that it took from a fetch answer, and a sentence in the message that reports the end of a partition. A
check of replicas that reads the leader three times is worth nothing, so what is not proven to come from
a broker does not count as read from it.

The wording is librdkafka's own (`rdkafka_msgset_reader.c`, `rdkafka_fetcher.c`). If a version of it says
this in other words, nothing is proven any more: every replica is then reported as not read.
"""

from __future__ import annotations

import logging
import re
from collections import deque
from typing import NamedTuple

from holdfast.kafka.settings import client_log
from holdfast.record import TopicPartition

_TAKEN = re.compile(
    r"/(?P<broker>\d+): Enqueue (?P<records>\d+) .*message\(s\) \(\d+ bytes, (?P<handed>\d+) ops\) "
    r"on (?P<topic>\S+) \[(?P<partition>\d+)\] fetch queue \(.*last_offset (?P<last>-?\d+)"
)
_ANSWER = re.compile(r"^Fetch from broker (\d+) ")


class Span(NamedTuple):
    """Offsets that one broker served, from where the span before it ends.

    Attributes:
        end: the offset after the last one.
        broker: the broker's id.
    """

    end: int
    broker: int


class FetchWitness:
    """Takes the client's log lines and remembers where records came from. It is the client's `logger`.

    Lines that are not about fetches go where those of other clients go.
    """

    def __init__(self) -> None:
        self._spans: dict[TopicPartition, deque[Span]] = {}
        self._faults: dict[TopicPartition, deque[int]] = {}

    def log(self, level: int, text: str, *args: object) -> None:
        """Take one line; called by the client from inside its calls."""
        if level > logging.DEBUG:
            client_log.log(level, text, *args)
            return
        found = _TAKEN.search(text % args if args else text)
        if found is None:
            return
        place = TopicPartition(found["topic"], int(found["partition"]))
        broker, end = int(found["broker"]), int(found["last"]) + 1
        if end > 0:
            spans = self._spans.setdefault(place, deque())
            if spans and spans[-1].broker == broker:
                spans.pop()
            spans.append(Span(end, broker))
        # What the client hands out in addition to records is that some could not be read.
        faults = int(found["handed"]) - int(found["records"])
        self._faults.setdefault(place, deque()).extend([broker] * faults)

    def served(self, place: TopicPartition, offset: int) -> int | None:
        """The broker that served an offset; None if nothing proves it. Ask in ascending order."""
        spans = self._spans.get(place)
        while spans and spans[0].end <= offset:
            spans.popleft()
        return spans[0].broker if spans else None

    def faulty(self, place: TopicPartition) -> int | None:
        """The broker whose answer held what could not be read; None if nothing proves it.

        Ask once for each such error, in their order.
        """
        faults = self._faults.get(place)
        return faults.popleft() if faults else None

    def forget(self, place: TopicPartition) -> None:
        """A partition is read no longer."""
        self._spans.pop(place, None)
        self._faults.pop(place, None)


def answered(text: str) -> int | None:
    """The broker that answered, from the text of an error that its answer was turned into."""
    found = _ANSWER.match(text)
    return int(found[1]) if found else None
