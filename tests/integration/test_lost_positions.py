"""State and positions that do not belong together: a worker says so, and never counts twice or from zero."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from tests.support.application import COUNTER, Application
from tests.support.events import Added
from tests.support.fold import assert_exactly_once
from tests.support.versions import command

pytestmark = [pytest.mark.integration, pytest.mark.timeout(180)]
Make = Callable[..., Application]


def some(count: int) -> list[Added]:
    return [Added(key=f"k{n % 7}", n=1) for n in range(count)]


def worked(make: Make, **options: Any) -> Application:
    """An application that has handled something, and whose workers are stopped."""
    app = make(topic={"partitions": 2}, **options)
    app.publish(*some(60))
    with app.run() as run:
        run.until_drained()
    return app


def until_gone(app: Application) -> None:
    """Delete the group, as brokers do when it had no members for long, once its last session has ended."""
    client = AdminClient({"bootstrap.servers": app.servers})
    deadline = time.monotonic() + 30
    while True:
        try:
            client.delete_consumer_groups([app.group])[app.group].result(10)
        except KafkaException:
            assert time.monotonic() < deadline
            time.sleep(0.2)
        else:
            return


def until_refused(app: Application, text: str) -> None:
    """Workers start, refuse every shard that has state, and say why."""
    with app.run() as run:
        run.until(lambda: len(run.views[0].shard_failures) == 2, 60, "the refusal", failing=True)
        assert all(text in it for it in run.views[0].shard_failures.values()), run.views[0].shard_failures


@pytest.mark.parametrize("start", ["earliest", "latest"])
def test_positions_that_are_forgotten_are_not_made_up(application: Make, start: str) -> None:
    """With `earliest` all would be counted twice; with `latest` what came meanwhile would be skipped."""
    app = worked(application, start=start) if start == "earliest" else worked_from_latest(application)
    until_gone(app)
    app.publish(*some(10))
    before = len(app.decoded("sums"))
    until_refused(app, "its tables hold state, but the group has no positions")
    assert len(app.decoded("sums")) == before


def worked_from_latest(make: Make) -> Application:
    """One that begins at the end of its inputs."""
    app = make(topic={"partitions": 2}, start="latest")
    with app.run() as run:
        run.until_running(2)
        app.publish(*some(60))
        run.until_drained()
    return app


@pytest.mark.slow
def test_a_replay_mends_a_group_that_lost_its_positions(application: Make) -> None:
    """All that is there is applied again to empty tables, and its outputs are not written a second time."""
    app = worked(application)
    until_gone(app)
    until_refused(app, "holdfast replay PROCESSOR --from beginning")
    done = command(app, "replay", COUNTER, "--from", "beginning", "--yes")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "nobody knows what was handled" in done.stderr
    with app.run() as run:
        run.until_drained()
        app.publish(*some(20))
        run.until_drained()
    assert_exactly_once(app)


def test_known_offsets_keep_the_state(application: Make) -> None:
    """Somebody noted where the group stood: it goes on from there with the tables as they are."""
    app = worked(application)
    stood = {partition: offset for (_, partition), offset in app.committed().items()}
    until_gone(app)
    app.publish(*some(20))
    offsets = ",".join(f"{partition}:{offset}" for partition, offset in stood.items())
    done = command(app, "replay", COUNTER, "--from", offsets, "--keep-state", "--emit", "--yes")
    assert done.returncode == 0, done.stdout + done.stderr
    with app.run() as run:
        run.until_drained()
    assert_exactly_once(app)


def test_a_changelog_that_was_made_anew_is_no_state(application: Make) -> None:
    """The last copy of the state is not thrown away for nothing, and nothing is counted from zero."""
    app = worked(application)
    client = AdminClient({"bootstrap.servers": app.servers})
    client.delete_topics([app.changelog])[app.changelog].result(20)
    deadline = time.monotonic() + 30
    while app.changelog in client.list_topics(timeout=10).topics:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    app.provision()
    app.publish(*some(10))
    until_refused(app, f"{app.changelog}: deleted and created again")
    assert len(app.decoded("sums")) == 60
    done = command(app, "replay", COUNTER, "--from", "beginning", "--yes")
    assert done.returncode == 0, done.stdout + done.stderr
    with app.run() as run:
        run.until_drained()
    assert_exactly_once(app)
