"""Brokers of two releases of Kafka serve together while the older ones are replaced: no record is lost."""

from __future__ import annotations

from pathlib import Path

import pytest

from holdfast.local.jars import kafka_version, older_releases
from tests.support.experiments import run

pytestmark = [pytest.mark.integration, pytest.mark.slow, pytest.mark.timeout(420)]

UPGRADE = """
workload: {kind: sequence, LOAD}
time_limit: 75s
faults:
  - {at: 3s, fault: broker.rolling, upgrade_from: RELEASE, pause: 2s}
invariants: [exactly-once, state-fold, per-key-order, no-lost-writes, no-duplicates, transactions-finished]
"""


def test_a_rolling_upgrade_loses_doubles_and_reorders_nothing(tmp_path: Path) -> None:
    before = older_releases()[-1]
    result = run(tmp_path, "upgrade", UPGRADE.replace("RELEASE", before))
    assert result.validity == "valid", result
    [fault] = result.faults
    assert not fault.error
    brokers = ("broker-1", "broker-2", "broker-3")
    assert fault.evidence["begin"]["before"] == dict.fromkeys(brokers, before)
    assert fault.evidence["begin"]["after"] == dict.fromkeys(brokers, kafka_version())
    assert result.versions["kafka"] == f"{before}, upgraded to {kafka_version()}"
    print(fault.evidence, result.recovery, result.counts)
