"""An experiment on brokers in containers: disconnected, paused, killed."""

from __future__ import annotations

from pathlib import Path

import pytest

from holdfast.chaos.kit.chaos import Chaos
from holdfast.chaos.lab.containers import ContainerLab
from holdfast.errors import FaultFailed
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


@pytest.mark.usefixtures("docker_engine")
def test_a_test_can_take_a_container_off_its_networks(tmp_path: Path) -> None:
    with ContainerLab(3) as lab:
        chaos = Chaos(lambda: lab, tmp_path, lambda: None)
        with chaos.fault("network.disconnect", "broker-2") as fault:
            assert lab.brokers.cluster.networks(2) == []
            with (
                pytest.raises(FaultFailed, match="does the same to broker-2"),
                chaos.fault("network.disconnect", "broker-2"),
            ):
                pass
        assert len(fault.evidence["end"]["networks"]["broker-2"]) == 2
        lab.brokers.wait_until_whole(60)
