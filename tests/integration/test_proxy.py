"""The proxy that other tests rest on: clients stay behind it, and each fault is what it says."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from tests.conftest import TestCluster
from tests.support.proxy import Api, Fault, Proxy, Rule

pytestmark = [pytest.mark.integration, pytest.mark.timeout(60)]
Names = Callable[[str], str]

ANSWER_S = 5.0
GIVE_UP_S = 1.5


class Asker:
    """A client that asks brokers for metadata."""

    def __init__(self, name: str, servers: str) -> None:
        self.name = name
        self._client = AdminClient({"bootstrap.servers": servers, "client.id": name, "log_level": 0})

    def ports(self, timeout: float = ANSWER_S) -> set[int]:
        """The brokers' ports, as they tell them; empty when nobody answered in time."""
        try:
            return {broker.port for broker in self._client.list_topics(timeout=timeout).brokers.values()}
        except KafkaException:
            return set()


@pytest.fixture
def asker(proxy: Proxy, unique_name: Names) -> Asker:
    """Give a client behind the proxy that is connected."""
    asker = Asker(unique_name("asker"), proxy.bootstrap_servers)
    assert asker.ports()
    return asker


def test_clients_stay_behind_the_proxy(proxied: TestCluster, proxy: Proxy, asker: Asker) -> None:
    """The brokers tell the proxy's ports to who comes through it, and their own to others."""
    assert asker.ports() == set(proxied.routes)
    assert proxy.seen[asker.name, Api.METADATA] >= 2
    direct = Asker("direct", proxied.bootstrap_servers)
    assert direct.ports().isdisjoint({*proxied.routes, *proxied.routes.values()})


@pytest.mark.parametrize("fault", [Fault.CUT_BEFORE, Fault.CUT_AFTER, Fault.CUT_AND_HOLD])
def test_a_client_gets_over_a_cut(proxy: Proxy, asker: Asker, fault: Fault) -> None:
    """It asks again by itself, so a second request is seen."""
    rule = hurt(proxy, asker, fault)
    before = proxy.seen[asker.name, Api.METADATA]
    assert asker.ports()
    assert rule.happened.is_set()
    assert proxy.seen[asker.name, Api.METADATA] >= before + 2
    proxy.release(rule)
    assert rule.done.wait(ANSWER_S)


@pytest.mark.parametrize("fault", [Fault.DROP_REQUEST, Fault.DROP_ANSWER])
def test_what_is_dropped_never_comes(proxy: Proxy, asker: Asker, fault: Fault) -> None:
    """Nor anything after it on the same connection."""
    rule = hurt(proxy, asker, fault)
    assert asker.ports(GIVE_UP_S) == set()
    assert rule.done.is_set()


@pytest.mark.parametrize("fault", [Fault.HOLD_REQUEST, Fault.HOLD_ANSWER])
def test_what_is_held_comes_when_it_is_released(proxy: Proxy, asker: Asker, fault: Fault) -> None:
    """By the test, or after its time."""
    rule = hurt(proxy, asker, fault, at_most=GIVE_UP_S)
    began = time.monotonic()
    assert asker.ports()
    assert time.monotonic() - began > GIVE_UP_S / 2
    assert rule.released_by == "time"
    rule = hurt(proxy, asker, fault)
    assert asker.ports(GIVE_UP_S) == set()
    assert not rule.done.is_set()
    proxy.release(rule)
    assert rule.done.wait(ANSWER_S)
    assert rule.released_by == "test"


def test_only_the_chosen_request_is_hurt(proxy: Proxy, asker: Asker) -> None:
    """The n-th of its kind, of the client with the name."""
    others = proxy.hurt(Fault.DROP_REQUEST, Api.METADATA, "somebody else")
    third = hurt(proxy, asker, Fault.DROP_REQUEST, nth=3)
    before, answered = proxy.seen[asker.name, Api.METADATA], 0
    while not third.happened.is_set():
        # A client also asks by itself, when a further broker is connected.
        answered += bool(asker.ports(GIVE_UP_S))
    assert answered <= 2
    assert third.done.is_set()
    assert proxy.seen[asker.name, Api.METADATA] >= before + 3
    assert not others.happened.is_set()


def hurt(proxy: Proxy, asker: Asker, fault: Fault, **options: float) -> Rule:
    """Hurt the client's next question."""
    return proxy.hurt(fault, Api.METADATA, asker.name, **options)  # type: ignore[arg-type]
