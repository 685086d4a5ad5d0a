"""The reference application with its gateway, database and Redis, all failing on and off under load."""

from __future__ import annotations

import contextlib
import itertools
import json
import random
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Self

import pytest
import yaml

from holdfast.checks import CheckResult
from holdfast.schema import Event
from processors.credit import LIMIT
from processors.dashboard import ORDERS
from schemas.orders import OrderPlaced
from tests.conftest import TestCluster
from tests.integration.application import Application
from tests.support.application import Run
from tests.support.gateway import GatewayProcess, gateway_process
from tests.support.postgres import PostgresServer
from tests.support.redis import SentinelSetup

pytestmark = [pytest.mark.integration, pytest.mark.timeout(1500)]

ROOT = Path(__file__).parents[2]
RATE = 20
"""Orders per second."""

MOST = 1_500
"""Orders of a round. Where all faults take longer than these last, there is a backlog to work on."""

PATIENCE_S = 120.0
"""A machine that others use as well may take that long for what takes seconds otherwise."""

FAULTS: tuple[dict[str, Any], ...] = (
    {"kind": "error"},
    {"kind": "hang"},
    {"kind": "cut-after-headers"},
    {"kind": "malformed"},
    {"kind": "throttle", "seconds": 1},
    {"kind": "cut-in-body"},
    {"kind": "other-order"},
    {"kind": "wrong-schema", "rate": 0.3},
    {"kind": "other-amount", "rate": 0.3},
    {"kind": "latency", "seconds": 0.2},
)
"""Each kind; the last three let some calls through, so the application works on meanwhile."""


WORKERS = ("payments", "order-history", "dashboard")
"""Those that are killed: each writes to one of the systems, or asks it."""


@dataclass
class Shop:
    """The application and the systems around it.

    Attributes:
        set_variable: sets one of the environment, for as long as the test runs.
        killed: the systems and workers that were killed, in their order.
    """

    app: Application
    gateway: GatewayProcess
    postgres: PostgresServer
    database: str
    redis: SentinelSetup
    set_variable: Callable[[str, str], None]
    killed: list[str] = field(default_factory=list)

    def trouble(self, run: Run, fault: dict[str, Any]) -> None:
        """Let the gateway fail in one way until it is noticed, and see that it goes on afterwards."""
        before = self.gateway.faults()[fault["kind"]]
        self.gateway.fail(fault)
        run.until(lambda: self.gateway.faults()[fault["kind"]] >= before + 3, PATIENCE_S, f"{fault} happens")
        if fault.get("rate", 1) == 1 and fault["kind"] != "latency":
            self.until_waiting(run, "payments", "gateway")
        run.let_run(0.3)
        self.gateway.heal()

    def kill_gateway(self, run: Run) -> None:
        """SIGKILL, and a new one that knows what the old one charged."""
        self.killed.append("gateway")
        self.gateway.kill()
        self.until_waiting(run, "payments", "gateway")
        self.gateway.start()

    @contextlib.contextmanager
    def database_killed(self, run: Run) -> Iterator[None]:
        """SIGKILL to all of PostgreSQL, which is started again when the block ends."""
        self.killed.append("postgres")
        self.postgres.kill()
        try:
            yield
            self.until_waiting(run, "order-history", "history")
        finally:
            self.postgres.start()

    @contextlib.contextmanager
    def master_killed(self) -> Iterator[None]:
        """SIGKILL to the Redis that is the master, which comes back as a replica when the block ends."""
        self.killed.append("redis")
        dead = self.redis.kill_master()
        try:
            yield
        finally:
            dead.start()
            self.redis.wait_until_whole()

    def check(self) -> list[CheckResult]:
        """Every invariant, over the log and what the systems hold."""
        self.set_variable("DASHBOARD_URL", self.redis.master().url)
        return list(self.app.check())

    def kill_worker(self, run: Run, processor: str) -> None:
        """SIGKILL a worker; its supervisor starts it again."""
        self.killed.append(processor)
        run.kill(index(run, processor))

    def until_waiting(self, run: Run, processor: str, system: str) -> None:
        """Until a worker says that it waits for a system."""
        at = index(run, processor)
        said = f"{processor} waits for {system}"
        run.until(lambda: run.views[at].status.waits_for == system, PATIENCE_S, said)

    def until_nobody_waits(self, run: Run) -> None:
        """Until no worker says that it waits for anything."""
        run.until(lambda: not any(view.status.waits_for for view in run.views), PATIENCE_S, "all go on")


def index(run: Run, processor: str) -> int:
    """Which of the workers is a processor's."""
    return next(i for i, view in enumerate(run.views) if view.spec.processor == processor)


class Trade:
    """Publishes orders at a steady rate from a thread of its own, while its block lasts.

    Attributes:
        placed: orders that were published.
    """

    def __init__(self, app: Application, most: int) -> None:
        self.placed = 0
        self._end = threading.Event()
        produce = partial(app.produce, "orders", only=self._paced, count=most)
        self._thread = threading.Thread(target=produce)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join()

    def _paced(self, event: Event) -> bool:
        # The opening stock comes first, and at once.
        if not isinstance(event, OrderPlaced):
            return not self._end.is_set()
        if self._end.wait(1 / RATE):
            return False
        self.placed += 1
        return True


@pytest.fixture
def shop(
    cluster: TestCluster,
    postgres: PostgresServer,
    redis_sentinel: SentinelSetup,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Shop]:
    """The application with fresh topics and fresh systems around it, without the Faust view."""
    with redis_sentinel.client() as client:
        client.flushall()
    with postgres.database() as name, gateway_process(tmp_path / "journal", limit=str(LIMIT)) as gateway:
        with postgres.connect(name) as connection:
            connection.execute((ROOT / "schemas" / "history.sql").read_bytes())
        monkeypatch.setenv("GATEWAY_URL", gateway.url)
        monkeypatch.setenv("HISTORY_DSN", postgres.dsn(name))
        file = write_application(tmp_path / "app", gateway.url, postgres.dsn(name), redis_sentinel)
        with Application(file, cluster.bootstrap_servers, tmp_path) as app:
            yield Shop(app, gateway, postgres, name, redis_sentinel, monkeypatch.setenv)


def write_application(folder: Path, gateway: str, dsn: str, redis: SentinelSetup) -> Path:
    """The application as it is in the repository, with other addresses and shorter times."""
    folder.mkdir()
    for package in ("producers", "processors", "schemas"):
        (folder / package).symlink_to(ROOT / package)
    declared = yaml.safe_load((ROOT / "topology.downstream.yaml").read_text())
    declared["sinks"]["gateway"] |= {"url": gateway, "call_timeout": "1s", "timeout": "4s"}
    declared["sinks"]["history"] |= {"dsn": dsn, "timeout": "2s"}
    declared["sinks"]["counters"] = {"type": "redis", **redis.settings, "timeout": "2s"}
    del declared["processors"]["live-spending"]
    declared["checks"].remove("processors.invariants:live_spending_matches")
    file = folder / "topology.yaml"
    file.write_text(json.dumps(declared))
    return file


@pytest.mark.parametrize(
    "rounds", [pytest.param(1, marks=pytest.mark.slow), pytest.param(8, marks=pytest.mark.chaos)]
)
def test_nobody_is_charged_twice_and_the_database_equals_the_log_whatever_fails(
    shop: Shop, rounds: int
) -> None:
    """Each fault of the gateway in turn, its death, the database's, Redis' and workers', all under load."""
    rng = random.Random(rounds)
    with shop.app.running() as run:
        with Trade(shop.app, rounds * MOST) as trade:
            run.until(lambda: all(view.records for view in run.views), PATIENCE_S, "all are at work")
            for _ in range(rounds):
                let_all_fail(shop, run, rng)
        run.until_drained(2 * rounds * PATIENCE_S)
    assert_all_holds(shop, trade.placed, rounds)
    assert_damage_is_found(shop)


def let_all_fail(shop: Shop, run: Run, rng: random.Random) -> None:
    """Every fault once; each time another of the killed is killed beside it."""
    beside = itertools.cycle(["database", "redis", "payments", "dashboard", "order-history"])
    for fault, other in zip(rng.sample(FAULTS, len(FAULTS)), beside, strict=False):
        with contextlib.ExitStack() as killed:
            if other == "database":
                killed.enter_context(shop.database_killed(run))
            elif other == "redis":
                killed.enter_context(shop.master_killed())
            shop.trouble(run, fault)
            if other in WORKERS:
                shop.kill_worker(run, other)
        shop.until_nobody_waits(run)
    shop.kill_gateway(run)
    shop.until_nobody_waits(run)


def assert_all_holds(shop: Shop, placed: int, rounds: int) -> None:
    """Every invariant, over the log, the gateway's audit and the database; and every fault was there."""
    results = {result.name: result for result in shop.check()}
    assert [(result.name, result.examples) for result in results.values() if not result.ok] == []
    assert results["every order reaches exactly one end"].counts["placed"] == placed
    assert results["PostgreSQL equals the fold of the log"].counts["orders"] == placed
    assert results["Redis equals the fold of the log"].counts["orders"] == placed
    charges = results["every payment is charged exactly once"].counts
    assert charges["charged"] > 0.3 * placed
    assert charges["repeated"] > 0, "some answers were lost, and asked for again"
    audit = shop.gateway.audit()
    assert {entry.fault for entry in audit} == {None, *(fault["kind"] for fault in FAULTS)}
    assert any(entry.fault and entry.outcome == "charged" for entry in audit)
    assert shop.killed.count("postgres") == shop.killed.count("redis") == 2 * rounds
    assert set(shop.killed) == {"postgres", "redis", "gateway", *WORKERS}


def assert_damage_is_found(shop: Shop) -> None:
    """One charge too many, three changes in the database and a counter are seen by the same checks."""
    charged = [entry for entry in shop.gateway.audit() if entry.outcome == "charged"]
    spent: Counter[str] = Counter()
    for entry in charged:
        spent[entry.customer_id] += int(entry.amount * 100)
    # Of those who may spend most before the gateway declines one more.
    some = min(charged, key=lambda entry: (spent[entry.customer_id], entry.amount))
    shop.gateway.charge("another", some.order_id, some.customer_id, str(some.amount))
    with shop.postgres.connect(shop.database) as connection:
        connection.execute("UPDATE orders SET total = total + 1 WHERE order_id = %s", [some.order_id])
        connection.execute("DELETE FROM payments WHERE order_id = %s", [some.order_id])
        connection.execute("INSERT INTO ledger_entries (account, order_id, amount) VALUES ('sales', 'x', 1)")
    with shop.redis.client() as client:
        client.hincrby(ORDERS, "confirmed", 1)
    found = {result.name: result.violations for result in shop.check() if not result.ok}
    assert found == {
        "every payment is charged exactly once": 1,
        "PostgreSQL equals the fold of the log": 3,
        "Redis equals the fold of the log": 1,
    }
