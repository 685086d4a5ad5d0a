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
    r"/(?P<broker>\d+): Enqueue \d+ .*message\(s\) .* on (?P<topic>\S+) \[(?P<partition>\d+)\] "
    r"fetch queue \(.*last_offset (?P<last>-?\d+)"
)
_END = re.compile(r"^Fetch from broker (\d+) reached end of partition")


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

    def log(self, level: int, text: str, *args: object) -> None:
        """Take one line; called by the client from inside its calls."""
        if level > logging.DEBUG:
            client_log.log(level, text, *args)
            return
        found = _TAKEN.search(text % args if args else text)
        if found is None or int(found["last"]) < 0:
            return
        place = TopicPartition(found["topic"], int(found["partition"]))
        spans = self._spans.setdefault(place, deque())
        span = Span(int(found["last"]) + 1, int(found["broker"]))
        if spans and spans[-1].broker == span.broker:
            spans.pop()
        spans.append(span)

    def served(self, place: TopicPartition, offset: int) -> int | None:
        """The broker that served an offset; None if nothing proves it. Ask in ascending order."""
        spans = self._spans.get(place)
        while spans and spans[0].end <= offset:
            spans.popleft()
        return spans[0].broker if spans else None

    def forget(self, place: TopicPartition) -> None:
        """A partition is read no longer."""
        self._spans.pop(place, None)


def served_end(text: str) -> int | None:
    """The broker that reported the end of a partition, from that report's text."""
    found = _END.match(text)
    return int(found[1]) if found else None
