"""An application that is simulated with parked keys: a sum per key, which now and then cannot be made.

Its outputs name the event that they came from, so that it can be told whether each was handled once, and in
the order of its key.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from functools import cache
from typing import Any

from holdfast import Event, State, processor
from holdfast.checks import TopicReader
from holdfast.testing.simulation.fold import INPUTS, SHARDS, Sum
from holdfast.topology import Topology

_HERE = "tests.support.parking_fold"
_FOLD = "holdfast.testing.simulation.fold"


class Numbered(Event):
    """An input; `n` is different for each."""

    key: str
    n: int


class Handled(Event):
    """An output: which input it came from, and the state after it."""

    key: str
    n: int
    count: int
    total: int


class Mended:
    """Whether the handler can handle what it could not before."""

    is_so = False


@processor
def fold(event: Numbered, sums: State[Sum]) -> Handled:
    """Add an input to the sum of its key; every fifth one cannot be, until the handler is mended."""
    before = sums.get() or Sum()
    now = Sum(count=before.count + 1, total=before.total + event.n)
    sums.set(now)
    if event.n % 5 == 0 and not Mended.is_so:
        raise ValueError(f"{event.n} cannot be handled")
    return Handled(key=event.key, n=event.n, count=now.count, total=now.total)


@cache
def parking_topology() -> Topology:
    """The application."""
    topic = {"key": "key", "partitions": SHARDS, "replication": 3}
    return Topology.model_validate(
        {
            "app": "fold",
            "topics": {
                **{name: {"event": f"{_HERE}:Numbered", **topic} for name in INPUTS},
                "sums": {"event": f"{_HERE}:Handled", **topic},
            },
            "processors": {
                "counter": {
                    "handler": f"{_HERE}:fold",
                    "reads": list(INPUTS),
                    "tables": {"sums": f"{_FOLD}:Sum"},
                    "writes": ["sums"],
                    "on_error": "park-key",
                    "commit_interval": "100ms",
                    "session_timeout": "2s",
                }
            },
        }
    )


def parking_problems(
    log: TopicReader, published: Sequence[tuple[str, int, int, Any]], discarded: set[int]
) -> Iterator[str]:
    """What is wrong with everything that was committed.

    Args:
        log: what readers of committed records see.
        published: topic, partition, offset and event of every input.
        discarded: the numbers of events that were given up.
    """
    place = {event.n: (topic, offset) for topic, _, offset, event in published}
    last: dict[tuple[str, str], int] = {}
    seen: set[int] = set()
    states: defaultdict[str, Sum] = defaultdict(Sum)
    for record in log.events("sums"):
        output = record.event
        if output.n in seen:
            yield f"handled twice: {output!r}"
        if output.n in discarded:
            yield f"discarded and handled: {output!r}"
        seen.add(output.n)
        topic, offset = place[output.n]
        if last.get((output.key, topic), -1) >= offset:
            yield f"out of order: {output!r}, {topic}@{offset}"
        last[output.key, topic] = offset
        before = states[output.key]
        if (before.count + 1, before.total + output.n) != (output.count, output.total):
            yield f"{output!r} after {before!r}"
        states[output.key] = Sum(count=output.count, total=output.total)
    for n in sorted(place.keys() - seen - discarded):
        yield f"lost: {n} ({place[n]})"
    if dict(log.table("counter", "sums")) != dict(states):
        yield "the table is not the fold of the outputs"
