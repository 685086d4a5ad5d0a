"""The Redis sink on real servers: what is written, once, and what is said when it cannot be."""

from __future__ import annotations

import json
import logging
import random
import socket
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest

from holdfast import Event
from holdfast.errors import SinkBehind, SinkDown, SinkError, SinkFenced
from holdfast.record import Position, TopicPartition, Write
from holdfast.sinks.base import Refusal, SinkBatch
from holdfast.sinks.factory import build_sink
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
from holdfast.sinks.redis.connection import Address, BoundedConnection
from holdfast.sinks.redis.plan import MOST_COMMANDS
from holdfast.sinks.redis.script import SCRIPT
from holdfast.sinks.redis.sink import RedisSink
from holdfast.testing import MemoryMessage
from holdfast.topology.resolved import ResolvedSink
from holdfast.topology.sink_decls import RedisSinkDecl
from tests.support.redis import RedisServer, SentinelSetup

pytestmark = [pytest.mark.integration, pytest.mark.timeout(90)]

PLACE = TopicPartition("orders", 3)
GROUP = "shop.cache"
KEY = f"holdfast:positions:{GROUP}"


def batch(*made: tuple[int, RedisWrite], **changes: Any) -> SinkBatch:
    """A batch of one partition; what was made of records, by offset."""
    offsets = [offset for offset, _ in made]
    parts: dict[str, Any] = {
        "group": GROUP,
        "begins": {PLACE: min(offsets, default=0)},
        "ends": {PLACE: max(offsets, default=-1) + 1},
        "fences": {PLACE: 7},
        "topic_ids": {"orders": "id-1"},
    }
    parts |= changes
    messages = {n: MemoryMessage("orders", 3, n, key=b"k", value=b"{}") for n in offsets}
    return SinkBatch(writes=[Write(messages[n], value) for n, value in made], **parts)


class Bench:
    """A sink with a look at its server."""

    def __init__(self, server: RedisServer, timeout: float = 10.0, replicas: int = 0, **address: Any) -> None:
        address = address or {"url": server.url}
        self.sink = RedisSink("cache", Address(**address), "holdfast:positions", timeout, replicas)
        self.server = server

    def write(self, *made: tuple[int, RedisWrite], **changes: Any) -> list[Refusal]:
        """Write what was made of records, by offset."""
        return list(self.sink.write(batch(*made, **changes)))

    def ask(self, *command: Any) -> Any:
        """What the server answers."""
        with self.server.client() as client:
            return client.execute_command(*command)


@pytest.fixture
def bench(redis_server: RedisServer) -> Iterator[Bench]:
    """Give a sink on an empty server."""
    with redis_server.client() as client:
        client.flushall()
    made = Bench(redis_server)
    yield made
    made.sink.close()


@pytest.fixture
def own() -> Iterator[Callable[..., RedisServer]]:
    """Give a function that starts a server of the test's own."""
    servers: list[RedisServer] = []

    def start(**options: str) -> RedisServer:
        servers.append(RedisServer(**options))
        servers[-1].start()
        return servers[-1]

    yield start
    for server in servers:
        server.close()


def test_each_class_does_what_it_says(bench: Bench) -> None:
    """In the order of the records; numbers as Redis reads them, everything else as JSON."""

    class Total(Event):
        customer: str
        total: Decimal

    ann = Total(customer="ann", total=Decimal("2.50"))
    refusals = bench.write(
        (0, Set("text", "\u00e4")),
        (1, Set(b"\xff", b"\x00")),
        (2, Set("event", ann)),
        (3, Set("soon", 1, expire=100)),
        (4, HashSet("hash", {"n": 1, "total": Decimal("0.10"), "tags": ["a", "b"]})),
        (5, HashSet("row", ann)),
        (6, Increment("count")),
        (7, Increment("count", 41)),
        (8, Increment("sum", Decimal("1.25"))),
        (9, HashIncrement("hash", "n", -3)),
        (10, SortedSetAdd("ranks", {"ann": 2.5, "bob": 1})),
        (11, Command("RPUSH", "list", "a", 1, {"x": None})),
        (12, Set("gone", "x")),
        (13, Set("gone too", "x")),
        (14, Delete("gone", "gone too", "never there")),
    )
    assert refusals == []
    assert bench.ask("GET", "text") == "\u00e4"
    assert bench.ask("STRLEN", b"\xff") == 1
    assert bench.ask("GET", "event") == '{"customer":"ann","total":"2.50"}'
    assert 90 < bench.ask("TTL", "soon") <= 100
    assert bench.ask("HGETALL", "hash") == {"n": "-2", "total": "0.10", "tags": '["a","b"]'}
    assert bench.ask("HGETALL", "row") == {"customer": "ann", "total": "2.50"}
    assert (bench.ask("GET", "count"), bench.ask("GET", "sum")) == ("42", "1.25")
    assert bench.ask("ZRANGE", "ranks", 0, -1) == ["bob", "ann"]
    assert bench.ask("LRANGE", "list", 0, -1) == ["a", "1", '{"x":null}']
    assert bench.ask("EXISTS", "gone", "gone too") == 0


def test_a_batch_that_comes_again_counts_once(bench: Bench) -> None:
    """Also in another cut, and with records that are new."""
    first = [(n, Increment("count")) for n in range(5)]
    bench.write(*first)
    bench.write(*first[2:], (5, Increment("count")))
    bench.write(*first)
    assert bench.ask("GET", "count") == "6"
    assert '"position":"6"' in bench.ask("HGET", KEY, "orders/3")


@pytest.mark.parametrize("seed", range(3))
def test_whatever_comes_again_each_record_counts_once(bench: Bench, seed: int) -> None:
    """Batches in any cut, again and again until Kafka has them, with records that are refused."""
    rng = random.Random(seed)
    made: list[list[RedisWrite]] = []
    for n in range(4_000):
        kind = rng.random()
        if kind < 0.02:
            made.append([Increment("count"), HashSet("fields", {"last": "refused"}), Increment("fields")])
        elif kind < 0.3:
            made.append([])
        elif kind < 0.5:
            made.append([Increment("count"), HashSet("fields", {"last": n}), Command("RPUSH", "list", n)])
        else:
            made.append([Command("RPUSH", "list", n), Increment("count")])
    bench.ask("HSET", "fields", "last", "none")
    committed = 0
    refused: set[int] = set()
    while committed < len(made):
        end = rng.randint(committed, min(committed + 1_500, len(made)))
        writes = [(n, each) for n in range(committed, end) for each in made[n]]
        refusals = bench.write(*writes, begins={PLACE: committed}, ends={PLACE: end})
        if rng.random() < 0.3:
            # Kafka has the positions and the dead letters; otherwise it all comes again.
            committed = end
            refused |= {each.position.offset for each in refusals}
    bad = {n for n, each in enumerate(made) if len(each) == 3 and each[2] == Increment("fields")}
    listed = [n for n, each in enumerate(made) if each and n not in bad]
    assert refused == bad
    assert bench.ask("LRANGE", "list", 0, -1) == [str(n) for n in listed]
    assert int(bench.ask("GET", "count")) == len(listed)
    last = max(n for n in listed if isinstance(made[n][1], HashSet))
    assert bench.ask("HGET", "fields", "last") == str(last)


def test_a_large_batch_is_written_in_parts_and_counts_once(bench: Bench) -> None:
    """Of several partitions, with records that make nothing, and many commands for one record."""
    places = [TopicPartition("orders", n) for n in range(3)]
    writes = []
    for place in places:
        for offset in range(0, 2_000, 2):
            message = MemoryMessage("orders", place.partition, offset, key=b"k", value=b"{}")
            writes += [Write(message, Increment(f"count {place.partition}"))] * (3 if offset == 500 else 1)
    whole = SinkBatch(
        group=GROUP,
        writes=writes,
        begins=dict.fromkeys(places, 0),
        ends={**dict.fromkeys(places, 2_000), places[2]: 2_500},
        fences=dict.fromkeys(places, 1),
    )
    for _ in range(2):
        assert bench.sink.write(whole) == []
        assert [bench.ask("GET", f"count {n}") for n in range(3)] == ["1002"] * 3
    assert '"position":"2500"' in bench.ask("HGET", KEY, "orders/2")


def test_a_write_of_more_values_than_a_command_can_have(bench: Bench) -> None:
    """Lua hands over some 8,000 arguments: it takes several commands."""
    bench.write((0, HashSet("hash", {f"f{n}": n for n in range(10_000)})), (1, Set("after", 1)))
    assert bench.ask("HLEN", "hash") == 10_000
    bench.write((2, Delete(*(f"k{n}" for n in range(10_000)), "after")))
    assert bench.ask("EXISTS", "after") == 0


def test_an_owner_of_yesterday_writes_nothing(bench: Bench) -> None:
    """Its fencing token is smaller than the one in Redis."""
    bench.write((0, Increment("count")))
    with pytest.raises(SinkFenced, match=r"orders\[3\] has been written by a newer owner"):
        bench.write((1, Increment("count")), fences={PLACE: 6})
    assert bench.ask("GET", "count") == "1"


def test_a_topic_that_was_made_anew_is_read_from_its_start(bench: Bench) -> None:
    """Its offsets begin again: they may not be taken for what they were. Tokens go on."""
    bench.write((50, Increment("count")), begins={PLACE: 0})
    anew: dict[str, Any] = {"topic_ids": {"orders": "id-2"}, "fences": {PLACE: 8}}
    bench.write((7, Increment("count")), **anew)
    bench.write((7, Increment("count")), **anew)
    assert bench.ask("GET", "count") == "2"


BAD: Mapping[str, Sequence[RedisWrite]] = {
    "of another type": [HashSet("text", {"a": 1})],
    "no number": [Increment("text")],
    "too large": [Increment("large", 2**62)],
    "no number in a field": [HashIncrement("hash", "text")],
    "not JSON": [Set("a", object())],
    "no text": [Set("a", "\ud800")],
    "no fields": [HashSet("hash", {})],
    "no time": [Set("a", 1, expire=0)],
    "empties the server": [Command("FLUSHALL")],
    "not a score": [SortedSetAdd("ranks", {"ann": float("nan")})],
}


@pytest.mark.parametrize("name", BAD)
def test_a_record_that_is_refused_costs_only_itself(bench: Bench, name: str) -> None:
    """All others are written; the refusal says why. The same again is refused again, until Kafka knows it."""
    bench.ask("SET", "text", "x")
    bench.ask("SET", "large", 2**62)
    bench.ask("HSET", "hash", "text", "x")
    made: list[tuple[int, RedisWrite]] = [(n, Increment("count")) for n in range(20) if n != 13]
    made[13:13] = [(13, each) for each in BAD[name]]
    (refusal,) = bench.write(*made)
    assert refusal.position == Position("orders", 3, 13)
    assert bench.ask("GET", "count") == "19"
    (again,) = bench.write(*made)
    assert again.position == refusal.position
    assert str(again.error) == str(refusal.error)
    assert bench.ask("GET", "count") == "19"
    assert bench.write((21, Increment("count")), begins={PLACE: 20}) == []
    assert '"refused":{}' in bench.ask("HGET", KEY, "orders/3")


def test_what_could_not_be_sent_stays_refused_when_its_handler_is_mended(bench: Bench) -> None:
    """The commit on Kafka failed that would have had its letter; now it would be left out without one."""
    bad = HashSet("h", {"n": "\ud800"})
    first = bench.write((0, Set("a", 1)), (1, bad), (2, Set("b", 1)))
    again = bench.write((0, Set("a", 1)), (1, HashSet("h", {"n": 1})), (2, Set("b", 1)))
    assert [each.position.offset for each in (*first, *again)] == [1, 1]
    assert "surrogates not allowed" in str(first[0].error)
    assert "surrogates not allowed" in str(again[0].error)
    assert bench.ask("EXISTS", "h") == 0


def test_nothing_behind_a_record_that_stops_is_written_of_any_input(bench: Bench) -> None:
    """Not of the others of its part, nor of the parts that follow."""
    other = TopicPartition("returns", 3)
    made = batch((0, Set("a", 1)), (1, Increment("a-text")), (2, Set("c", 1)), stops_at_refusal=True)
    bench.ask("SET", "a-text", "x")
    behind = [
        Write(MemoryMessage("returns", 3, n, key=b"k", value=b"{}"), Set(f"r{n}", 1))
        for n in range(2 * MOST_COMMANDS)
    ]
    whole = replace(
        made,
        writes=[*made.writes, *behind],
        begins={**made.begins, other: 0},
        ends={**made.ends, other: len(behind)},
        fences={**made.fences, other: 7},
        topic_ids={**made.topic_ids, "returns": "id-2"},
    )
    (refusal,) = bench.sink.write(whole)
    assert (refusal.position.offset, refusal.is_noted) == (1, False)
    assert bench.ask("GET", "a") == "1"
    assert bench.ask("DBSIZE") == 3, "the positions, and what stands before the record"
    bench.ask("DEL", "a-text")
    assert list(bench.sink.write(whole)) == []
    assert bench.ask("DBSIZE") == 4 + len(behind)


def test_a_refusal_says_what_redis_says(bench: Bench) -> None:
    """And nothing of the script that it came through."""
    bench.ask("SET", "text", "x")
    (refusal,) = bench.write((0, Increment("text")))
    text = "sink 'cache' refuses it: INCRBY: ERR value is not an integer or out of range"
    assert str(refusal.error) == text
    (refusal,) = bench.write((1, HashSet("text", {"a": 1})))
    assert str(refusal.error).endswith("WRONGTYPE Operation against a key holding the wrong kind of value")


def test_what_was_made_of_one_record_is_written_as_a_whole(bench: Bench) -> None:
    """Of a record whose last command is refused, all that came before is taken back, with times to live."""
    bench.ask("SET", "text", "x")
    bench.ask("SET", "kept", "old", "EX", 1_000)
    bench.ask("HSET", "hash", "a", 1, "b", 2)
    bench.ask("ZADD", "ranks", 1.5, "ann")
    bench.ask("RPUSH", "list", "a", "b")
    looks = (
        *(("GET", "kept"), ("HGETALL", "hash"), ("LRANGE", "list", 0, -1)),
        ("ZRANGE", "ranks", 0, -1, "WITHSCORES"),
    )
    before = [bench.ask(*look) for look in looks]
    (refusal,) = bench.write(
        (0, Set("kept", "new")),
        (0, Set("fresh", 1)),
        (0, Increment("count", 5)),
        (0, HashSet("hash", {"a": 7, "c": 9})),
        (0, HashIncrement("hash", "b", 5)),
        (0, HashSet("new hash", {"a": 1})),
        (0, SortedSetAdd("ranks", {"ann": 9, "bob": 1})),
        (0, Delete("list", "kept")),
        (0, Set("list", "no list")),
        (0, HashSet("text", {"a": 1})),
        (1, Increment("others")),
    )
    assert refusal.position.offset == 0
    assert [bench.ask(*look) for look in looks] == before
    assert 900 < bench.ask("TTL", "kept") <= 1_000
    assert bench.ask("EXISTS", "fresh", "count", "new hash") == 0
    assert bench.ask("GET", "others") == "1"


WRONG: Mapping[str, tuple[RedisWrite, str]] = {
    "command": (Command("ICNR", "a"), "Unknown Redis command"),
    "arguments": (Command("INCR"), "Wrong number of args"),
    "syntax": (Command("SET", "a", 1, "PXX", 1), "syntax error"),
    "blocks": (Command("SUBSCRIBE", "a"), "not allowed from script"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_declared_wrongly_is_said_and_nothing_is_set_aside(bench: Bench, name: str) -> None:
    """What came before it is written, once; nothing of its own record is."""
    write, text = WRONG[name]
    made = (0, Increment("count")), (1, Increment("others")), (1, write), (2, Increment("count"))
    for _ in range(2):
        with pytest.raises(SinkError, match=r"sink 'cache' cannot be written to, at orders\[3\]@1") as caught:
            bench.write(*made)
        assert text in str(caught.value)
        assert not isinstance(caught.value, SinkDown)
        assert bench.ask("MGET", "count", "others") == ["1", None]
    bench.write((0, Increment("count")), (1, Increment("others")), (2, Increment("count")))
    assert bench.ask("MGET", "count", "others") == ["2", "1"]


def test_a_user_without_a_right_is_told_which(own: Callable[..., RedisServer]) -> None:
    """It is no record's fault either."""
    server = own()
    with server.client() as client:
        client.execute_command("ACL", "SETUSER", "clerk", "on", ">pen", "~*", "+@all", "-incrby")
    bench = Bench(server, url=f"redis://clerk:pen@{server.pair}")
    with pytest.raises(SinkError, match=r"at orders\[3\]@0: INCRBY: .*can't run this command"):
        bench.write((0, Increment("count")))
    bench.sink.close()


@pytest.fixture
def web_server() -> Iterator[str]:
    """Give the address of something that speaks HTTP."""

    class Handler(BaseHTTPRequestHandler):
        pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


def test_a_wrong_address_is_said(own: Callable[..., RedisServer], web_server: str, bench: Bench) -> None:
    """What no server will ever take; one that is away may come back."""
    locked, cluster = own(requirepass="secret"), own(cluster_enabled="yes", appendonly="no")
    small = own(maxmemory="100mb", maxmemory_policy="allkeys-lru")
    cases = {
        f"redis://{locked.pair}": (SinkError, "Authentication required"),
        f"redis://:hunter2@{locked.pair}": (SinkError, "refuses its user or password"),
        f"redis://{bench.server.pair}/99": (SinkError, "DB index is out of range"),
        f"redis://{cluster.pair}": (SinkError, "is part of a Redis Cluster"),
        f"redis://{small.pair}": (SinkError, "maxmemory-policy allkeys-lru"),
        f"redis://{web_server}": (SinkError, "is no Redis"),
        "redis://127.0.0.1:1": (SinkDown, "onnection refused"),
        "redis://no.such.host.invalid": (SinkDown, "no.such.host.invalid"),
    }
    for url, (kind, text) in cases.items():
        with pytest.raises(SinkError) as caught:
            Bench(bench.server, 5, url=url).write((0, Increment("count")))
        assert type(caught.value) is kind, caught.value
        assert text in str(caught.value)
        assert "hunter2" not in str(caught.value)


def from_file(url: str) -> RedisSink:
    """The sink that a topology with this URL declares."""
    decl = RedisSinkDecl.model_validate({"<name>": "cache", "type": "redis", "url": url})
    sink = build_sink(ResolvedSink(decl, (Increment,)))
    assert isinstance(sink, RedisSink)
    return sink


@pytest.mark.parametrize(
    ("password", "given"),
    [
        ("t/o#p@s:3?c[r]e%t 50%", "t/o#p@s:3?c[r]e%t 50%"),
        ("pä＃ss", "pä＃ss"),  # a full-width sign, which is taken for a plain one
        ("t/o#p", "t%2Fo%23p"),
        ("of a file", "of a file\n"),
    ],
)
def test_a_password_of_the_environment_may_have_any_characters(
    own: Callable[..., RedisServer], monkeypatch: pytest.MonkeyPatch, password: str, given: str
) -> None:
    """Though it is a part of a URL; whoever had written them as %XX there may go on."""
    server = own(requirepass=password)
    monkeypatch.setenv("REDIS_PASSWORD", given)
    monkeypatch.setenv("REDIS_HOST", server.pair)
    sink = from_file("redis://:${REDIS_PASSWORD}@${REDIS_HOST}/0")
    assert list(sink.write(batch((0, Increment("count"))))) == []
    sink.close()
    with server.client(password=password) as client:
        assert client.get("count") == "1"


@pytest.mark.parametrize("host", ["x:s3cr/et", "[s3cret", "s3＃cret"])
def test_a_url_that_is_none_is_told_without_what_is_in_it(monkeypatch: pytest.MonkeyPatch, host: str) -> None:
    """It may be a part of a password."""
    monkeypatch.setenv("REDIS_HOST", host)
    sink = from_file("redis://${REDIS_HOST}/0")
    with pytest.raises(SinkError, match="its `url` is no address of a Redis server") as caught:
        sink.write(batch((0, Increment("count"))))
    assert not isinstance(caught.value, SinkDown)
    assert "s3" not in "".join(traceback.format_exception(caught.value))


def test_a_server_that_was_killed_is_down_and_then_written_to_again(own: Callable[..., RedisServer]) -> None:
    """What was written stays, and the next write connects again."""
    bench = Bench(own())
    bench.write((0, Increment("count")))
    bench.server.kill()
    with pytest.raises(SinkDown):
        bench.write((1, Increment("count")))
    bench.server.start()
    bench.write((1, Increment("count")))
    assert bench.ask("GET", "count") == "2"


def test_a_server_that_hangs_is_given_up_in_time_and_what_it_did_counts_once(
    own: Callable[..., RedisServer],
) -> None:
    """It has the bytes and never answers; when it goes on it works on what it was sent."""
    bench = Bench(own(), timeout=1.0)
    bench.write((0, Increment("count")))
    bench.server.freeze()
    try:
        for _ in range(2):
            began = time.monotonic()
            with pytest.raises(SinkDown, match=r"within its timeout of 1 s"):
                bench.write((1, Increment("count")))
            assert time.monotonic() - began < 4
    finally:
        bench.server.thaw()
    bench.write((1, Increment("count")), (2, Increment("count")))
    assert bench.ask("GET", "count") == "3"


def test_a_port_that_takes_connections_and_never_answers_is_given_up_in_time() -> None:
    """Connecting is bounded as well, and so is asking Sentinels."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        pair = f"127.0.0.1:{silent.getsockname()[1]}"
        for address in (Address(url=f"redis://{pair}"), Address(sentinels=(pair, pair), master="shop")):
            began = time.monotonic()
            with pytest.raises(SinkDown):
                RedisSink("cache", address, "p", 1, 0).write(batch((0, Increment("count"))))
            assert time.monotonic() - began < 4


def test_a_server_that_takes_no_writes_is_down_and_nothing_is_half_written(
    own: Callable[..., RedisServer],
) -> None:
    """Without memory, as a replica, without enough replicas of its own, and while a script of others runs."""
    bench = Bench(own(), timeout=1.0)
    bench.write((0, Increment("count")))
    settings = {
        ("CONFIG SET", "maxmemory", "1"): ("CONFIG SET", "maxmemory", "0"),
        ("REPLICAOF", "127.0.0.1", "1"): ("REPLICAOF", "NO", "ONE"),
        ("CONFIG SET", "min-replicas-to-write", "1"): ("CONFIG SET", "min-replicas-to-write", "0"),
    }
    for spoil, mend in settings.items():
        bench.ask(*spoil)
        with pytest.raises(SinkDown):
            bench.write((1, Delete("count")), (2, Increment("others")))
        bench.ask(*mend)
        assert bench.ask("MGET", "count", "others") == ["1", None]


SPOILED: Mapping[str, tuple[Sequence[str], Sequence[str], str]] = {
    "memory": (("CONFIG", "SET", "maxmemory", "1"), ("CONFIG", "SET", "maxmemory", "0"), "OOM"),
    "replicas": (
        ("CONFIG", "SET", "min-replicas-to-write", "1"),
        ("CONFIG", "SET", "min-replicas-to-write", "0"),
        "NOREPLICAS",
    ),
    "script": (("SCRIPT", "FLUSH"), ("SCRIPT", "LOAD", SCRIPT), ""),
}


class FirstPartRefused:
    """Spoils the server before a batch's first part, and mends it before the second, on the same connection.

    So it is not a matter of luck which parts are refused.
    """

    def __init__(self, connection: BoundedConnection, spoil: Sequence[str], mend: Sequence[str]) -> None:
        self._send, self._reply = connection.send, connection.reply
        self._around = spoil, mend
        self._ours: deque[bool] = deque()
        self._is_over = False

    def send(self, *command: Any) -> None:
        """Send a command, the first part between our own two."""
        if command[0] == "EVALSHA" and not self._is_over:
            self._is_over = True
            spoil, mend = self._around
            for each, is_ours in ((spoil, True), (command, False), (mend, True)):
                self._ours.append(is_ours)
                self._send(*each)
            return
        self._ours.append(False)
        self._send(*command)

    def reply(self) -> Any:
        """The next reply that is none to our own commands."""
        while self._ours.popleft():
            self._reply()
        return self._reply()


@pytest.mark.parametrize("before", ["nothing", "an older topic", "all of it lost"])
@pytest.mark.parametrize("name", SPOILED)
def test_a_part_is_not_taken_when_the_one_before_it_was_refused(
    own: Callable[..., RedisServer], monkeypatch: pytest.MonkeyPatch, name: str, before: str
) -> None:
    """Also where Redis has no position yet: what was refused would count as written when it comes again."""
    bench = Bench(own())
    if before != "nothing":
        bench.write((0, Increment("old")))
    if before == "all of it lost":
        bench.ask("DEL", KEY)
    spoil, mend, word = SPOILED[name]
    between = FirstPartRefused(bench.sink._connection, spoil, mend)
    monkeypatch.setattr(bench.sink._connection, "send", between.send)
    monkeypatch.setattr(bench.sink._connection, "reply", between.reply)
    made = [(n, Increment("count")) for n in range(2 * MOST_COMMANDS)]
    changes = {"topic_ids": {"orders": "id-2"}} if before == "an older topic" else {}
    if word:
        with pytest.raises(SinkDown, match=word):
            bench.write(*made, **changes)
        assert bench.ask("GET", "count") is None
    bench.write(*made, **changes)
    assert bench.ask("GET", "count") == str(len(made))
    row = json.loads(bench.ask("HGET", KEY, "orders/3"))
    assert (row["origin"], row["position"]) == ("0", str(len(made)))


def test_a_script_that_was_forgotten_is_loaded_again(bench: Bench) -> None:
    """`SCRIPT FLUSH` by somebody else."""
    bench.write((0, Increment("count")))
    bench.ask("SCRIPT", "FLUSH")
    bench.write((1, Increment("count")))
    assert bench.ask("GET", "count") == "2"


def test_a_server_that_lost_what_it_had_says_so_and_takes_it_again(own: Callable[..., RedisServer]) -> None:
    """It comes back with less than is committed on Kafka: from there on everything comes again."""
    bench = Bench(own())
    for n in range(3):
        bench.write((n, Increment("count")), begins={PLACE: n})
        bench.ask("COPY", KEY, f"positions {n}")
        bench.ask("COPY", "count", f"count {n}")
    bench.ask("RENAME", "positions 1", KEY)
    bench.ask("RENAME", "count 1", "count")
    with pytest.raises(
        SinkBehind, match=r"has lost what it had taken of orders\[3\] from offset 2 to"
    ) as lost:
        bench.write((3, Increment("count")))
    assert lost.value.positions == {PLACE: 2}
    bench.write(*((n, Increment("count")) for n in (2, 3)))
    assert bench.ask("GET", "count") == "4"


def test_a_server_that_lost_everything_is_filled_from_where_it_began(own: Callable[..., RedisServer]) -> None:
    """As long as the worker lives that knows it."""
    bench = Bench(own())
    bench.write((5, Increment("count")))
    bench.write((6, Increment("count")))
    bench.server.kill()
    bench.server.forget()
    bench.server.start()
    with pytest.raises(SinkDown):
        bench.write((7, Increment("count")))
    with pytest.raises(SinkBehind) as lost:
        bench.write((7, Increment("count")))
    assert lost.value.positions == {PLACE: 5}
    bench.write(*((n, Increment("count")) for n in (5, 6, 7)))
    assert bench.ask("GET", "count") == "3"


def test_a_server_that_knows_nothing_of_a_group_is_taken_for_new_and_it_is_said(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    """It may be; only a person knows."""
    with caplog.at_level(logging.WARNING):
        bench.write((100, Increment("count")))
        bench.write((101, Increment("count")))
    (said,) = [each for each in caplog.messages if "it is taken for new" in each]
    assert "knew nothing of orders[3], which stands at offset 100 for group shop.cache" in said


def test_records_that_make_nothing_move_the_positions(bench: Bench) -> None:
    """Or it would look behind later."""
    bench.write((0, Increment("count")))
    bench.write(begins={PLACE: 1}, ends={PLACE: 9})
    bench.write((9, Increment("count")))
    assert bench.ask("GET", "count") == "2"


def behind(setup: SentinelSetup, **more: Any) -> Bench:
    """A sink behind Sentinel."""
    sentinels = tuple(each.pair for each in setup.sentinels)
    address = {"sentinels": sentinels, "master": "shop", **more}
    return Bench(setup.master(), 2.0, 1, **address)


def test_a_fail_over_is_followed(redis_sentinel: SentinelSetup) -> None:
    """The batch that fails comes again, to another server, which has all that was taken."""
    bench = behind(redis_sentinel)
    bench.write((0, Increment("followed")))
    dead = redis_sentinel.kill_master()
    deadline = time.monotonic() + 30
    while True:
        try:
            bench.write((1, Increment("followed")))
            break
        except SinkDown:
            assert time.monotonic() < deadline
    with redis_sentinel.client() as client:
        assert client.get("followed") == "2"
    dead.start()
    redis_sentinel.wait_until_whole()
    bench.sink.close()


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_a_master_that_dies_three_times_under_writes_counts_each_record_once(
    redis_sentinel: SentinelSetup,
) -> None:
    """What is not taken comes again, and what was lost is gone back to, as a worker does it."""
    bench, committed, end = behind(redis_sentinel), 0, threading.Event()

    def write_on() -> None:
        nonlocal committed
        while not end.is_set():
            made = [(n, Command("RPUSH", "three", n)) for n in range(committed, committed + 20)]
            try:
                bench.write(*made, *((n, Increment("three count")) for n, _ in made[-1:]), group="three")
                committed += 20
            except SinkBehind as error:
                committed = error.positions[PLACE]
            except SinkDown:
                end.wait(0.05)

    def until_further() -> None:
        begin, deadline = committed, time.monotonic() + 60
        while committed <= begin + 100:
            assert time.monotonic() < deadline
            time.sleep(0.02)

    with ThreadPoolExecutor(1) as pool:
        writing = pool.submit(write_on)
        try:
            for _ in range(3):
                until_further()
                dead = redis_sentinel.kill_master()
                until_further()
                dead.start()
                redis_sentinel.wait_until_whole()
            until_further()
        finally:
            end.set()
            writing.result()
    with redis_sentinel.client() as client:
        assert client.lrange("three", 0, -1) == [str(n) for n in range(committed)]
        assert int(client.get("three count") or 0) == committed // 20
    bench.sink.close()


def test_a_batch_without_a_copy_is_not_taken_and_then_counts_once(redis_sentinel: SentinelSetup) -> None:
    """A master whose replicas hang may be alone in the world: what it alone has, a fail-over would lose."""
    bench = behind(redis_sentinel)
    replicas = [server for server in redis_sentinel.servers if server is not redis_sentinel.master()]
    bench.write((0, Increment("copied")), group="copied")
    for replica in replicas:
        replica.freeze()
    try:
        with pytest.raises(SinkDown, match="has a batch that 0 of its replicas have, and `replicas` wants 1"):
            bench.write((1, Increment("copied")), group="copied")
    finally:
        for replica in replicas:
            replica.thaw()
    bench.write((1, Increment("copied")), group="copied")
    with redis_sentinel.client() as client:
        assert client.get("copied") == "2"
    bench.sink.close()
    redis_sentinel.wait_until_whole()


def test_a_master_that_no_sentinel_knows_is_said(redis_sentinel: SentinelSetup) -> None:
    """With those that they know; and a Sentinel that is named as a server is told apart."""
    with pytest.raises(SinkError, match="knows no master called 'shp'; it knows shop"):
        behind(redis_sentinel, master="shp").write((0, Increment("count")))
    with pytest.raises(SinkError, match="is a Sentinel; name it under `sentinels`"):
        Bench(redis_sentinel.master(), url=redis_sentinel.sentinels[0].url).write((0, Increment("count")))


def test_two_owners_at_once_count_each_record_once(bench: Bench) -> None:
    """The newer one is not disturbed by what the older one still sends."""
    other = Bench(bench.server)
    errors: list[Exception] = []

    def old() -> None:
        try:
            for n in range(200):
                other.write((n, Increment("count")), begins={PLACE: n}, fences={PLACE: 1})
        except SinkFenced as error:
            errors.append(error)

    thread = threading.Thread(target=old)
    thread.start()
    while not bench.ask("GET", "count"):
        time.sleep(0.001)
    bench.write(*((n, Increment("count")) for n in range(300)), fences={PLACE: 2})
    thread.join()
    assert len(errors) == 1
    assert bench.ask("GET", "count") == "300"
    other.sink.close()
