"""Workers whose async handlers ask a service, on real brokers: answers count once, in the key's order."""

from __future__ import annotations

from collections import Counter
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
from tests.support.events import Added, Taken
from tests.support.http_service import Asked, HttpServer, Say, http_server
from tests.support.load import Load
from tests.support.refused import ahead, allow_any_time

pytestmark = [pytest.mark.integration, pytest.mark.timeout(150)]
Make = Callable[..., Application]

ASK = """
from holdfast import Context, processor
from holdfast.sinks.http import HttpClient
from test_events import Added, Taken

@processor
async def handle(event: Added, gateway: HttpClient, at: Context) -> Taken:
    answer = await gateway.post("/charges", json=event)
    if answer.status == 402:
        return Taken(key=event.key, n=0)
    assert answer.is_success, f"the gateway said {answer}"
    return Taken(key=event.key, n=answer.json()["charged"])
"""
"""Everything is charged for once; who cannot pay gets 0."""


class Gateway:
    """A service that charges each key of idempotency once, and says the same whenever it is asked again.

    Attributes:
        charged: for each of those keys, the event; in the order of the first calls.
        trouble: says something else instead.
    """

    def __init__(self, server: HttpServer) -> None:
        self.server = server
        self.charged: dict[str, dict[str, Any]] = {}
        self.trouble: Callable[[Asked], Say | None] = lambda _: None
        server.answer = self._answer

    def _answer(self, asked: Asked) -> Say:
        trouble = self.trouble(asked)
        if trouble is not None:
            return trouble
        event = self.charged.setdefault(asked.key, asked.json())
        return Say(201, f'{{"charged": {event["n"]}}}')


class Payments:
    """An application that asks a gateway."""

    def __init__(self, make: Make, server: HttpServer, **options: Any) -> None:
        sink = {"type": "http", "url": server.url, "timeout": "4s", "call_timeout": "1s"}
        sink |= options.pop("settings", {})
        options = {"outputs": {"taken": (Taken,)}, "sinks": {"gateway": sink}, "asks": ["gateway"], **options}
        self.app = make(handler=ASK, tables={}, **options)
        self.gateway = Gateway(server)

    def check(self, *, but: str = "") -> None:
        """Every event was charged once and answered once, all in the order of its key."""
        expected = by_key((e.key, e.n) for e in self.app.decoded("adds") if e.key != but)
        assert by_key((e["key"], e["n"]) for e in self.gateway.charged.values()) == expected
        assert by_key((e.key, e.n) for e in self.app.decoded("taken")) == expected


@pytest.fixture
def payments(application: Make) -> Iterator[Callable[..., Payments]]:
    """Give a function that makes an application with its gateway."""
    with http_server() as server:
        yield lambda **options: Payments(application, server, **options)


def test_every_event_is_charged_and_answered_once(payments: Callable[..., Payments]) -> None:
    """With nothing wrong nothing is asked twice."""
    it = payments()
    it.app.publish(*some(1_000))
    with it.app.run() as run:
        run.until_drained()
    it.check()
    assert len(it.gateway.server.asked) == 1_000


def test_a_gateway_that_fails_and_dies_under_load_charges_each_once(
    payments: Callable[..., Payments],
) -> None:
    """Errors, lost answers, silence and death; the worker waits, and stays in its group."""
    it = payments()
    troubles = [Say(503), Say(drop=True), Say(hang=True), Say(half=True)]
    with it.app.run() as run:
        run.until_running()
        pid = run.pid()
        with Load(it.app, rate=200):
            for say in troubles:
                run.let_run(0.5)
                it.gateway.trouble = lambda _, say=say: say
                wait_for_system(run, "gateway")
                it.gateway.trouble = lambda _: None
                run.until(lambda: not run.views[0].status.waits_for, 30, "it goes on")
            it.gateway.server.stop()
            wait_for_system(run, "gateway")
            it.gateway.server.start()
        run.until_drained()
        assert (run.pid(), run.running()) == (pid, 4)
    it.check()


def test_an_answer_that_is_lost_was_charged_for(payments: Callable[..., Payments]) -> None:
    """The gateway did its work and the answer never came: it is asked again with the same key."""
    it = payments(settings={"attempts": 1})
    lost: set[str] = set()

    def lose_some(asked: Asked) -> Say | None:
        if len(lost) < 5 and asked.key not in lost:
            lost.add(asked.key)
            it.gateway.charged.setdefault(asked.key, asked.json())
            return Say(drop=True)
        return None

    it.gateway.trouble = lose_some
    it.app.publish(*some(300))
    with it.app.run() as run:
        run.until_drained()
    assert len(lost) == 5
    it.check()


def test_workers_that_are_killed_ask_again_with_the_same_keys(payments: Callable[..., Payments]) -> None:
    """Outputs are committed with the positions: each is there once."""
    it = payments(workers=2)
    kill_under_load(it.app, rate=200)
    it.check()


@pytest.mark.slow
def test_a_frozen_worker_that_wakes_publishes_nothing(payments: Callable[..., Payments]) -> None:
    """Its answers are another's by then."""
    it = payments()
    freeze_and_wake_under_load(it.app, rate=200)
    it.check()


def test_a_handler_that_fails_stops_its_shard_at_the_record(payments: Callable[..., Payments]) -> None:
    """All that was before it is committed, the other shards go on, and nothing is asked for twice."""
    it = payments()
    it.gateway.trouble = lambda asked: Say(418, "no") if asked.json()["key"] == "bad" else None
    good = some(200)
    it.app.publish(*good, Added(key="bad", n=-1), *some(200, start=200))
    with it.app.run() as run:
        run.until(lambda: len(run.views[0].shard_failures) == 1, 40, "a shard stops", failing=True)
        (stopped,) = run.views[0].shard_failures.values()
        run.until(lambda: it.app.lag() == stuck(it), 30, "the others go on", failing=True)
    assert "AssertionError: the gateway said 418" in stopped
    assert "Nothing was skipped" in stopped
    it.gateway.trouble = lambda _: None
    with it.app.run() as run:
        run.until_drained()
    it.check()
    asked = [asked.key for asked in it.gateway.server.asked]
    of_bad = next(key for key, event in it.gateway.charged.items() if event["key"] == "bad")
    assert asked.count(of_bad) == 2, "once by each of the two workers"


def stuck(it: Payments) -> int:
    """How many records are at and behind the bad one in its partition."""
    of_bad = next(m.partition() for m, e in it.app.records("adds") if e.key == "bad")
    there = [e.key for m, e in it.app.records("adds") if m.partition() == of_bad]
    return len(there) - there.index("bad")


def test_a_handler_that_fails_makes_a_dead_letter_where_that_is_declared(
    payments: Callable[..., Payments],
) -> None:
    """With its cause; the others go on."""
    it = payments(on_error="dead-letter")
    it.gateway.trouble = lambda asked: Say(418, "no") if asked.json()["key"] == "bad" else None
    good = some(100)
    it.app.publish(*good[:50], Added(key="bad", n=-1), *good[50:])
    with it.app.run() as run:
        run.until_drained()
        run.until(lambda: run.views[0].status.dead_letters == 1, 10, "the dead letter is counted")
    it.check(but="bad")
    (letter,) = it.app.dead_letters()
    assert b"the gateway said 418" in (dict(letter.headers() or ())["__streams.errors.message"] or b"")


def test_a_handler_that_fails_is_called_again_where_that_is_declared(
    payments: Callable[..., Payments],
) -> None:
    """Its shard waits for it, the others go on, and what was asked for beside it is not asked again."""
    it = payments(on_error="retry", retry={"first_wait": "50ms", "longest_wait": "500ms"})
    it.gateway.trouble = lambda asked: Say(418, "no") if asked.json()["key"] == "bad" else None
    it.app.publish(*some(200), Added(key="bad", n=-1), *some(200, start=200))
    with it.app.run() as run:
        run.until(lambda: run.views[0].status.shards.get("retrying"), 30, "its shard waits")
        run.until(lambda: it.app.lag() == stuck(it), 30, "the others go on")
        it.gateway.trouble = lambda _: None
        run.until_drained()
        assert run.views[0].restarts == 0
    it.check()
    asked = Counter(asked.key for asked in it.gateway.server.asked if asked.json()["key"] != "bad")
    assert max(asked.values()) == 1


def test_an_answer_that_the_brokers_refuse_is_set_aside_and_asked_for_once(
    payments: Callable[..., Payments],
) -> None:
    """Its time is two hours ahead; the record is found without asking for any of them again."""
    it = payments(on_error="dead-letter")
    allow_any_time(it.app)
    it.app.publish(*some(100))
    with it.app.producer() as producer:
        producer.publish(Added(key="bad", n=1), timestamp=ahead())
    it.app.publish(*some(100, start=100))
    with it.app.run() as run:
        run.until_drained()
        assert run.views[0].restarts == 0
    assert by_key((e.key, e.n) for e in it.app.decoded("taken")) == by_key(
        (e.key, e.n) for e in it.app.decoded("adds") if e.key != "bad"
    )
    assert [letter.key() for letter in it.app.dead_letters()] == [b"bad"]
    assert len(it.gateway.server.asked) == 201
