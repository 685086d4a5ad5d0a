"""Workers with a Redis sink, on real brokers and servers: each record counts once, whatever dies."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from tests.support.application import Application
from tests.support.downstream import (
    by_key,
    freeze_and_wake_under_load,
    kill_under_load,
    some,
    wait_for_system,
)
from tests.support.events import Added
from tests.support.load import Load
from tests.support.redis import RedisServer, SentinelSetup

pytestmark = [pytest.mark.integration, pytest.mark.timeout(150)]
Make = Callable[..., Application]

PROJECT = """
from holdfast import processor
from holdfast.sinks.redis import Command, HashIncrement, HashSet, Increment, Set
from test_events import Added

@processor
def handle(event: Added) -> list[Command | HashIncrement | HashSet | Increment | Set] | None:
    if event.key == "nothing":
        return None
    if event.key == "bad":
        return [Increment("APP:count"), Set("APP:text", "kept"), HashSet("APP:count", {"n": 1})]
    return [
        Increment("APP:count"),
        HashIncrement("APP:sums", event.key, event.n),
        HashSet("APP:latest", {event.key: event.n}),
        Command("RPUSH", "APP:entries:" + event.key, event.n),
    ]
"""
"""What counts an event, adds it, keeps the last of each key, and lists all of them."""


class Projection:
    """An application whose data are in Redis.

    Args:
        make: makes the application.
        where: the server, or the group of servers.
        options: of the application; `settings` are more keys of the sink.
    """

    def __init__(self, make: Make, where: RedisServer | SentinelSetup, **options: Any) -> None:
        leads = where.settings if isinstance(where, SentinelSetup) else {"url": where.url}
        sink = {"type": "redis", "timeout": "2s", **leads, **options.pop("settings", {})}
        # Applications share the servers.
        self.prefix = f"p{id(self)}"
        self.app = make(
            handler=PROJECT.replace("APP", self.prefix),
            tables={},
            outputs={},
            sinks={"cache": sink},
            sink="cache",
            **options,
        )
        self._where = where

    def ask(self, *command: Any) -> Any:
        """What the server says that takes the writes; `APP` stands for the prefix of the keys."""
        named = [str(part).replace("APP", self.prefix) for part in command]
        with self._where.client() as client:
            return client.execute_command(*named)

    @property
    def count(self) -> int:
        """Events that are counted."""
        return int(self.ask("GET", "APP:count") or 0)

    def check(self, *, but: tuple[str, ...] = ()) -> None:
        """All data are what the log says, with every event counted once, in the order of its key."""
        expected = by_key((e.key, e.n) for e in self.app.decoded("adds") if e.key not in but)
        entries = {key: self.ask("LRANGE", f"APP:entries:{key}", 0, -1) for key in expected}
        assert {key: [int(n) for n in each] for key, each in entries.items()} == expected
        numbers = {k: int(n) for k, n in self.ask("HGETALL", "APP:sums").items()}
        assert numbers == {k: sum(v) for k, v in expected.items()}
        assert self.count == sum(map(len, expected.values()))
        latest = {k: int(n) for k, n in self.ask("HGETALL", "APP:latest").items()}
        assert latest == {k: v[-1] for k, v in expected.items()}


def test_workers_that_are_killed_count_nothing_twice(application: Make, redis_server: RedisServer) -> None:
    """Two of them, one SIGKILLed again and again under load."""
    it = Projection(application, redis_server, workers=2)
    kill_under_load(it.app, rate=400)
    it.check()


@pytest.mark.slow
def test_a_frozen_worker_that_wakes_writes_nothing(application: Make, redis_server: RedisServer) -> None:
    """Another owner has written meanwhile: its token is larger."""
    it = Projection(application, redis_server)
    freeze_and_wake_under_load(it.app, rate=300)
    it.check()


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_a_master_that_is_killed_three_times_equals_the_log(
    application: Make, redis_sentinel: SentinelSetup
) -> None:
    """Each time another one takes over; the worker follows it, and stays in its group."""
    it = Projection(application, redis_sentinel)
    with it.app.run() as run:
        run.until_running()
        pid = run.pid()
        with Load(it.app, rate=400):
            for _ in range(3):
                run.let_run(0.7)
                dead = redis_sentinel.kill_master()
                run.until(lambda: not run.views[0].status.waits_for, 60, "it goes on")
                dead.start()
                redis_sentinel.wait_until_whole()
        run.until_drained(90)
        assert run.pid() == pid
        assert run.running() == 4
    it.check()


def test_a_server_that_comes_back_with_older_data_is_given_the_rest_again(application: Make) -> None:
    """It was killed some time after it had saved its data: all that came since is handled once more."""
    server = RedisServer(appendonly="no")
    server.start()
    try:
        it = Projection(application, server)
        with it.app.run() as run:
            run.until_running()
            with Load(it.app, rate=400):
                run.until(lambda: it.count > 200, 30, "something is written")
                it.ask("SAVE")
                saved = it.count
                run.until(lambda: it.count > saved + 200, 30, "more is written")
                server.kill()
                server.start()
                assert it.count < saved + 200
                run.let_run(0.7)
            run.until_drained()
            assert run.views[0].restarts == 0
        it.check()
    finally:
        server.close()


def test_a_server_that_hangs_costs_no_membership(application: Make) -> None:
    """It takes connections and never answers, for longer than the session: the worker keeps its shards."""
    server = RedisServer()
    server.start()
    try:
        it = Projection(application, server, settings={"timeout": "1s"})
        published = some(400)
        it.app.publish(*published[:200])
        with it.app.run() as run:
            run.until_running()
            run.until(lambda: it.app.lag() == 0, 30, "the first part")
            server.freeze()
            try:
                it.app.publish(*published[200:])
                wait_for_system(run, "cache")
                run.let_run(4.0)
                assert run.running() == 4
                assert "within its timeout of 1 s" in run.views[0].status.why
            finally:
                server.thaw()
            run.until_drained()
            assert run.views[0].restarts == 0
        it.check()
    finally:
        server.close()


def test_a_record_that_redis_refuses_is_a_dead_letter(application: Make, redis_server: RedisServer) -> None:
    """With its cause; nothing of it is there, and all others are, also behind those that make nothing."""
    it = Projection(application, redis_server)
    good = some(50)
    nothing = [Added(key="nothing", n=n) for n in range(20)]
    it.app.publish(*good[:25], *nothing, Added(key="bad", n=1), *nothing, *good[25:], *nothing)
    with it.app.run() as run:
        run.until_drained()
        run.until(lambda: run.views[0].status.dead_letters == 1, 10, "the dead letter is counted")
        it.app.publish(*some(50, start=50))
        run.until_drained()
        assert run.views[0].restarts == 0
    it.check(but=("bad", "nothing"))
    assert it.ask("EXISTS", "APP:text") == 0
    [letter] = it.app.dead_letters()
    headers = dict(letter.headers() or ())
    assert letter.key() == b"bad"
    assert headers["__streams.errors.exception"] == b"holdfast.errors.SinkRefused"
    assert b"HSET: WRONGTYPE" in (headers["__streams.errors.message"] or b"")
    assert Counter(event.key for event in it.app.decoded("adds"))["nothing"] == 60
