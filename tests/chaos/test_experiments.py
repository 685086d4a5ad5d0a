"""Short experiments on every change: what is broken heals, and no record is lost, doubled or wrong.

The ready ones in `chaos/` take minutes each; a series of them is `holdfast chaos run FILE --runs 20`.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from holdfast.chaos.lab.clocks import find_library
from tests.support.experiments import run
from tests.support.packages import install
from tests.support.privileges import as_root

pytestmark = [pytest.mark.integration, pytest.mark.timeout(420)]

KILLS = """
workload: {kind: bank, LOAD, standby: 1}
time_limit: 40s
faults:
  - {at: 3s, fault: broker.kill, target: leader, for: 8s}
  - {at: 20s, fault: worker.crash, target: any}
  - {at: 26s, fault: worker.kill, target: owner of shard 0, for: 4s}
invariants: [exactly-once, state-fold, conservation, no-lost-writes, transactions-finished]
"""

ZOMBIES = """
workload: {kind: sequence, LOAD}
time_limit: 50s
faults:
  - {at: 3s, fault: worker.freeze, target: worker-0, for: 9s}
  - {at: 25s, fault: broker.freeze, target: transaction coordinator, for: 8s}
invariants: [exactly-once, state-fold, per-key-order, no-lost-writes, no-duplicates, transactions-finished]
"""

PARTITIONS = """
cluster: {network: isolated}
workload: {kind: sequence, LOAD}
time_limit: 65s
faults:
  - {at: 3s, fault: network.partition, target: leader, for: 15s}
  - {at: 32s, fault: network.partition, target: worker-0, peers: brokers, direction: from, for: 10s}
  - {at: 54s, fault: network.loss, target: clients, share: 0.05, for: 5s}
invariants: [exactly-once, state-fold, per-key-order, no-lost-writes, no-duplicates, transactions-finished]
"""

DISKS_AND_CLOCKS = """
cluster: {disk: small}
workload: {kind: bank, LOAD}
time_limit: 50s
faults:
  - {at: 3s, fault: disk.full, target: follower, for: 8s}
  - {at: 25s, fault: disk.slow, target: leader, stall: 600ms, for: 5s}
  - {at: 36s, fault: clock.jump, target: leader, offset: -120s, for: 6s}
invariants: [exactly-once, state-fold, conservation, no-lost-writes, transactions-finished]
"""


@pytest.mark.parametrize(
    ("name", "text", "faults"),
    [
        ("kills", KILLS, 3),
        ("zombies", ZOMBIES, 2),
        pytest.param("partitions", PARTITIONS, 3, marks=as_root),
        pytest.param("disks-and-clocks", DISKS_AND_CLOCKS, 3, marks=as_root),
    ],
)
def test_nothing_is_lost_doubled_wrong_or_reordered(
    tmp_path: Path, name: str, text: str, faults: int
) -> None:
    if "clock" in name and find_library() is None:
        install("libfaketime")
    result = run(tmp_path, name, text)
    assert result.validity == "valid", result
    assert result.counts["published"] > 30_000
    assert not [count for count in result.counts if count.startswith("workers ")]
    assert len(result.faults) == faults
    assert all(fault.hit and fault.evidence and not fault.error for fault in result.faults)
