"""An application whose payment gateway, database and Redis are in trouble: its checks hold all the same."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
import yaml

from tests.support.experiments import run
from tests.support.gateway import gateway_process
from tests.support.postgres import PostgresServer
from tests.support.redis import RedisServer

pytestmark = [pytest.mark.integration, pytest.mark.timeout(420)]

ROOT = Path(__file__).parents[2]

STEADY = "{fresh_within: 30s, for: 2s, reached_within: 120s}"

SINKS = """
workload:
  kind: application
  topology: FILE
  output: order-outcomes
  workers: 1
  rate: 30
  arguments: {orders: {count: 20000, skus: 60, customers: 500}}
time_limit: 55s
drain: 120s
faults:
  - {at: 3s, fault: sink.down, target: all, for: 8s}
  - {at: 20s, fault: sink.slow, target: sink gateway, delay: 3s, for: 8s}
  - {at: 38s, fault: sink.wrong, target: sink gateway, share: 0.5, for: 8s}
invariants: [application-checks, no-lost-writes, no-duplicates, per-key-order, transactions-finished]
"""


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The topology file of order to cash, with real systems that its sinks lead to."""
    home = tmp_path / "app"
    home.mkdir()
    for package in ("producers", "processors", "schemas"):
        (home / package).symlink_to(ROOT / package)
    with contextlib.ExitStack() as stack:
        gateway = stack.enter_context(gateway_process(tmp_path / "charges.jsonl", limit="1500.00"))
        postgres = stack.enter_context(contextlib.closing(PostgresServer()))
        postgres.start()
        redis = stack.enter_context(contextlib.closing(RedisServer()))
        redis.start()
        dsn = postgres.dsn(stack.enter_context(postgres.database()))
        with psycopg.connect(dsn) as connection:
            connection.execute((ROOT / "schemas" / "history.sql").read_bytes())
        monkeypatch.setenv("GATEWAY_URL", gateway.url)
        monkeypatch.setenv("HISTORY_DSN", dsn)
        monkeypatch.setenv("DASHBOARD_URL", redis.url)
        declared = yaml.safe_load((ROOT / "topology.downstream.yaml").read_text())
        declared["sinks"]["gateway"] |= {"url": gateway.url, "call_timeout": "1s", "timeout": "4s"}
        declared["sinks"]["history"] |= {"dsn": "${HISTORY_DSN}", "timeout": "2s"}
        declared["sinks"]["counters"] |= {"url": redis.url, "timeout": "2s"}
        del declared["processors"]["live-spending"]
        declared["checks"].remove("processors.invariants:live_spending_matches")
        (home / "topology.yaml").write_text(yaml.safe_dump(declared, sort_keys=False))
        yield home / "topology.yaml"


def test_sinks_in_trouble_cost_no_payment_and_no_row(shop: Path, tmp_path: Path) -> None:
    result = run(tmp_path, "sinks", SINKS.replace("FILE", str(shop)), STEADY)

    assert result.validity == "valid", (result.trouble, result.invariants, result.faults)
    assert set(result.faults[0].hit) == {"gateway", "history", "counters"}
    opened = {span.subject.partition(" of ")[0] for span in result.breakers if span.state == "open"}
    assert {"gateway", "history", "counters"} <= opened
    assert {span.state for span in result.breakers if span.ended is None} == {"closed"}
