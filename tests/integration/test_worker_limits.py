"""What a worker does at its limits: positions that are gone, slow handlers, units that cannot be written."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient

from holdfast.runtime.supervisor import WorkerState
from tests.support.application import FOLD, Application
from tests.support.events import Added
from tests.support.fold import assert_exactly_once

pytestmark = pytest.mark.integration

Make = Callable[..., Application]

SLOW = "import time\n" + FOLD.replace("-> Folded:\n", "-> Folded:\n    time.sleep(0.05)\n", 1)


def test_a_position_that_retention_took_stops_one_shard_and_says_so(application: Make) -> None:
    """The records between the position and the log's start are gone: going on would skip them in silence."""
    app = application()
    app.publish(*(Added(key=f"k{i}", n=i) for i in range(40)))
    with app.run() as run:
        run.until_drained()
    app.publish(*(Added(key=f"k{i}", n=i) for i in range(40)))
    topic, admin = app.names.topic("adds"), AdminClient({"bootstrap.servers": app.servers})
    end = sum(m.partition() == 0 for m in app.read("adds"))
    for gone in admin.delete_records([TopicPartition(topic, 0, end)]).values():
        gone.result(10)
    with app.run() as run:
        run.until(lambda: 0 in run.views[0].shard_failures, 30, "a stopped shard", failing=True)
        assert f"{topic}[0]" in run.views[0].shard_failures[0]
        assert "retention" in run.views[0].shard_failures[0]
        others = {("adds", p): sum(m.partition() == p for m in app.read("adds")) for p in (1, 2, 3)}
        run.until(
            lambda: others.items() <= app.committed().items(), 20, "the other shards' records", failing=True
        )
        assert run.views[0].state is WorkerState.RUNNING


def test_a_slow_handler_commits_as_it_goes(application: Make) -> None:
    """A turn ends after a second whatever was fetched; what is left is read again, and handled once."""
    app = application(handler=SLOW, topic={"partitions": 1})
    app.publish(*(Added(key=f"k{i % 5}", n=i) for i in range(120)))
    with app.run() as run:
        run.until(lambda: 0 < app.committed().get(("adds", 0), 0) < 60, 20, "a first part")
        run.until_drained()
    assert assert_exactly_once(app) == 120


@pytest.mark.slow
def test_outputs_that_cannot_be_written_end_the_worker_with_the_reason(application: Make) -> None:
    """It tries, then says why, and its supervisor starts it again after a pause."""
    app = application()
    admin = AdminClient({"bootstrap.servers": app.servers})
    with app.run() as run:
        run.until_running()
        admin.delete_topics([app.names.topic("sums")])[app.names.topic("sums")].result(10)
        app.publish(*(Added(key=f"k{i}", n=i) for i in range(40)))
        run.until(lambda: run.views[0].restarts >= 1, 100, "the worker's end", failing=True)
        assert "cannot commit" in run.views[0].error


def test_a_session_that_the_brokers_do_not_allow_ends_the_worker_with_what_to_do(
    application: Make,
) -> None:
    """With the newer group protocol it is for them to say; another session would be a surprise."""
    app = application(kafka={"group.protocol": "consumer"}, session_timeout="30m")
    with app.run() as run:
        run.until(lambda: run.supervisor.all_ended, 30, "the worker's end", failing=True)
        error = run.views[0].error
    assert f"setting the session of the group {app.group} to 1800000 ms" in error
    assert "Declare a `session_timeout` within them for counter, or change" in error
