"""`holdfast breakers` on real workers and systems: outages are seen, and orders followed, from anywhere."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from confluent_kafka.admin import AdminClient

from tests.support.application import Application, Run
from tests.support.command import holdfast, rows
from tests.support.downstream import by_key, some
from tests.support.events import Added, Taken
from tests.support.http_service import Asked, HttpServer, Say, http_server
from tests.support.load import Load
from tests.support.postgres import PostgresServer

pytestmark = [pytest.mark.integration, pytest.mark.timeout(150)]
Make = Callable[..., Application]

HANDLERS = """
from holdfast import processor
from holdfast.sinks.http import HttpClient
from holdfast.sinks.postgres import Insert
from test_events import Added, Taken

@processor
async def handle(event: Added, gateway: HttpClient) -> Taken:
    answer = await gateway.post("/charges", json=event)
    return Taken(key=event.key, n=answer.json()["charged"])

@processor
def copy(event: Added) -> Taken:
    return Taken(key=event.key, n=event.n)

@processor
def store(event: Added) -> Insert:
    return Insert("entries", {"key": event.key, "n": event.n})
"""
"""One asks a service, one writes to a database, and one has no system downstream."""


class Shop:
    """An application with a service, a database, and a processor that needs neither."""

    def __init__(self, make: Make, server: HttpServer, postgres: PostgresServer, database: str) -> None:
        self.server = server
        self.charged: dict[str, dict[str, Any]] = {}
        self.trouble: Say | None = None
        server.answer = self._answer
        self._connect = lambda: postgres.connect(database)
        self.app = make(
            handler=HANDLERS,
            tables={},
            outputs={"taken": (Taken,), "copies": (Taken,)},
            sinks={
                "gateway": {"type": "http", "url": server.url, "timeout": "4s", "call_timeout": "1s"},
                "history": {"type": "postgres", "dsn": postgres.dsn(database), "timeout": "2s"},
            },
            asks=["gateway"],
            others={
                "copier": {"handler": "test_handler:copy", "reads": ["adds"], "writes": ["copies"]},
                "writer": {"handler": "test_handler:store", "reads": ["adds"], "sink": "history"},
            },
        )

    def _answer(self, asked: Asked) -> Say:
        if self.trouble is not None:
            return self.trouble
        event = self.charged.setdefault(asked.key, asked.json())
        return Say(201, f'{{"charged": {event["n"]}}}')

    def command(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run `holdfast breakers` as an operator does: a process of its own, which knows nothing."""
        return holdfast("breakers", *arguments, "-b", self.app.servers, folder=self.app.folder)

    def listing(self) -> dict[str, dict[str, Any]]:
        """The breakers by their sink; each has one worker here."""
        return {row["sink"]: row for row in rows(self.command()) if row["type"] == "breaker"}

    def until_listed(self, run: Run, sink: str, **wanted: Any) -> dict[str, Any]:
        """Wait until a breaker is told of as wanted."""
        seen: dict[str, Any] = {}

        def is_so() -> bool:
            run.let_run(0.3)
            seen.update(self.listing()[sink])
            return all(seen[key] == value for key, value in wanted.items())

        run.until(is_so, 40, f"{sink} is listed with {wanted}")
        return seen

    def stored(self) -> list[tuple[str, int]]:
        """The rows of the database, in their order."""
        with self._connect() as connection:
            return connection.execute("SELECT key, n FROM entries ORDER BY id").fetchall()

    def check(self) -> None:
        """Every event was charged, answered, copied and stored once, in the order of its key."""
        expected = by_key((e.key, e.n) for e in self.app.decoded("adds"))
        assert by_key((e["key"], e["n"]) for e in self.charged.values()) == expected
        assert by_key((e.key, e.n) for e in self.app.decoded("taken")) == expected
        assert by_key((e.key, e.n) for e in self.app.decoded("copies")) == expected
        assert by_key(self.stored()) == expected


@pytest.fixture
def shop(application: Make, postgres: PostgresServer) -> Iterator[Shop]:
    """Give the application with its systems."""
    with http_server() as server, postgres.database() as name:
        with postgres.connect(name) as connection:
            connection.execute("CREATE TABLE entries (id bigserial PRIMARY KEY, key text, n int)")
        yield Shop(application, server, postgres, name)


def test_an_outage_is_seen_with_what_waits_for_it(shop: Shop) -> None:
    """Its state, counts, reason and paused shards; the other system's breaker stays closed."""
    it = shop
    assert [row["state"] for row in it.listing().values()] == [None, None]
    with it.app.run() as run:
        run.until_running(12)
        it.until_listed(run, "history", state="closed", stale=False)
        it.trouble = Say(503, "overloaded")
        it.app.publish(*some(300))
        seen = it.until_listed(run, "gateway", state="open", paused=[0, 1, 2, 3])
        assert "which reaches failure_rate 0.5" in seen["reason"]
        assert "503" in seen["trouble"]
        assert (seen["processor"], seen["slot"], seen["pid"]) == ("counter", "slot-0", run.pid(0))
        assert seen["failed"] >= 20
        assert seen["tries_again_s"] is not None
        it.trouble = None
        it.until_listed(run, "gateway", state="closed", paused=[])
        run.until_drained()
    assert [row["state"] for row in it.listing().values()] == [None, None], "workers that ended are gone"
    it.check()


def test_a_sink_that_is_forced_open_gets_no_calls_until_it_is_released(shop: Shop) -> None:
    """Its inputs wait, others go on; also a worker that is killed meanwhile comes back forced."""
    it = shop
    it.app.publish(*some(200))
    with it.app.run() as run:
        run.until_drained()
        done = it.command("force", "gateway", "open", "--why", "a new certificate", "--by", "ann")
        assert (done.returncode, done.stderr) == (0, "gateway is forced open: 1 of 1 breaker follows.\n")
        calls = len(it.server.asked)
        it.app.publish(*some(200, start=200))
        run.until(lambda: len(it.stored()) == len(it.app.decoded("copies")) == 400, 30, "the others go on")
        run.kill(0)
        run.until_running(12)
        run.let_run(1.5)
        assert len(it.server.asked) == calls
        assert run.views[0].status.why == "forced open by ann: a new certificate"
        seen = it.until_listed(run, "gateway", pid=run.pid(0), paused=[0, 1, 2, 3])
        assert (seen["state"], seen["refused"]) == ("forced open", 0)
        (order,) = (row for row in rows(it.command()) if row["type"] == "order")
        assert (order["sink"], order["mode"], order["by"], order["why"]) == (
            *("gateway", "open", "ann", "a new certificate"),
        )
        assert (order["followed_by"], order["breakers"]) == (1, 1)
        done = it.command("release", "gateway")
        assert (done.returncode, done.stderr) == (0, "gateway is released: 1 of 1 breaker follows.\n")
        run.until(lambda: len(it.server.asked) > calls, 2, "calls are made again")
        run.until_drained()
    it.check()


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_orders_for_a_database_end_by_themselves_and_let_calls_pass_in_an_outage(
    shop: Shop, postgres: PostgresServer
) -> None:
    """Open for a time under load; closed while it is dead, when it goes on being asked."""
    it = shop
    with it.app.run() as run:
        run.until_running(12)
        with Load(it.app, rate=200):
            run.until(it.stored, 20, "rows")
            assert it.command("force", "history", "open", "--why", "test", "--for", "8s").returncode == 0
            run.until(lambda: run.views[2].status.why.startswith("forced open by "), 8, "it waits")
            before = len(it.stored())
            run.until(lambda: len(it.stored()) > before + 100, 30, "it goes on by itself")
        assert it.command("force", "history", "closed", "--why", "test").returncode == 0
        postgres.kill()
        it.app.publish(Added(key="k0", n=-1))
        run.until(lambda: run.views[2].status.waits_for == "history", 20, "it waits")
        first = it.until_listed(run, "history", state="forced closed", paused=[0, 1, 2, 3])
        run.let_run(6.0)
        assert it.listing()["history"]["failed"] > first["failed"]
        assert it.listing()["history"]["state"] == "forced closed"
        postgres.start()
        run.until_drained()
        assert it.command("release", "history").returncode == 0
        it.until_listed(run, "history", state="closed")
    it.check()


@pytest.mark.slow
def test_a_topic_that_is_deleted_stops_nothing_and_is_followed_when_it_is_back(shop: Shop) -> None:
    """The command says what is missing."""
    it = shop
    with it.app.run() as run:
        run.until_running(12)
        it.until_listed(run, "gateway", state="closed")
        admin, topic = AdminClient({"bootstrap.servers": it.app.servers}), it.app.topology.controls_topic
        admin.delete_topics([topic])[topic].result(20)
        it.app.publish(*some(200))
        run.until_drained()
        done = it.command()
        assert (done.returncode, "`holdfast apply` creates it" in done.stderr) == (1, True)
        it.app.provision()
        it.until_listed(run, "gateway", state="closed")
        assert it.command("force", "gateway", "open", "--why", "x").returncode == 0
        assert it.command("release", "gateway").returncode == 0
        assert all(view.restarts == 0 for view in run.views)
    it.check()
