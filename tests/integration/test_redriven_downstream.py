"""Redriven records on their way to a system downstream: each arrives there once, whoever is killed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.support.application import Application, Run
from tests.support.downstream import by_key
from tests.support.events import Added, Taken
from tests.support.http_service import Asked, HttpServer, Say, http_server
from tests.support.letters import dlq, letters, mend
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
ASK_THEN_FAIL = (
    UNTIL_MENDED
    + """
from holdfast import processor
from holdfast.sinks.http import HttpClient
from test_events import Added, Taken

@processor
async def handle(event: Added, gateway: HttpClient) -> Taken:
    answer = await gateway.post("/charges", json=event)
    assert answer.is_success, f"the gateway said {answer}"
    judge(event)
    return Taken(key=event.key, n=event.n)
"""
)
REDRIVES = {"on_error": "dead-letter", "redrive": True}
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


def sinks(server: HttpServer) -> dict[str, dict[str, str]]:
    """The service as a sink."""
    return {"gateway": {"type": "http", "url": server.url, "timeout": "4s", "call_timeout": "1s"}}


def keys_of(server: HttpServer, after: int) -> set[str]:
    """The keys of idempotency of the calls after the first so many."""
    return {asked.key for asked in server.asked[after:]}


def redrive_while_a_worker_is_killed(app: Application, run: Run) -> None:
    """Send all letters, at a rate at which the worker is killed in the midst of them."""
    run.until_running()
    done = dlq(app, "redrive", "--all", "--rate", "60/s")
    assert (done.returncode, f"{COUNT // 4} letters redriven" in done.stderr) == (0, True), done.stderr
    run.kill()


def test_a_row_for_each_redriven_record_and_no_second_one(
    application: Make, postgres: PostgresServer
) -> None:
    """Their positions in the redrive topic are beside the rows, as those of all others are."""
    with postgres.database() as name, postgres.connect(name) as connection:
        connection.execute(b"CREATE TABLE entries (key text NOT NULL, n int NOT NULL)")
        connection.commit()
        history = {"type": "postgres", "dsn": postgres.dsn(name), "timeout": "2s"}
        app = application(
            handler=PROJECT, sink="history", sinks={"history": history}, tables={}, outputs={}, **REDRIVES
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
            run.until(lambda: len(rows()) >= COUNT, 60, "all rows", failing=True)
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
    """With its key of idempotency, so that whatever else repeats it does nothing twice."""
    app = application(handler=CALL, sink="gateway", sinks=sinks(gateway), tables={}, outputs={}, **REDRIVES)
    app.publish(*with_bad_ones())
    drain(app)
    assert len(app.dead_letters()) == COUNT // 4
    refused = {asked.key for asked in gateway.asked if asked.json()["text"] == "bad"}
    before = len(gateway.asked)
    gateway.answer = lambda _: Say(201)
    with app.run() as run:
        redrive_while_a_worker_is_killed(app, run)
        run.until(lambda: keys_of(gateway, before) >= refused, 60, "the calls of all letters", failing=True)
    drain(app)
    assert keys_of(gateway, before) == refused
    assert letters(app) == []


def test_what_was_charged_before_its_handler_failed_is_not_charged_again(
    application: Make, gateway: HttpServer
) -> None:
    """The service knows the redriven record by the same key; and each answer is published once."""
    app = application(
        handler=ASK_THEN_FAIL,
        asks=["gateway"],
        sinks=sinks(gateway),
        tables={},
        outputs={"taken": (Taken,)},
        **REDRIVES,
    )
    gateway.answer = lambda _: Say(201)
    app.publish(*with_bad_ones())
    drain(app)
    assert len(app.dead_letters()) == COUNT // 4
    mend(app)
    with app.run() as run:
        redrive_while_a_worker_is_killed(app, run)
        run.until(lambda: len(app.read("taken")) >= COUNT, 60, "all answers", failing=True)
    drain(app)
    assert len(gateway.asked) >= COUNT + COUNT // 4, "they were asked for again"
    charged = {asked.key: asked.json()["n"] for asked in gateway.asked}
    assert sorted(charged.values()) == list(range(COUNT)), "by the same keys"
    published = by_key((event.key, event.n) for event in app.decoded("taken"))
    assert {key: sorted(numbers) for key, numbers in published.items()} == {
        f"key-{n}": list(range(n, COUNT, 12)) for n in range(12)
    }
    assert letters(app) == []


def test_a_service_that_keeps_its_refusals_decides_anew_by_new_keys(
    application: Make, gateway: HttpServer
) -> None:
    """By the old ones it says the same again, and the letters are open once more."""
    said: dict[str, Say] = {}
    refuses = True

    def answer(asked: Asked) -> Say:
        return said.setdefault(asked.key, Say(422) if refuses and asked.json()["text"] == "bad" else Say(201))

    gateway.answer = answer
    app = application(handler=CALL, sink="gateway", sinks=sinks(gateway), tables={}, outputs={}, **REDRIVES)
    app.publish(*with_bad_ones())
    drain(app)
    refuses = False
    assert dlq(app, "redrive", "--all").returncode == 0
    drain(app)
    assert {it["attempts"] for it in letters(app)} == {2}
    assert dlq(app, "redrive", "--all", "--new-keys").returncode == 0
    drain(app)
    assert letters(app) == []
    accepted = {asked.json()["n"] for asked in gateway.asked if said[asked.key].status == 201}
    assert accepted == set(range(COUNT))
