"""The reference application's live view, which stock Faust computes, and a crash at its worst moment."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from holdfast.runtime.launch import LaunchSettings, worker_specs
from holdfast.runtime.supervisor import Supervisor
from processors.live_spending import app
from schemas.orders import OrderPlaced
from tests.conftest import TestCluster
from tests.integration.application import Application
from tests.support.proxy import Api, Fault, Proxy, Request

pytestmark = [pytest.mark.integration, pytest.mark.slow, pytest.mark.timeout(240)]

TOPOLOGY = Path(__file__).parents[2] / "topology.yaml"
CHANGELOG = b"shop.live-spending-spending-changelog"
CLIENT = app.conf.broker_client_id
SEEKING = 5
"""One of the questions for committed positions that are asked for each partition after the restore."""
SESSION_S = app.conf.broker_session_timeout


@pytest.fixture
def shop(proxied: TestCluster, tmp_path: Path) -> Iterator[Application]:
    """Give the reference application with its topics."""
    with Application(TOPOLOGY, proxied.bootstrap_servers, tmp_path) as shop:
        yield shop


@pytest.fixture
def supervisor(shop: Application, proxy: Proxy, tmp_path: Path) -> Iterator[Supervisor]:
    """Give the view's worker behind the proxy; it is not started yet."""
    settings = LaunchSettings(proxy.bootstrap_servers, tmp_path, "test")
    supervisor = Supervisor(worker_specs(shop.topology, settings, ["live-spending"]))
    yield supervisor
    supervisor.stop()


def test_no_order_is_missing_from_it_after_a_crash_with_changes_on_their_way(
    shop: Application, supervisor: Supervisor, proxy: Proxy
) -> None:
    """The brokers stall for a moment, the table's changes pile up, and the worker is killed at a commit.

    Faust waits for what it gave to its client before it commits, but not for what it could not give to it
    yet: a client that has a full batch takes no more.
    """
    supervisor.start()
    until(supervisor, lambda: proxy.seen[CLIENT, Api.HEARTBEAT] > 1, "a member of its group")
    held = proxy.hurt(Fault.HOLD_REQUEST, Api.PRODUCE, CLIENT, only=is_change)
    lost = proxy.hurt(Fault.DROP_REQUEST, Api.PRODUCE, CLIENT, nth=2, only=is_change)
    publish(shop, 600)
    until(supervisor, held.happened.is_set, "a change of the table")
    until_beats(supervisor, proxy, 3)
    proxy.release(held)
    until(supervisor, lost.happened.is_set, "a lost change")
    until_beats(supervisor, proxy, 2)
    pid = supervisor.views[0].pid
    assert pid
    os.kill(pid, signal.SIGKILL)
    supervisor.stop()
    assert_right_in_the_end(shop)


@pytest.mark.parametrize("attempt", range(3))
def test_no_order_is_missing_from_it_when_the_answer_where_to_begin_is_late(
    shop: Application, supervisor: Supervisor, proxy: Proxy, attempt: int
) -> None:
    """Faust fetches orders before it has asked where to begin, and empties its queue after that.

    Of one attempt in three an order was in the queue at that moment, and Faust committed past it.
    """
    publish(shop, 3000)
    late = proxy.hurt(Fault.HOLD_REQUEST, Api.OFFSET_FETCH, CLIENT, nth=SEEKING, at_most=0.5)
    supervisor.start()
    until(supervisor, late.happened.is_set, "the question where to begin")
    until_beats(supervisor, proxy, 3)
    supervisor.stop()
    assert_right_in_the_end(shop)


def test_no_order_is_missing_from_it_after_a_rebalance_with_orders_in_its_queue(
    shop: Application, supervisor: Supervisor, proxy: Proxy
) -> None:
    """The worker is cut off from its group for longer than its session, and gets its partitions back.

    What was fetched before that is in a queue, from which Faust drops it: it is fetched again.
    """
    supervisor.start()
    until(supervisor, lambda: proxy.seen[CLIENT, Api.HEARTBEAT] > 1, "a member of its group")
    joined = proxy.seen[CLIENT, Api.JOIN_GROUP]
    # No change reaches the brokers meanwhile, so that Faust stops handling and lets orders queue up.
    held = proxy.hurt(Fault.HOLD_REQUEST, Api.PRODUCE, CLIENT, only=is_change)
    publish(shop, 3000)
    until(supervisor, held.happened.is_set, "a change of the table")
    silent = proxy.hurt(Fault.HOLD_REQUEST, Api.HEARTBEAT, CLIENT, at_most=SESSION_S + 2)
    until(supervisor, silent.happened.is_set, "a heartbeat")
    until(supervisor, silent.done.is_set, "the loss of its session")
    proxy.release(held)
    until(supervisor, lambda: proxy.seen[CLIENT, Api.JOIN_GROUP] > joined, "a rebalance")
    until_beats(supervisor, proxy, 3)
    supervisor.stop()
    assert_right_in_the_end(shop)


def publish(shop: Application, count: int) -> None:
    """Publish orders of one customer, which are all in one partition."""
    shop.produce("orders", only=lambda event: isinstance(event, OrderPlaced), count=count, customers=1)


def until_beats(supervisor: Supervisor, proxy: Proxy, count: int) -> None:
    """Keep the worker running for so many heartbeats: time for a commit."""
    before = proxy.seen[CLIENT, Api.HEARTBEAT]
    until(supervisor, lambda: proxy.seen[CLIENT, Api.HEARTBEAT] >= before + count, "time for a commit")


def assert_right_in_the_end(shop: Application) -> None:
    """Let a new worker do what is left, then compare the view with the orders."""
    shop.run(within=60, only=["live-spending"])
    view = next(result for result in shop.check() if "live view" in result.name)
    assert view.counts["customers"]
    assert view.examples == ()


def is_change(request: Request) -> bool:
    """Whether a request writes to the changelog of the table."""
    return CHANGELOG in request.frame


def until(supervisor: Supervisor, seen: Callable[[], bool], what: str) -> None:
    """Keep the worker running until something was seen, 30 s at most."""
    deadline = time.monotonic() + 30
    while not seen():
        assert time.monotonic() < deadline, f"{what} did not come"
        assert not supervisor.failed, [view.error for view in supervisor.failed]
        supervisor.poll(0.05)
