"""States of circuit breakers become intervals."""

from __future__ import annotations

import time
from threading import Event

from holdfast.chaos.run.breakers import BreakerStates, BreakerWatch
from holdfast.chaos.run.result import Span
from holdfast.runtime.status import WorkerStatus
from holdfast.runtime.supervisor import WorkerSpec, WorkerView


def worker(**breakers: str) -> WorkerView:
    """A worker whose breakers are in these states."""
    view = WorkerView(WorkerSpec("payments", "slot", lambda _: []))
    view.take(WorkerStatus(breakers=breakers))
    return view


def test_a_state_lasts_until_another_one_is_seen() -> None:
    states = BreakerStates()
    for at, state in enumerate(["closed", "closed", "open", "half-open", "closed"]):
        states.see({"worker-0": worker(gateway=state), "worker-1": worker(gateway="closed")}, 10.0 + at)
    assert sorted(states.as_spans(10.0), key=lambda span: (span.subject, span.began)) == [
        Span("gateway of worker-0", "closed", 0.0, 2.0),
        Span("gateway of worker-0", "open", 2.0, 3.0),
        Span("gateway of worker-0", "half-open", 3.0, 4.0),
        Span("gateway of worker-0", "closed", 4.0, None),
        Span("gateway of worker-1", "closed", 0.0, None),
    ]


def test_a_worker_that_is_gone_has_no_breaker() -> None:
    """Killed, and started again in the same slot; or stopped, and not supervised any more."""
    states, killed = BreakerStates(), worker(gateway="open", cache="closed")
    stopped = worker(gateway="closed")
    states.see({"worker-0": killed, "worker-1": stopped}, 1.0)
    killed.end_life()
    states.see({"worker-0": killed}, 2.0)
    killed.take(WorkerStatus(breakers={"gateway": "closed"}))
    states.see({"worker-0": killed}, 3.0)
    assert sorted(states.as_spans(0.0), key=lambda span: (span.subject, span.began)) == [
        Span("cache of worker-0", "closed", 1.0, 2.0),
        Span("gateway of worker-0", "open", 1.0, 2.0),
        Span("gateway of worker-0", "closed", 3.0, None),
        Span("gateway of worker-1", "closed", 1.0, 2.0),
    ]


def test_workers_without_breakers_have_no_states() -> None:
    states = BreakerStates()
    states.see({"worker-0": worker()}, 1.0)
    assert states.as_spans(0.0) == ()


def test_a_watch_looks_again_and_again() -> None:
    """Whatever the workers do meanwhile."""
    view, looked_twice = worker(gateway="closed"), Event()
    looks = 0

    def views() -> dict[str, WorkerView]:
        nonlocal looks
        looks += 1
        if looks == 2:
            view.take(WorkerStatus(breakers={"gateway": "open"}))
        elif looks == 3:
            looked_twice.set()
        return {"worker-0": view}

    began = time.monotonic()
    with BreakerWatch(views) as watch:
        assert looked_twice.wait(10)
    assert [span.state for span in watch.as_spans(began)] == ["closed", "open"]
