"""An application whose payment gateway, database and Redis are in trouble: its checks hold all the same."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.experiments import run
from tests.support.shop_systems import shop

pytestmark = [pytest.mark.integration, pytest.mark.timeout(420)]

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
def topology(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The topology file of order to cash, with real systems that its sinks lead to."""
    with shop(tmp_path / "app") as made:
        for name, value in made.environment.items():
            monkeypatch.setenv(name, value)
        yield made.topology


def test_sinks_in_trouble_cost_no_payment_and_no_row(topology: Path, tmp_path: Path) -> None:
    result = run(tmp_path, "sinks", SINKS.replace("FILE", str(topology)), STEADY)

    assert result.validity == "valid", (result.trouble, result.invariants, result.faults)
    assert set(result.faults[0].hit) == {"gateway", "history", "counters"}
    opened = {span.subject.partition(" of ")[0] for span in result.breakers if span.state == "open"}
    assert {"gateway", "history", "counters"} <= opened
    assert {span.state for span in result.breakers if span.ended is None} == {"closed"}
