"""`docker compose up` brings up the whole application, and what is killed comes back and is right."""

from __future__ import annotations

import json
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from confluent_kafka.admin import AdminClient

from tests.support.engine import Engine, Shop, docker, placed

pytestmark = [pytest.mark.integration, pytest.mark.containers, pytest.mark.timeout(1500)]

ORDERS = 400
PATIENCE_S = 120.0


@pytest.fixture(scope="module")
def shop(docker_engine: Engine) -> Iterator[Shop]:
    """The application, up and healthy."""
    docker_engine.make_images()
    with Shop() as shop:
        yield shop


def until_it_holds(shop: Shop, orders: int) -> str:
    """Return what the checks say once everything that was published is done; fails with it otherwise."""
    deadline = time.monotonic() + PATIENCE_S
    while True:
        said = shop.verify()
        if "All 8 invariants hold" in said and placed(said) == orders:
            return said
        assert time.monotonic() < deadline, said


def test_orders_are_right_although_a_broker_and_the_workers_are_killed(shop: Shop) -> None:
    """Half of the orders are published before, half after; what was killed is started again by the engine."""
    shop.load(ORDERS, seed=1)
    for service in ("broker-2", "orders", "systems"):
        shop.crash(service)
    shop.load(ORDERS, seed=2)
    until_it_holds(shop, 2 * ORDERS)
    shop.compose("up", "--detach", "--wait", timeout=120)
    for service in ("broker-2", "orders", "systems"):
        assert shop.state(service)["RestartCount"] == 1, service
    with psycopg.connect(
        host="127.0.0.1", port=shop.ports["POSTGRES_PORT"], dbname="shop", user="shop", password="shop"
    ) as history:
        found = history.execute(
            "SELECT count(*), count(outcome), count(DISTINCT order_id) FROM orders"
        ).fetchone()
    assert found == (2 * ORDERS,) * 3


def test_the_brokers_are_there_for_this_machine(shop: Shop) -> None:
    """Each under the address that it tells clients here."""
    ports = [shop.ports[f"BROKER_{n}_PORT"] for n in (1, 2, 3)]
    for port in ports:
        admin = AdminClient({"bootstrap.servers": f"localhost:{port}"})
        found = admin.list_topics(timeout=10)
        assert sorted(broker.port for broker in found.brokers.values()) == sorted(ports)
        assert "orders" in found.topics


def test_prometheus_sees_every_worker(shop: Shop) -> None:
    """Nine processors, each with a worker that is up."""
    deadline = time.monotonic() + PATIENCE_S
    while len(found := query(shop, "holdfast_worker_up == 1")) != 9:
        assert time.monotonic() < deadline, found
        time.sleep(1)
    assert {series["metric"]["processor"] for series in found} > {"order-saga", "dashboard", "order-history"}


def query(shop: Shop, expression: str) -> list[dict[str, Any]]:
    """Ask Prometheus."""
    asked = urllib.parse.urlencode({"query": expression})
    address = f"http://127.0.0.1:{shop.ports['PROMETHEUS_PORT']}/api/v1/query?{asked}"
    with urllib.request.urlopen(address, timeout=10) as answer:
        found: list[dict[str, Any]] = json.load(answer)["data"]["result"]
    return found


def test_chaos_may_touch_what_says_so(shop: Shop) -> None:
    """The workers, brokers and systems; not what only watches, nor what has ended."""
    chosen = f"label=com.docker.compose.project={shop.project}"
    fair = docker(
        "ps", "--filter", chosen, "--filter", "label=com.holdfast.chaos=allowed",
        "--format", '{{.Label "com.docker.compose.service"}}',
    ).stdout.split()  # fmt: skip
    assert {"broker-1", "orders", "systems", "postgres", "redis-1", "sentinel-1", "gateway"} <= set(fair)
    assert "prometheus" not in fair
