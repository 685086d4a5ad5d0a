"""Whole applications in experiments: a right one comes through, a wrong one is found out by its checks."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.support.experiments import run
from tests.support.talking import talking

pytestmark = [pytest.mark.integration, pytest.mark.timeout(420)]

ROOT = Path(__file__).parents[2]

STEADY = "{fresh_within: 30s, for: 2s, reached_within: 120s}"
"""An order goes through nine transactions one after the other, of six processes beside three brokers."""

ORDERS = """
workload:
  kind: application
  topology: FILE
  workers: 1
  rate: 60
  arguments: {orders: {count: 20000, skus: 60, customers: 500}}
  checks:  # all but that of the Faust view, which had missed orders in one run
    - processors.invariants:every_order_is_closed_once
    - processors.invariants:stock_is_conserved
    - processors.invariants:ledger_balances
    - processors.invariants:credit_is_kept
    - processors.invariants:nothing_set_aside
time_limit: LIMIT
drain: 120s
faults: FAULTS
invariants:
  - application-checks
  - no-lost-writes
  - no-duplicates
  - consistent-offsets
  - per-key-order
  - transactions-finished
"""

FAULTS = """
  - {at: 3s, fault: broker.kill, target: leader, for: 5s}
  - {at: 15s, fault: worker.freeze, target: worker-1, for: 8s}
  - {at: 28s, fault: worker.crash, target: all}
"""

LEADER = """
workload:
  kind: application
  topology: FILE
  output: told
  workers: 2
  rate: 60
  arguments: {talk: {count: 20000, people: 50}, noise: {count: 20000}}
time_limit: 36s
faults:  # away for longer than its session lasts: had it come back before, it could lead again
  - {at: 2s, fault: worker.kill, target: app leader, for: 12s}
  - {at: 20s, fault: worker.freeze, target: app leader, for: 9s}
invariants: [application-checks, no-lost-writes, per-key-order, transactions-finished]
"""

DOUBLE = ("processors/inventory.py", "level.reserved + event.quantity", "level.reserved + 2 * event.quantity")
DROPPED = (
    "processors/order_saga.py",
    "    if order.placed is None:\n",
    '    if order.placed is None or (isinstance(event, PaymentApproved) and event.order_id.endswith("7")):\n',
)


def orders(file: Path, limit: str, faults: str) -> str:
    """An experiment on order to cash."""
    return ORDERS.replace("FILE", str(file)).replace("LIMIT", limit).replace("FAULTS", faults)


def test_order_to_cash_comes_through(tmp_path: Path) -> None:
    result = run(tmp_path, "order-to-cash", orders(ROOT / "topology.yaml", "40s", FAULTS), STEADY)
    assert result.validity == "valid", (result.trouble, result.invariants, result.faults)
    assert result.counts["records of order-outcomes"] > 1_000
    # Every processor's shards were watched, and every output's transactions.
    assert {"order-intake 0", "order-saga 5", "ledger 3"} <= {span.subject for span in result.owners}
    assert len(result.shards) == 6 * 6
    assert max(len(sample.lag) for sample in result.samples) == len(result.shards)


@pytest.mark.parametrize(
    ("mistake", "says"),
    [
        pytest.param(DOUBLE, "pieces are reserved in the inventory", id="counts-double"),
        pytest.param(DROPPED, "has 0 outcomes", id="drops-an-event"),
    ],
)
def test_a_processor_that_does_it_wrong_is_found_out(
    tmp_path: Path, mistake: tuple[str, str, str], says: str
) -> None:
    """The brokers have what was published, and none of it is lost: only its own checks know."""
    for name in ("processors", "producers", "schemas"):
        shutil.copytree(ROOT / name, tmp_path / "app" / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "topology.yaml", tmp_path / "app")
    name, right, wrong = mistake
    source = tmp_path / "app" / name
    assert right in source.read_text()
    source.write_text(source.read_text().replace(right, wrong))
    faults = "[{at: 5s, fault: worker.crash, target: worker-2}]"

    result = run(tmp_path, "broken", orders(tmp_path / "app" / "topology.yaml", "15s", faults), STEADY)

    found = {one.name: one for one in result.invariants}
    assert result.validity == "invalid", (result.trouble, result.invariants)
    assert any(says in text for each in found["application-checks"].problems for text in each.examples)
    assert {one.validity for one in found.values() if one.name != "application-checks"} == {"valid"}


def test_faults_hit_whoever_leads_the_application(tmp_path: Path) -> None:
    """The lead goes to another candidate, and the second fault to that one."""
    result = run(tmp_path, "leader", LEADER.replace("FILE", str(talking(tmp_path))))
    assert result.validity == "valid", (result.trouble, result.invariants, result.faults)
    first, second = (fault.hit[0] for fault in result.faults)
    assert {first, second} == {"candidate-0", "candidate-1"}
    leaders = [span.state for span in result.owners if span.subject == "leader 0"]
    assert first in leaders
    assert second in leaders
