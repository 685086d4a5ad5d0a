"""The reference application on real brokers, with workers as processes, and with workers that are killed."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from holdfast.local.cluster import EmbeddedCluster
from holdfast.runtime.supervisor import Supervisor
from holdfast.schema import Event
from schemas.stock import StockReceived
from tests.conftest import TestCluster
from tests.integration.application import Application

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]

TOPOLOGY = Path(__file__).parents[2] / "topology.yaml"
ORDERS = 1500


@pytest.fixture
def shop(cluster: TestCluster, tmp_path: Path) -> Iterator[Application]:
    """The reference application with fresh topics."""
    with Application(TOPOLOGY, cluster.bootstrap_servers, tmp_path) as application:
        yield application


def assert_invariants_hold(shop: Application, orders: int = ORDERS) -> None:
    """All declared checks hold, the Faust view's included, and they looked at all orders."""
    results = shop.check()
    assert [(result.name, result.examples) for result in results if not result.ok] == []
    assert results[0].counts["placed"] == orders
    outcomes = {record.event.outcome for record in shop.log.events("order-outcomes")}
    assert outcomes == {"confirmed", "out-of-stock", "declined", "cancelled"}


def open_shop(shop: Application, orders: int = ORDERS) -> None:
    """Publish the opening stock, let it arrive, then publish the orders.

    Nothing orders the records of two topics: a shop that hears of its orders before it hears of its stock
    sells nothing, and all invariants hold.
    """
    shop.produce("orders", only=is_stock, count=orders)
    shop.run(within=60)
    shop.produce("orders", only=lambda event: not is_stock(event), count=orders)


def is_stock(event: Event) -> bool:
    """Whether an event brings stock."""
    return isinstance(event, StockReceived)


@pytest.mark.slow
def test_all_invariants_hold_after_a_quiet_run(shop: Application) -> None:
    """Every processor and the Faust application, one worker each."""
    open_shop(shop)
    shop.run(within=120)
    assert_invariants_hold(shop)


class Killer:
    """Kills a worker now and then, each kind at least once."""

    def __init__(self, kills: int, seed: int) -> None:
        self._rng = random.Random(seed)
        self._left = kills
        self._next = 0.0
        self.killed: list[str] = []

    def __call__(self, supervisor: Supervisor) -> None:
        """Send SIGKILL to the next worker, if it is time."""
        running = [view for view in supervisor.views if view.pid and view.status.records]
        fresh = [view for view in running if view.spec.processor not in self.killed]
        if self._left and running and time.monotonic() >= self._next:
            victim = self._rng.choice(fresh or running)
            assert victim.pid
            os.kill(victim.pid, signal.SIGKILL)
            self.killed.append(victim.spec.processor)
            self._left -= 1
            self._next = time.monotonic() + 0.7


def test_all_invariants_hold_after_workers_were_killed(shop: Application) -> None:
    """Workers are killed with SIGKILL while they work, and started again in their slots."""
    killer = Killer(kills=8, seed=3)
    open_shop(shop)
    shop.run(within=200, meanwhile=killer)
    assert len(killer.killed) >= 3
    assert_invariants_hold(shop)


class BrokerKiller:
    """Kills a broker with SIGKILL, starts it again some seconds later, and goes on with the next one."""

    def __init__(self, cluster: EmbeddedCluster, kills: int) -> None:
        self._cluster = cluster
        self._steps = iter(
            [step for node in cluster.nodes[:kills] for step in ((node.id, "kill"), (node.id, "start"))]
        )
        self._next = 0.0
        self.killed: list[int] = []

    def __call__(self, supervisor: Supervisor) -> None:
        """Take the next step, if it is time and the saga is at work."""
        at_work = any(view.spec.processor == "order-saga" and view.records for view in supervisor.views)
        if not at_work or time.monotonic() < self._next:
            return
        node, step = next(self._steps, (0, "done"))
        if step == "kill":
            self._cluster.kill(node)
            self.killed.append(node)
            self._next = time.monotonic() + 4.0
        elif step == "start":
            self._cluster.start_node(node)
            self._cluster.wait_ready()
            self._next = time.monotonic() + 1.0


@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    "kills", [pytest.param(1, marks=pytest.mark.slow), pytest.param(3, marks=pytest.mark.chaos)]
)
def test_all_invariants_hold_after_brokers_were_killed(tmp_path: Path, kills: int) -> None:
    """Brokers are killed with SIGKILL one after the other while orders are on their way."""
    with (
        EmbeddedCluster.temporary() as cluster,
        Application(TOPOLOGY, cluster.bootstrap_servers, tmp_path) as shop,
    ):
        killer = BrokerKiller(cluster, kills)
        open_shop(shop, kills * ORDERS)
        shop.run(within=400, meanwhile=killer)
        assert killer.killed
        assert_invariants_hold(shop, orders=kills * ORDERS)
