"""Workers with an HTTP sink, on real brokers and a real server: outages and deaths cost no call, no order."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests.support.application import Application
from tests.support.calls import Calls
from tests.support.downstream import (
    freeze_and_wake_under_load,
    kill_under_load,
    some,
    wait_for_system,
)
from tests.support.events import Added
from tests.support.http_service import Say, http_server
from tests.support.load import Load

pytestmark = [pytest.mark.integration, pytest.mark.timeout(150)]
Make = Callable[..., Application]


@pytest.fixture
def calls(application: Make) -> Iterator[Callable[..., Calls]]:
    """Give a function that makes an application with its service."""
    with http_server() as server:
        yield lambda **options: Calls(application, server, **options)


def test_every_event_is_one_call_in_the_order_of_its_key(calls: Callable[..., Calls]) -> None:
    """With nothing wrong no call is made twice."""
    it = calls()
    it.app.publish(*some(1_000))
    with it.app.run() as run:
        run.until_drained()
    it.check()
    assert len(it.server.asked) == 1_000


def test_a_service_that_comes_and_goes_gets_every_call(calls: Callable[..., Calls]) -> None:
    """Under load; the worker waits meanwhile, says so, and stays in its group."""
    it = calls()
    with it.app.run() as run:
        run.until_running()
        pid = run.pid()
        with Load(it.app, rate=200):
            for _ in range(3):
                run.let_run(0.7)
                it.server.stop()
                wait_for_system(run, "gateway")
                assert "had no answer" in run.views[0].status.why
                it.server.start()
                run.until(lambda: not run.views[0].status.waits_for, 30, "it goes on")
        run.until_drained()
        assert (run.pid(), run.running()) == (pid, 4)
    it.check()


def test_workers_that_are_killed_repeat_calls_with_the_same_keys(calls: Callable[..., Calls]) -> None:
    """So a service that knows them does nothing twice, and nothing is left out."""
    it = calls(workers=2)
    kill_under_load(it.app, rate=200)
    it.check()


def test_a_service_that_hangs_costs_no_membership(calls: Callable[..., Calls]) -> None:
    """It takes calls and never answers, for longer than the session; single ones try it meanwhile."""
    it = calls(settings={"call_timeout": "500ms", "attempts": 1})
    published = some(400)
    it.app.publish(*published[:200])
    with it.app.run() as run:
        run.until_running()
        run.until(lambda: it.app.lag() == 0, 30, "the first part")
        pid, before = run.pid(), len(it.server.asked)
        it.server.answer = lambda _: Say(hang=True)
        it.app.publish(*published[200:])
        wait_for_system(run, "gateway")
        run.let_run(6.0)
        assert run.running() == 4
        assert "had no answer within 0.5 s" in run.views[0].status.why
        hung = it.server.asked[before:]
        it.without_effect = hung
        assert len(hung) < 60, "it is tried, not flooded"
        it.server.answer = lambda _: Say()
        run.until_drained()
        assert (run.pid(), run.views[0].restarts) == (pid, 0)
    it.check()


def test_a_call_that_the_service_refuses_is_a_dead_letter(calls: Callable[..., Calls]) -> None:
    """With what it said; all other calls are made."""
    it = calls()
    it.server.answer = lambda asked: Say(422, "n must be positive") if "/bad" in asked.path else Say(201)
    good = some(50)
    it.app.publish(*good[:25], Added(key="bad", n=-1), *good[25:])
    with it.app.run() as run:
        run.until_drained()
        run.until(lambda: run.views[0].status.dead_letters == 1, 10, "the dead letter is counted")
    (letter,) = it.app.dead_letters()
    headers = dict(letter.headers() or ())
    assert letter.key() == b"bad"
    assert b"422 Unprocessable Entity: n must be positive" in (headers["__streams.errors.message"] or b"")
    it.without_effect = [asked for asked in it.server.asked if "/bad" in asked.path]
    it.check(but="bad")


def test_a_service_that_refuses_everything_stops_the_shards(calls: Callable[..., Calls]) -> None:
    """That is no matter of single records."""
    it = calls(letter_limit={"share": 0.5, "of": 20})
    it.server.answer = lambda _: Say(422, "a new schema?")
    it.app.publish(*some(2_000))
    with it.app.run() as run:
        run.until(lambda: run.supervisor.all_ended, 60, "the worker ends", failing=True)
    why = run.views[0].error
    assert "10 of the last 20 records of this shard were set aside, and here is one more" in why
    assert "a new schema?" in why
    assert 40 <= len(it.app.dead_letters()) <= 2_000 - it.app.lag()


@pytest.mark.slow
def test_a_frozen_worker_that_wakes_repeats_only_known_calls(calls: Callable[..., Calls]) -> None:
    """Another one has made them meanwhile, with the same keys."""
    it = calls()
    freeze_and_wake_under_load(it.app, rate=200)
    it.check()
