"""A worker whose client silently stops to fetch: the pain that users of every stream processor know."""

from __future__ import annotations

import signal
from collections.abc import Callable

import pytest
from confluent_kafka import Consumer, Producer
from confluent_kafka import TopicPartition as ClientPartition

from holdfast.runtime import launch
from tests.support.application import FOLD, Application
from tests.support.events import Added
from tests.support.fold import assert_exactly_once

pytestmark = pytest.mark.integration

STOPS_FETCHING = """
# In its first life, this worker's client hands nothing out any more after 500 records.
import pathlib
from holdfast.kafka.consumer import Batch, ShardConsumer
from holdfast.runtime import stall

stall.STALLED_S, stall.ASK_S = 2.0, 0.5
first_life = pathlib.Path(__file__).with_name("first-life")
if not first_life.exists():
    first_life.touch()
    fetch, handed_out = ShardConsumer.fetch, 0

    def stuck(self, most, wait):
        global handed_out
        batch = fetch(self, min(most, 100), wait)
        if handed_out >= 500:
            return Batch()
        handed_out += sum(map(len, batch.records.values()))
        return batch

    ShardConsumer.fetch = stuck
"""


def test_a_worker_whose_client_stops_fetching_begins_anew(application: Callable[..., Application]) -> None:
    """It says where it stood; the next process handles the rest, each record once."""
    app = application(handler=STOPS_FETCHING + FOLD, topic={"partitions": 1})
    app.publish(*(Added(key=f"k{i % 9}", n=i) for i in range(2_000)))
    with app.run() as run:
        view = run.views[0]
        run.until(lambda: view.restarts, 40, "another process")
        assert "shard 0 has stood at offset" in view.error
        assert "though records up to 2000 are there" in view.error
        run.until_drained()
    assert assert_exactly_once(app) == 2_000


IMPATIENT = """
from holdfast.kafka.reader import PartitionReader
from holdfast.runtime import restore, stall

stall.RESTORE_STALLED_S, restore.PROBE_AFTER_S = 3.0, 1.0
standing = PartitionReader.standing
PartitionReader.standing = lambda self, places, timeout, *more, **names: standing(
    self, places, min(timeout, 2.0), *more, **names
)
"""


def test_a_worker_whose_positions_are_hidden_by_a_transaction_that_hangs_says_so(
    application: Callable[..., Application],
) -> None:
    """The brokers answer everything else; it looked as if it were restoring, for ever."""
    app = application(handler=IMPATIENT + FOLD, topic={"partitions": 1})
    app.publish(*(Added(key=f"k{i % 9}", n=i) for i in range(100)))
    hanging = Producer(
        {
            "bootstrap.servers": app.servers,
            "transactional.id": f"{app.names.app}.hanging",
            "transaction.timeout.ms": 900_000,
        }
    )
    hanging.init_transactions(30)
    hanging.begin_transaction()
    outsider = Consumer({"bootstrap.servers": app.servers, "group.id": app.group})
    place = ClientPartition(app.names.topic("adds"), 0, 0)
    hanging.send_offsets_to_transaction([place], outsider.consumer_group_metadata(), 30)
    outsider.close()
    with app.run() as run:
        view = run.views[0]
        run.until(lambda: view.status.restore_waits, 60, "the reason")
        assert "reading committed offsets" in view.status.restore_waits
        run.until(lambda: view.restarts, 60, "another process")
        assert "the restore of shard 0 cannot begin: reading committed offsets" in view.error
        assert "find-hanging" in view.error
        hanging.abort_transaction(30)
        run.until_drained()
    assert assert_exactly_once(app) == 100


HANGS_AT_IMPORT = """
import pathlib, time

while pathlib.Path(__file__).with_name("hang").exists():
    time.sleep(0.05)
"""


def test_a_worker_whose_module_hangs_at_import_is_killed_until_it_comes_up(
    application: Callable[..., Application], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A service that its module asks is away when it is started again: its shards were nobody's for ever."""
    monkeypatch.setattr(launch, "START_S", 5.0)
    app = application(handler=HANGS_AT_IMPORT + FOLD)
    hang = app.folder / "hang"
    with app.run() as run:
        run.until_running(within=60)
        app.publish(*(Added(key=f"k{i % 9}", n=i) for i in range(100)))
        hang.touch()
        run.signal(signal.SIGKILL)
        view = run.views[0]
        run.until(lambda: "did not come up" in view.error, 40, "the end of the start that hangs")
        assert f"while it imported what {app.topology.source.path.resolve()} names" in view.error
        assert view.restarts >= 1
        hang.unlink()
        run.until_drained(within=90)
    assert assert_exactly_once(app) == 100
