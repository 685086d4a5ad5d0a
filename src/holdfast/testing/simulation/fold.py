"""The application that Holdfast itself is simulated with, and the validator of what it commits.

A sum per key over two co-partitioned inputs. Every output names the input that it came from, the state
after it, and the fencing token under which it was handled, so that Kafka's own strongest check of a stateful
processor (EosTestDriver) can be made: no input twice, none missing, those of one partition in their order,
and every intermediate state equal to the fold. A fencing token never falls.
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from typing import Any

from pydantic import BaseModel

from holdfast.checks import TopicReader
from holdfast.engine.context import Context
from holdfast.engine.handler import processor
from holdfast.engine.state import State
from holdfast.schema import Event
from holdfast.topology.model import Topology

INPUTS = ("adds", "more")
SHARDS = 4
_HERE = "holdfast.testing.simulation.fold"


class Added(Event):
    """An input: add `n` under `key`."""

    key: str
    n: int


class Sum(BaseModel, frozen=True):
    """State of a key."""

    count: int = 0
    total: int = 0


class Folded(Event):
    """An output: what the state became with one input, and which input that was."""

    key: str
    topic: str
    partition: int
    offset: int
    n: int
    count: int
    total: int
    fence: int


@processor
def fold(event: Added, sums: State[Sum], at: Context) -> Folded:
    """Add an input to the sum of its key."""
    before = sums.get() or Sum()
    now = Sum(count=before.count + 1, total=before.total + event.n)
    sums.set(now)
    return Folded(
        key=event.key,
        topic=at.topic,
        partition=at.partition,
        offset=at.offset,
        n=event.n,
        count=now.count,
        total=now.total,
        fence=at.fencing_token,
    )


@cache
def fold_topology() -> Topology:
    """The application."""
    topic = {"key": "key", "partitions": SHARDS, "replication": 3}
    return Topology.model_validate(
        {
            "app": "fold",
            "topics": {
                **{name: {"event": f"{_HERE}:Added", **topic} for name in INPUTS},
                "sums": {"event": f"{_HERE}:Folded", **topic},
            },
            "processors": {
                "counter": {
                    "handler": f"{_HERE}:fold",
                    "reads": list(INPUTS),
                    "tables": {"sums": f"{_HERE}:Sum"},
                    "writes": ["sums"],
                    "commit_interval": "100ms",
                    "session_timeout": "2s",
                }
            },
        }
    )


def events(rng: random.Random) -> Iterator[tuple[str, Added]]:
    """Inputs for one run: topic and event."""
    for _ in range(rng.randint(60, 200)):
        yield rng.choice(INPUTS), Added(key=f"k{rng.randrange(12)}", n=rng.randint(1, 9))


def fold_problems(log: TopicReader, published: Sequence[tuple[str, int, int, Added]]) -> Iterable[str]:
    """What is wrong with everything that was committed.

    Args:
        log: what readers of committed records see.
        published: topic, partition, offset and event of every input.
    """
    wanted: dict[tuple[Any, ...], Added] = {tuple(place): event for *place, event in published}
    seen: set[tuple[Any, ...]] = set()
    last: dict[tuple[Any, ...], int] = {}
    fences: dict[int, int] = {}
    states: defaultdict[str, Sum] = defaultdict(Sum)
    for record in log.events("sums"):
        output = record.event
        origin: tuple[Any, ...] = (output.topic, output.partition, output.offset)
        if origin in seen:
            yield f"applied twice: {origin}"
        seen.add(origin)
        event = wanted.get(origin)
        if event is None or (event.key, event.n) != (output.key, output.n):
            yield f"no such input: {output!r}"
        if last.get((output.key, *origin[:2]), -1) >= output.offset:
            yield f"out of order: {output!r}"
        last[output.key, output.topic, output.partition] = output.offset
        if output.fence < fences.get(output.partition, 0):
            yield f"a fencing token fell from {fences[output.partition]}: {output!r}"
        fences[output.partition] = output.fence
        before = states[output.key]
        now = Sum(count=before.count + 1, total=before.total + output.n)
        if (now.count, now.total) != (output.count, output.total):
            yield f"state {output.count, output.total} where the fold gives {now.count, now.total}: {origin}"
        states[output.key] = Sum(count=output.count, total=output.total)
    for origin in sorted(wanted.keys() - seen, key=str):
        yield f"lost: {origin}"
    if dict(log.table("counter", "sums")) != dict(states):
        yield "the table is not the fold of the outputs"
