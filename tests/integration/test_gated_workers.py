"""Workers whose service stands behind a gate, on real brokers: its faults cost no call, and are seen."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path

import pytest

from holdfast.chaos.faults.fault import Fault
from holdfast.chaos.faults.sinks import ServiceWrong, SystemDown, SystemSlow
from holdfast.chaos.gates.gates import Gates
from holdfast.chaos.run.breakers import BreakerWatch
from tests.support.application import Application, Run
from tests.support.calls import Calls
from tests.support.gates import declared
from tests.support.http_service import http_server
from tests.support.load import Load

pytestmark = [pytest.mark.integration, pytest.mark.timeout(180)]

BREAKER = {"minimum_calls": 5, "window_calls": 10, "open": "300ms", "open_limit": "600ms"}


def wait_until(run: Run, state: str) -> None:
    """Until the worker's breaker is in a state."""
    run.until(lambda: run.views[0].status.breakers == {"gateway": state}, 60, f"its breaker is {state}")


def test_a_service_that_is_down_slow_and_wrong_gets_every_call_once(
    application: Callable[..., Application], tmp_path: Path
) -> None:
    """Its breaker opens each time and closes by itself; both are in the states that a run records."""
    with http_server() as server, contextlib.ExitStack() as stack:
        topology = declared(tmp_path, gateway={"type": "http", "url": server.url})
        gates = stack.enter_context(Gates(topology, ["gateway"], seed=3))
        it = Calls(application, server, settings={**gates.keys["gateway"], "breaker": BREAKER})
        faults: list[Fault] = [
            SystemDown(gates, ["gateway"]),
            SystemSlow(gates, ["gateway"], 3.0),
            ServiceWrong(gates, ["gateway"], 0.9),
        ]
        with it.app.run() as run:
            run.until_running()
            with BreakerWatch(lambda: {"worker-0": run.views[0]}) as watch, Load(it.app, rate=200):
                for fault in faults:
                    run.let_run(1.0)
                    fault.begin()
                    wait_until(run, "open")
                    run.let_run(2.0)
                    fault.end()
                    wait_until(run, "closed")
            run.until_drained()
        it.check()
        spans = watch.as_spans(0.0)
        assert {span.subject for span in spans} == {"gateway of worker-0"}
        assert (spans[0].state, spans[-1].state, spans[-1].ended) == ("closed", "closed", None)
        assert [span.state for span in spans].count("open") >= 3
        assert gates.counts("gateway").wrong_done
