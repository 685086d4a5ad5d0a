"""Tests of one's own whose faults hit sinks, and whoever leads: what the fixtures of the pytest plugin do."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from holdfast.chaos.kit.application import ApplicationUnderTest
from holdfast.chaos.kit.chaos import Chaos
from holdfast.chaos.lab.embedded import EmbeddedLab, LabSettings
from holdfast.errors import ExperimentErrors, FaultFailed, TopologyError
from tests.support.http_service import HttpServer, http_server

pytestmark = [pytest.mark.integration, pytest.mark.timeout(240)]

MODULE = """
from holdfast import Event, leader_task, processor
from holdfast.sinks.http import HttpCall

class Charged(Event):
    account: str
    n: int

class Tick(Event):
    n: int

@processor
def charge(event: Charged) -> HttpCall:
    return HttpCall("POST", f"/charges/{event.account}", event)

@leader_task
def tick():
    return Tick(n=1)
"""

DECLARED = {
    "app": "charges",
    "topics": {
        "charges": {"event": "charges_app:Charged", "key": "account", "partitions": 3, "replication": 3},
        "ticks": {"event": "charges_app:Tick", "partitions": 1, "replication": 3},
    },
    "processors": {
        "charge": {
            "handler": "charges_app:charge",
            "reads": ["charges"],
            "sink": "gateway",
            "session_timeout": "6s",
        }
    },
    "leader_tasks": {"tick": {"task": "charges_app:tick", "every": "200ms", "writes": ["ticks"]}},
}


@pytest.fixture(scope="module")
def lab() -> Iterator[EmbeddedLab]:
    """Three brokers of this file's own."""
    with EmbeddedLab(LabSettings()) as made:
        yield made


@pytest.fixture(scope="module")
def server() -> Iterator[HttpServer]:
    """The service that the sink calls."""
    with http_server() as made:
        yield made


@pytest.fixture
def application(lab: EmbeddedLab, server: HttpServer, tmp_path: Path) -> Iterator[ApplicationUnderTest]:
    """An application that calls the service for each event, and has a leader task."""
    (tmp_path / "charges_app.py").write_text(MODULE)
    sink = {"type": "http", "url": server.url, "timeout": "2s", "call_timeout": "1s"}
    file = tmp_path / "topology.yaml"
    file.write_text(json.dumps({**DECLARED, "sinks": {"gateway": sink}}))
    made = ApplicationUnderTest(file, lab, tmp_path / "home")
    yield made
    made.delete()


@pytest.fixture
def chaos(lab: EmbeddedLab, application: ApplicationUnderTest, tmp_path: Path) -> Chaos:
    """What breaks it."""
    return Chaos(lambda: lab, tmp_path, lambda: application)


def publish(application: ApplicationUnderTest, count: int) -> None:
    """Publish so many events of the application's own kind."""
    charged = next(iter(application.resolved.topics["charges"].events))
    application.publish(*(charged(account=f"a{n % 5}", n=n) for n in range(count)))


def until(holds: Callable[[], bool]) -> None:
    """Wait until something holds."""
    deadline = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.2)


def test_a_service_that_is_down_gets_every_call_when_it_is_back(
    application: ApplicationUnderTest, chaos: Chaos, server: HttpServer
) -> None:
    with application.running(workers=1, gates=["gateway"]):
        with chaos.fault("sink.down", "sink gateway") as fault:
            publish(application, 40)
        application.wait_until_drained()
    assert fault.hit == ("gateway",)
    assert {asked.json()["n"] for asked in server.asked} == set(range(40))


def test_a_fault_of_a_sink_without_a_gate_says_what_it_needs(
    application: ApplicationUnderTest, chaos: Chaos
) -> None:
    with (
        application.running(workers=1),
        pytest.raises(FaultFailed, match=r"needs a gate .* `with topology.running\(gates=\[...\]\)`"),
        chaos.fault("sink.down", "sink gateway"),
    ):
        pass


def test_a_gate_before_a_sink_that_does_not_exist_is_a_mistake(application: ApplicationUnderTest) -> None:
    with pytest.raises(TopologyError, match="gatewy"), application.running(workers=1, gates=["gatewy"]):
        pass
    assert application.gates is None


def test_whoever_leads_can_be_killed_and_somebody_else_leads(
    application: ApplicationUnderTest, chaos: Chaos
) -> None:
    with application.running(workers=2), chaos.fault("worker.kill", "app leader") as first:
        ticks = len(application.events("ticks"))
        until(lambda: len(application.events("ticks")) > ticks)
        with chaos.fault("worker.stop", "app leader") as second:
            pass
    assert {*first.hit, *second.hit} == {"candidate-0", "candidate-1"}


def test_an_unknown_role_is_told_as_in_experiments(application: ApplicationUnderTest, chaos: Chaos) -> None:
    with (
        application.running(workers=1),
        pytest.raises(ExperimentErrors, match="leadr"),
        chaos.fault("broker.kill", "leadr"),
    ):
        pass
