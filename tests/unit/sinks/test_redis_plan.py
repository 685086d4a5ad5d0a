"""What is sent to Redis: values, and the parts of a batch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from hiredis import pack_command
from redis import exceptions

from holdfast.errors import SinkDown, SinkError
from holdfast.record import Position, TopicPartition, Write
from holdfast.sinks.base import Refusal, SinkBatch
from holdfast.sinks.redis import (
    Command,
    Delete,
    HashIncrement,
    HashSet,
    Increment,
    RedisWrite,
    Set,
    SortedSetAdd,
)
from holdfast.sinks.redis.judge import judge, judge_connecting, text_of, unfit
from holdfast.sinks.redis.plan import MOST_COMMANDS, Part, parts_of, prepare
from holdfast.testing import MemoryMessage

A, B = TopicPartition("a", 0), TopicPartition("b", 0)


def write(place: TopicPartition, offset: int, value: Any = None) -> Write:
    """What was made of a record: a command, unless said otherwise."""
    message = MemoryMessage(place.topic, place.partition, offset, key=b"k", value=b"{}")
    return Write(message, Increment("n") if value is None else value)


def cut(batch: SinkBatch) -> tuple[list[Part], list[Refusal]]:
    """A batch's parts, and what cannot be sent."""
    refusals: list[Refusal] = []
    return list(parts_of(batch, refusals)), refusals


def ranges(part: Part) -> dict[TopicPartition, tuple[int, int]]:
    """From where to where it goes in each partition."""
    return {place: (part.begins[n], part.ends[n]) for place, n in part.numbers.items()}


@pytest.mark.parametrize(
    ("value", "arguments"),
    [
        (Set("a", 1, expire=0.5), (b"SET", b"a", b"1", b"PX", 500)),
        (Set(b"\xff", True), (b"SET", b"\xff", b"true")),
        (Set("at", datetime(2026, 11, 29, tzinfo=UTC)), (b"SET", b"at", b"2026-11-29T00:00:00Z")),
        (Increment("a", Decimal("1E-7")), (b"INCRBYFLOAT", b"a", b"0.0000001")),
        (HashIncrement("a", 7, 2), (b"HINCRBY", b"a", b"7", b"2")),
        (Delete("a", b"b"), (b"DEL", b"a", b"b")),
        (Command("xadd", "s", "*", "f", [1]), (b"xadd", b"s", b"*", b"f", b"[1]")),
    ],
    ids=str,
)
def test_values_become_arguments(value: Any, arguments: Sequence[Any]) -> None:
    """Numbers as Redis reads them; what is no text or number as JSON."""
    [(_, number, *sent)] = prepare(value)
    assert number == len(arguments)
    assert pack_command(tuple(sent)) == pack_command(arguments)


def test_each_part_begins_where_the_one_before_it_ends() -> None:
    """In every partition; the first looks at all of them, and the last goes to the batch's end."""
    writes = [write(A, 10 + n) for n in range(MOST_COMMANDS)]
    writes += [write(B, 5 + 2 * n) for n in range(MOST_COMMANDS + 1)]
    begins, ends = {A: 8, B: 5}, {A: 5_000, B: 9_000}
    (first, second, third), refusals = cut(SinkBatch(group="g", writes=writes, begins=begins, ends=ends))
    middle = 5 + 2 * MOST_COMMANDS - 1
    assert ranges(first) == {A: (8, 10 + MOST_COMMANDS), B: (5, 5)}
    assert ranges(second) == {B: (5, middle)}
    assert ranges(third) == {B: (middle, 9_000), A: (10 + MOST_COMMANDS, 5_000)}
    assert refusals == []


def test_a_batch_that_ends_with_a_part_still_reaches_its_end() -> None:
    """Its last records made nothing."""
    writes = [write(A, n) for n in range(MOST_COMMANDS)]
    (first, second), _ = cut(SinkBatch(group="g", writes=writes, begins={A: 0}, ends={A: MOST_COMMANDS + 7}))
    assert (ranges(first), ranges(second)) == (
        {A: (0, MOST_COMMANDS)},
        {A: (MOST_COMMANDS, MOST_COMMANDS + 7)},
    )
    assert second.records == []


def test_a_record_that_cannot_be_sent_takes_its_place_and_nothing_else() -> None:
    """None of its commands is sent; the positions go beyond it."""
    message = MemoryMessage("a", 0, 1, key=b"k", value=b"{}")
    writes = [write(A, 0), Write(message, Set("x", 1)), Write(message, Set("x", "\ud800")), write(A, 2)]
    [part], [refusal] = cut(SinkBatch(group="g", writes=writes, begins={A: 0}, ends={A: 3}))
    assert (part.commands, ranges(part)) == (3, {A: (0, 3)})
    assert part.records.count(-1) == 1, "it is noted beside the positions, without commands"
    assert refusal.position == Position("a", 0, 1)
    assert "surrogates not allowed" in str(refusal.error)


class Nobodys(Increment):
    """Of no class that the sink knows."""


class Broken(Mapping[str, int]):
    """A mapping that fails as it is read."""

    def __contains__(self, name: object) -> bool:
        return False

    def __getitem__(self, name: str) -> int:
        raise LookupError(name)

    def __iter__(self) -> Iterator[str]:
        return iter(("a",))

    def __len__(self) -> int:
        return 1


@pytest.mark.parametrize(
    "value",
    [
        *(Set("x", 10**5_000), HashSet("x", {"n": 10**5_000}), Increment("x", 10**5_000)),
        Set("x", 1, expire=10**5_000),
        *(Nobodys("x"), HashSet("x", Broken()), SortedSetAdd("x", {"a": None})),  # type: ignore[dict-item]
    ],
    ids=lambda value: f"{type(value).__name__}",
)
def test_a_value_that_nobody_can_send_costs_only_its_record(value: RedisWrite) -> None:
    """Whatever it raises; and it does not get to the client, which may end the whole process."""
    [part], [refusal] = cut(
        SinkBatch(
            group="g", writes=[write(A, 0), write(A, 1, value), write(A, 2)], begins={A: 0}, ends={A: 3}
        )
    )
    assert (part.commands, ranges(part)) == (3, {A: (0, 3)})
    assert part.records.count(-1) == 1, "it is noted beside the positions, without commands"
    assert refusal.position == Position("a", 0, 1)


def test_large_whole_numbers_keep_all_their_digits() -> None:
    """As text where 64 bits are not enough."""
    for number in (2**63 - 1, 2**63, -(2**63), -(2**63) - 1, 10**1_000):
        [(_, _, *sent)] = prepare(Set("a", number))
        assert pack_command(tuple(sent)) == pack_command((b"SET", b"a", str(number).encode()))


@pytest.mark.parametrize(
    ("told", "reason"),
    [
        ({"redis_version": "7.0.15", "redis_mode": "standalone", "maxmemory": "0"}, None),
        ({"redis_version": "8.2.1", "maxmemory": "9", "maxmemory_policy": "volatile-lru"}, None),
        ({"redis_version": "6.2.7"}, "is Redis 6.2.7"),
        ({"redis_version": "7.0.0", "cluster_enabled": "1"}, "is part of a Redis Cluster"),
        ({"redis_version": "7.0.0", "maxmemory": "9", "maxmemory_policy": "allkeys-lfu"}, "allkeys-lfu"),
    ],
)
def test_a_server_that_cannot_keep_positions_is_refused(told: dict[str, str], reason: str | None) -> None:
    """Before anything is written to it."""
    found = unfit(told)
    assert found is None if reason is None else reason in str(found)


@pytest.mark.parametrize(
    "word", ["LOADING", "READONLY", "MASTERDOWN", "OOM", "BUSY", "TRYAGAIN", "NOREPLICAS"]
)
def test_a_server_that_takes_no_writes_now_is_down(word: str) -> None:
    """Whether the client knows the word, and cuts it off, or not."""
    known = exceptions.ResponseError("not now", status_code=word)
    for error in (known, exceptions.ResponseError(f"{word} not now")):
        assert text_of(error) == f"{word} not now"
        assert isinstance(judge(text_of(error), "cache"), SinkDown)
        assert isinstance(judge_connecting(error, "cache", "here:1"), SinkDown)


def test_what_a_server_will_never_take_is_no_outage() -> None:
    """A wrong database, a key of positions that holds something else."""
    for text in ("ERR DB index is out of range", "WRONGTYPE Operation against a key"):
        assert type(judge(text, "cache")) is SinkError
        assert type(judge_connecting(exceptions.ResponseError(text), "cache", "here:1")) is SinkError
