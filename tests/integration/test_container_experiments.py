"""An experiment on brokers in containers: disconnected, paused, killed."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.engine import Engine
from tests.support.experiments import run

pytestmark = [pytest.mark.integration, pytest.mark.containers, pytest.mark.timeout(420)]

CONTAINERS = """
cluster: {kind: containers}
workload: {kind: bank, LOAD}
time_limit: 55s
faults:
  - {at: 3s, fault: network.disconnect, target: leader, for: 12s}
  - {at: 26s, fault: broker.freeze, target: leader, for: 6s}
  - {at: 44s, fault: broker.kill, target: leader, for: 5s}
invariants: [exactly-once, conservation, no-lost-writes, transactions-finished]
"""


def test_nothing_is_lost_when_containers_are_disconnected_paused_and_killed(
    docker_engine: Engine, tmp_path: Path
) -> None:
    result = run(tmp_path, "containers", CONTAINERS)
    assert result.validity == "valid", result
    assert result.counts["published"] > 30_000
    disconnected, frozen, killed = result.faults
    before, after = (disconnected.evidence[when]["networks"] for when in ("begin", "end"))
    assert all(len(before[name]) < len(after[name]) for name in disconnected.hit)
    assert frozen.evidence["begin"]["suspended"].keys() == set(frozen.hit)
    assert killed.evidence["begin"]["ended"] != killed.evidence["end"]["started"]
