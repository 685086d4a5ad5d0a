"""Topics that are deleted, and made anew, under a running worker."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable

import pytest
from confluent_kafka.admin import AdminClient, NewPartitions

from tests.support.application import Application
from tests.support.events import Added

pytestmark = [pytest.mark.integration, pytest.mark.timeout(180)]


def test_a_worker_goes_on_with_topics_that_were_made_anew(application: Callable[..., Application]) -> None:
    """It once looked healthy and handled nothing, and a restart did not help."""
    app = application()
    app.publish(*(Added(key=f"k{n % 7}", n=n) for n in range(50)))
    with app.run() as run:
        run.until_drained()
        delete_topics(app)
        app.provision()
        app.publish(*(Added(key=f"k{n % 7}", n=n) for n in range(30)))
        run.until(lambda: app.lag() == 0, 60, "the new records handled")
        run.until(lambda: run.running() == 4, 30, "all shards")
    assert len(app.decoded("sums")) == 30
    assert max(folded.count for folded in app.decoded("sums")) == 5, "sums of the old topics were kept"


def test_a_position_of_the_old_topic_is_not_taken_for_one_of_the_new(
    application: Callable[..., Application],
) -> None:
    """A worker that stood still meanwhile reads on at its old position, and may even commit it."""
    app = application(topic={"partitions": 1})
    app.publish(*(Added(key=f"k{n % 7}", n=n) for n in range(50)))
    with app.run() as run:
        run.until_drained()
        run.signal(signal.SIGSTOP)
        delete_topics(app)
        app.provision()
        app.publish(*(Added(key=f"k{n % 7}", n=n) for n in range(90)))
        run.signal(signal.SIGCONT)
        # Some of them may be handled twice: by the worker that had not noticed, and by the next one.
        run.until(lambda: {folded.n for folded in app.decoded("sums")} == set(range(90)), 60, "every record")
        run.until_drained()


def delete_topics(app: Application) -> None:
    """Delete every topic of an application, and wait until they are gone."""
    client = AdminClient({"bootstrap.servers": app.servers})

    def present() -> list[str]:
        return [name for name in client.list_topics(timeout=10).topics if name.startswith(app.names.app)]

    for done in client.delete_topics(present()).values():
        done.result(30)
    deadline = time.monotonic() + 30
    while present():
        assert time.monotonic() < deadline, "the topics are still there"
        time.sleep(0.1)


@pytest.mark.slow
def test_an_input_that_was_given_more_partitions_is_told(application: Callable[..., Application]) -> None:
    """Its keys have moved away from their state: no shard may go on with what is left, and that is said."""
    app = application(topic={"partitions": 2})
    app.publish(*(Added(key=f"k{n % 7}", n=n) for n in range(50)))
    with app.run() as run:
        run.until_drained()
        client = AdminClient({"bootstrap.servers": app.servers})
        grown = client.create_partitions([NewPartitions(app.names.topic("adds"), 4)])
        grown[app.names.topic("adds")].result(20)
        # Before it is given the new ones, it may have ended: all that it had have stopped.
        run.until(lambda: run.views[0].shard_failures.keys() >= {0, 1}, 60, "refusal", failing=True)
        assert all("number of partitions was changed" in it for it in run.views[0].shard_failures.values())
        app.publish(*(Added(key=f"k{n % 7}", n=n) for n in range(50)))
        run.let_run(2.0)
        assert run.running() == 0
    assert len(app.decoded("sums")) == 50, "nothing was made of state that others have now"
