"""What workers that are gone left open is ended by their successors, on brokers that would never do it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from holdfast.local.cluster import EmbeddedCluster
from tests.support.application import Application
from tests.support.fold import assert_exactly_once
from tests.support.load import Load
from tests.support.uncommitted import SESSION, Place, caught_in_a_transaction, outputs, shards_of

pytestmark = [pytest.mark.integration, pytest.mark.timeout(180)]

NEVER_MS = "3600000"


@pytest.fixture(scope="module")
def patient_brokers() -> Iterator[EmbeddedCluster]:
    """Brokers that look for transactions that are too old once an hour."""
    never = {"transaction.abort.timed.out.transaction.cleanup.interval.ms": NEVER_MS}
    with EmbeddedCluster.temporary(overrides=never) as cluster:
        yield cluster


@pytest.fixture(params=["classic", pytest.param("consumer", marks=pytest.mark.slow)])
def app(
    patient_brokers: EmbeddedCluster,
    tmp_path: Path,
    unique_name: Callable[[str], str],
    request: pytest.FixtureRequest,
) -> Application:
    """An application that commits seldom, so that a transaction is mostly open."""
    made = Application(
        tmp_path,
        patient_brokers.bootstrap_servers,
        unique_name("app"),
        kafka={"group.protocol": request.param},
        commit_interval="2s",
        session_timeout=SESSION,
    )
    made.provision()
    return made


def test_a_frozen_workers_transaction_is_ended_when_its_shards_are_taken(app: Application) -> None:
    """Its successor restores and commits, and readers get past what it left, while it still is frozen."""
    with app.run(workers=2) as run:
        run.until(lambda: len(shards_of(app, "slot-0")) == 2 and run.running() == 4, 40, "two shards each")
        with Load(app, rate=300):
            with caught_in_a_transaction(run, shards_of(app, "slot-0")) as left:
                run.until(lambda: run.views[1].status.shards.get("running") == 4, 30, "a takeover")
                run.until(lambda: left_behind(app, left), 30, "readers are past what it left")
            run.until(lambda: run.views[0].status.shards.get("running") == 2, 40, "its return")
        run.until_drained()
    assert_exactly_once(app)
    assert not left & outputs(app, "read_committed").keys()


def left_behind(app: Application, left: set[Place]) -> bool:
    """Whether readers of committed records have seen records beyond these, in each partition."""
    seen: dict[int, int] = {}
    for partition, offset in outputs(app, "read_committed"):
        seen[partition] = max(seen.get(partition, 0), offset)
    return all(seen.get(partition, 0) > offset for partition, offset in left)
