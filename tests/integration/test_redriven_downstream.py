"""Redriven records on their way to a system downstream: each arrives there once, whoever is killed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.integration.test_dlq import dlq, letters, mend
from tests.support.application import Application, Run
from tests.support.downstream import by_key
from tests.support.events import Added, Taken
from tests.support.http_service import Asked, HttpServer, Say, http_server
from tests.support.postgres import PostgresServer
from tests.support.versions import drain

pytestmark = [pytest.mark.integration, pytest.mark.slow, pytest.mark.timeout(150)]
Make = Callable[..., Application]

UNTIL_MENDED = """
import pathlib

def judge(event):
    if event.text == "bad" and not (pathlib.Path(__file__).parent / "mended").exists():
        raise ValueError(f"{event.key} {event.n} cannot be handled")
"""
PROJECT = (
    UNTIL_MENDED
    + """
from holdfast import processor
from holdfast.sinks.postgres import Insert
from test_events import Added

@processor
def handle(event: Added) -> Insert:
    judge(event)
    return Insert("entries", {"key": event.key, "n": event.n})
"""
)
CALL = """
from holdfast import processor
from holdfast.sinks.http import HttpCall
from test_events import Added

@processor
def handle(event: Added) -> HttpCall:
    return HttpCall("POST", "/adds", event)
"""
ASK = """
from holdfast import processor
from holdfast.sinks.http import HttpClient
from test_events import Added, Taken

@processor
async def handle(event: Added, gateway: HttpClient) -> Taken:
    answer = await gateway.post("/adds", json=event)
    assert answer.is_success, f"the gateway said {answer}"
    return Taken(key=event.key, n=event.n)
"""
COUNT = 120


def with_bad_ones() -> list[Added]:
    """Numbers of twelve keys, of which a quarter cannot be handled."""
    return [Added(key=f"key-{n % 12}", n=n, text="bad" if n % 4 == 1 else "") for n in range(COUNT)]


@pytest.fixture
def gateway() -> Iterator[HttpServer]:
    """A service that refuses what is bad, until it is told otherwise."""
    with http_server() as server:
        server.answer = lambda asked: Say(422) if asked.json()["text"] == "bad" else Say(201)
        yield server


def taken(server: HttpServer) -> list[Asked]:
    """The first call with each key of idempotency."""
    first: dict[str, Asked] = {}
    for asked in server.asked:
        first.setdefault(asked.key, asked)
    return list(first.values())


def redrive_while_a_worker_is_killed(app: Application, run: Run) -> None:
    """Send all letters, at a rate at which the worker is killed in the midst of them."""
    run.until_running()
    done = dlq(app, "redrive", "--all", "--rate", "60/s")
    assert (done.returncode, f"{COUNT // 4} letters redriven" in done.stderr) == (0, True), done.stderr
    run.kill()


def everything_is_handled(run: Run, seen: Callable[[], int], expected: int) -> None:
    """Wait until a system has as many as it should."""
    run.until(lambda: seen() >= expected, 60, f"{expected} in the system", failing=True)


def test_a_row_for_each_redriven_record_and_no_second_one(
    application: Make, postgres: PostgresServer
) -> None:
    """Their positions in the redrive topic are beside the rows, as those of all others are."""
    with postgres.database() as name, postgres.connect(name) as connection:
        connection.execute(b"CREATE TABLE entries (key text NOT NULL, n int NOT NULL)")
        connection.commit()
        sinks = {"history": {"type": "postgres", "dsn": postgres.dsn(name), "timeout": "2s"}}
        app = application(
            handler=PROJECT,
            tables={},
            outputs={},
            sinks=sinks,
            sink="history",
            on_error="dead-letter",
            redrive=True,
        )

        def rows() -> list[tuple[Any, ...]]:
            found = connection.execute(b"SELECT key, n FROM entries").fetchall()
            connection.commit()
            return found

        app.publish(*with_bad_ones())
        drain(app)
        assert len(rows()) == COUNT * 3 // 4
        mend(app)
        with app.run() as run:
            redrive_while_a_worker_is_killed(app, run)
            everything_is_handled(run, lambda: len(rows()), COUNT)
        drain(app)
        assert sorted(n for _, n in rows()) == list(range(COUNT))
        [place] = {
            row[0] for row in connection.execute(b"SELECT topic FROM holdfast_positions").fetchall()
        } - {app.names.topic("adds")}
        assert place == app.topology.redrive_topic
    assert letters(app) == []


def test_a_call_that_was_refused_is_made_again_when_it_is_redriven(
    application: Make, gateway: HttpServer
) -> None:
    """Once for each letter, with a key of idempotency that it keeps when a worker is killed."""
    sinks = {"gateway": {"type": "http", "url": gateway.url, "timeout": "4s", "call_timeout": "1s"}}
    app = application(
        handler=CALL,
        tables={},
        outputs={},
        sinks=sinks,
        sink="gateway",
        on_error="dead-letter",
        redrive=True,
    )
    app.publish(*with_bad_ones())
    drain(app)
    assert len(app.dead_letters()) == COUNT // 4
    refused = {asked.key for asked in taken(gateway) if asked.json()["text"] == "bad"}
    gateway.answer = lambda _: Say(201)
    with app.run() as run:
        redrive_while_a_worker_is_killed(app, run)
        everything_is_handled(run, lambda: len(taken(gateway)), COUNT + COUNT // 4)
    drain(app)
    again = [asked.json() for asked in taken(gateway) if asked.key not in refused]
    assert sorted(each["n"] for each in again) == list(range(COUNT))
    assert letters(app) == []


def test_an_async_handler_asks_again_for_what_is_redriven(application: Make, gateway: HttpServer) -> None:
    """And each answer is published once."""
    sinks = {"gateway": {"type": "http", "url": gateway.url, "timeout": "4s", "call_timeout": "1s"}}
    app = application(
        handler=ASK,
        tables={},
        outputs={"taken": (Taken,)},
        sinks=sinks,
        asks=["gateway"],
        on_error="dead-letter",
        redrive=True,
    )
    app.publish(*with_bad_ones())
    drain(app)
    gateway.answer = lambda _: Say(201)
    with app.run() as run:
        redrive_while_a_worker_is_killed(app, run)
        everything_is_handled(run, lambda: len(app.read("taken")), COUNT)
    drain(app)
    published = by_key((event.key, event.n) for event in app.decoded("taken"))
    assert {key: sorted(numbers) for key, numbers in published.items()} == {
        f"key-{n}": list(range(n, COUNT, 12)) for n in range(12)
    }
    assert letters(app) == []
