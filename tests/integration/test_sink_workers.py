"""Workers with a sink, on real brokers and PostgreSQL: what is down, killed or wrong costs no record."""

from __future__ import annotations

from collections.abc import Callable, Iterator
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
from tests.support.postgres import PostgresServer
from tests.support.refused import ahead, allow_any_time

pytestmark = [pytest.mark.integration, pytest.mark.timeout(150)]
Make = Callable[..., Application]

PROJECT = """
from holdfast import processor
from holdfast.sinks.postgres import Insert, Upsert
from test_events import Added

@processor
def handle(event: Added) -> list[Insert | Upsert]:
    return [
        Insert("entries", {"key": event.key, "n": event.n}),
        Upsert("latest", {"key": event.key, "n": event.n, "text": event.text or None}),
    ]
"""
"""A row for every event, and the last one of each key."""

TABLES = """
CREATE TABLE entries (id bigserial PRIMARY KEY, key text NOT NULL, n int NOT NULL);
CREATE TABLE latest (key text PRIMARY KEY, n int NOT NULL CHECK (n >= 0), text varchar(20));
"""


class Projection:
    """An application whose rows are in a database."""

    def __init__(self, make: Make, server: PostgresServer, database: str, **options: Any) -> None:
        sink = {"type": "postgres", "dsn": server.dsn(database), "timeout": "2s"}
        sink |= options.pop("settings", {})
        self.app = make(
            handler=PROJECT, tables={}, outputs={}, sinks={"history": sink}, sink="history", **options
        )
        self._server = server
        self._database = database

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        """What the database answers."""
        with self._server.connect(self._database) as connection:
            return connection.execute(query.encode()).fetchall()

    def change(self, statement: str) -> None:
        """Change the database."""
        with self._server.connect(self._database) as connection:
            connection.execute(statement.encode())

    def check(self, *, but: str = "") -> None:
        """Every event of the log has its one row, in the order of its key, and the last one counts."""
        expected = by_key((e.key, e.n) for e in self.app.decoded("adds") if e.key != but)
        assert by_key(self.rows("SELECT key, n FROM entries ORDER BY id")) == expected
        assert dict(self.rows("SELECT key, n FROM latest")) == {k: v[-1] for k, v in expected.items()}


@pytest.fixture
def projection(application: Make, postgres: PostgresServer) -> Iterator[Callable[..., Projection]]:
    """Give a function that makes an application with its database."""
    with postgres.database() as name:
        with postgres.connect(name) as connection:
            connection.execute(TABLES)
        yield lambda **options: Projection(application, postgres, name, **options)


def test_every_event_becomes_its_rows(projection: Callable[..., Projection]) -> None:
    """And the positions are beside them."""
    it = projection()
    published = some(2_000)
    it.app.publish(*published)
    with it.app.run() as run:
        run.until_drained()
    it.check()
    stored = it.rows("SELECT sum(position) FROM holdfast_positions")
    assert stored == [(len(published),)]


def test_workers_that_are_killed_write_nothing_twice(projection: Callable[..., Projection]) -> None:
    """Two of them, one SIGKILLed again and again under load."""
    it = projection(workers=2)
    kill_under_load(it.app, rate=400)
    it.check()


def test_a_database_that_is_killed_five_times_equals_the_log(
    projection: Callable[..., Projection], postgres: PostgresServer
) -> None:
    """While it is away the worker waits, says so, and stays in its group."""
    it = projection()
    with it.app.run() as run:
        run.until_running()
        pid = run.pid()
        with Load(it.app, rate=400):
            for _ in range(5):
                run.let_run(0.7)
                postgres.kill()
                wait_for_system(run, "history")
                postgres.start()
                run.until(lambda: not run.views[0].status.waits_for, 30, "it goes on")
        run.until_drained()
        assert run.pid() == pid
        assert run.running() == 4
    it.check()


COPY = """
CREATE TABLE entries_before AS TABLE entries;
CREATE TABLE latest_before AS TABLE latest;
CREATE TABLE positions_before AS TABLE holdfast_positions;
"""
BACK = """
BEGIN;
LOCK TABLE holdfast_positions;
TRUNCATE entries, latest, holdfast_positions;
INSERT INTO entries TABLE entries_before;
INSERT INTO latest TABLE latest_before;
INSERT INTO holdfast_positions TABLE positions_before;
COMMIT;
"""


def test_what_a_standby_lacked_that_is_the_primary_now_is_written_again(
    projection: Callable[..., Projection],
) -> None:
    """The database is what it was a while ago; the worker goes back to that, and says so."""
    it = projection()
    published = some(600)
    it.app.publish(*published[:200])
    with it.app.run() as run:
        run.until_running()
        run.until(lambda: it.app.lag() == 0, 30, "the first part")
        it.change(COPY)
        it.app.publish(*published[200:400])
        run.until(lambda: it.app.lag() == 0, 30, "the second part")
        it.change(BACK)
        it.app.publish(*published[400:])
        run.until(lambda: it.rows("SELECT count(*) FROM entries") == [(len(published),)], 30, "all of them")
        run.until_drained()
        assert run.views[0].restarts == 0
    it.check()


def test_a_database_that_hangs_costs_no_membership(
    projection: Callable[..., Projection], postgres: PostgresServer
) -> None:
    """It takes connections and never answers, for longer than the session: the worker keeps its shards."""
    it = projection(settings={"timeout": "1s"})
    published = some(400)
    it.app.publish(*published[:200])
    with it.app.run() as run:
        run.until_running()
        run.until(lambda: it.app.lag() == 0, 30, "the first part")
        pid = run.pid()
        postgres.freeze()
        try:
            it.app.publish(*published[200:])
            wait_for_system(run, "history")
            run.let_run(4.0)
            assert run.running() == 4
            assert "time" in run.views[0].status.why
        finally:
            postgres.thaw()
        run.until_drained()
        assert run.pid() == pid
        assert run.views[0].restarts == 0
    it.check()


@pytest.mark.slow
def test_a_worker_that_waits_hands_over_and_stops_at_once(
    projection: Callable[..., Projection], postgres: PostgresServer
) -> None:
    """A rebalance, and its end, do not wait for the database."""
    it = projection()
    published = some(400)
    postgres.kill()
    try:
        it.app.publish(*published)
        with it.app.run("one") as first:
            wait_for_system(first, "history")
            with it.app.run("two") as second:
                second.until_running(2)
                wait_for_system(second, "history")
    finally:
        postgres.start()
    with it.app.run() as run:
        run.until_drained()
    it.check()


def test_a_record_that_the_database_refuses_is_a_dead_letter(projection: Callable[..., Projection]) -> None:
    """With its cause; neither of its rows is there, and all other records are."""
    it = projection()
    good = some(50)
    it.app.publish(*good[:25], Added(key="bad", n=-1), *good[25:])
    with it.app.run() as run:
        run.until_drained()
        run.until(lambda: run.views[0].status.dead_letters == 1, 10, "the dead letter is counted")
    it.check(but="bad")
    (letter,) = it.app.dead_letters()
    headers = dict(letter.headers() or ())
    assert letter.key() == b"bad"
    assert headers["__streams.errors.exception"] == b"holdfast.errors.SinkRefused"
    assert b"latest_n_check" in (headers["__streams.errors.message"] or b"")


def test_a_record_that_the_database_refuses_may_stop_its_shard(projection: Callable[..., Projection]) -> None:
    """Nothing behind it is written. When the table is mended it is written in its order, and is no letter."""
    it = projection(on_refused="stop")
    bad = Added(key="bad", n=-1)
    it.app.publish(*some(200), bad, *some(300, start=200))
    read = it.app.read("adds")
    first = next(record for record in read if record.key() == b"bad")
    kept = [record for record in read if record.partition() == first.partition()]
    behind = sum(record.offset() >= first.offset() for record in kept)
    with it.app.run() as run:
        run.until(lambda: bool(run.views[0].shard_failures), 30, "the shard stops", failing=True)
        run.until(lambda: it.app.lag() == behind, 30, "all others are written", failing=True)
        (said,) = run.views[0].shard_failures.values()
    assert f"{first.topic()}[{first.partition()}]@{first.offset()}: " in said
    assert "Mend the cause and start again; or declare `on_refused: dead-letter`" in said
    assert len(it.rows("SELECT n FROM entries")) == len(read) - behind
    assert it.rows("SELECT key FROM entries WHERE key = 'bad'") == []
    it.change("ALTER TABLE latest DROP CONSTRAINT latest_n_check")
    with it.app.run() as run:
        run.until_drained()
    it.check()
    assert it.app.dead_letters() == []


def test_a_missing_table_ends_the_worker_that_says_which(projection: Callable[..., Projection]) -> None:
    """Nothing is set aside for it: when the table is there, the rows are."""
    it = projection()
    published = some(20)
    it.change("DROP TABLE latest")
    it.app.publish(*published)
    with it.app.run() as run:
        run.until(lambda: "there is no table 'latest'" in run.views[0].error, 30, "it is said", failing=True)
    it.change("CREATE TABLE latest (key text PRIMARY KEY, n int, text text)")
    with it.app.run() as run:
        run.until_drained()
    it.check()
    assert it.app.dead_letters() == []


def test_a_frozen_worker_that_wakes_writes_nothing(projection: Callable[..., Projection]) -> None:
    """Another owner has written meanwhile: its token is larger."""
    it = projection()
    freeze_and_wake_under_load(it.app, rate=300)
    it.check()


def test_a_letter_of_the_sink_whose_time_is_refused_gets_through_with_another(
    projection: Callable[..., Projection],
) -> None:
    """The database refuses the row, and the brokers the time of its dead letter."""
    it = projection()
    allow_any_time(it.app)
    it.app.publish(*some(100))
    with it.app.producer() as producer:
        producer.publish(Added(key="bad", n=-1), timestamp=(at := ahead()))
    it.app.publish(*some(100, start=100))
    with it.app.run() as run:
        run.until_drained()
        assert run.views[0].restarts == 0
    it.check(but="bad")
    [letter] = it.app.dead_letters()
    headers = dict(letter.headers() or ())
    assert (letter.key(), headers["holdfast.timestamp"]) == (b"bad", str(at).encode())
    assert headers["__streams.errors.exception"] == b"holdfast.errors.SinkRefused"
