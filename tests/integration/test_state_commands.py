"""`holdfast state` and `holdfast groups`, as users run them, beside a real application."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable

import pytest
from confluent_kafka import Producer

from holdfast.kafka.partitioner import partition_of
from tests.support.application import COUNTER, Application
from tests.support.command import holdfast, rows, startup_seconds
from tests.support.events import Added

pytestmark = pytest.mark.integration

Command = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def app(application: Callable[..., Application]) -> Application:
    """Give an application that has counted 30 numbers under ten keys."""
    made = application()
    made.publish(*(Added(key=f"key-{n % 10}", n=n) for n in range(30)))
    with made.run() as run:
        run.until_drained()
    return made


@pytest.fixture
def command(app: Application) -> Command:
    """Give a function that runs `holdfast` in the application's folder, on its brokers."""

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return holdfast(*arguments, "--bootstrap-servers", app.servers, folder=app.folder)

    return run


def test_looking_at_an_application(command: Command, app: Application) -> None:
    """Tables by key and by prefix, single values, groups, and what is told about wrong names.

    One test for all of it: the application takes seconds to fill.
    """
    # The whole table, in the order of its keys, as JSON lines since this is no terminal.
    table = rows(command("state", "list", COUNTER, "sums"))
    assert [row["key"] for row in table] == [f"key-{n}" for n in range(10)]
    assert table[3]["value"] == {"count": 3, "total": 3 + 13 + 23}

    # Some of it.
    assert len(rows(command("state", "list", COUNTER, "sums", "--limit", "2"))) == 2
    assert [r["key"] for r in rows(command("state", "list", COUNTER, "sums", "--prefix", "key-7"))] == [
        "key-7"
    ]

    # One value, with nothing around it.
    assert rows(command("state", "get", COUNTER, "sums", "key-3")) == [table[3]["value"]]

    # What is not there is told, with what to do.
    no_key = command("state", "get", COUNTER, "sums", "key-33", "--wait", "0.5")
    assert no_key.returncode == 1
    assert 'nothing under the key "key-33"' in no_key.stderr
    no_table = command("state", "list", COUNTER, "sum")
    assert no_table.returncode == 1
    assert 'has no table "sum"; did you mean "sums"?' in no_table.stderr
    no_processor = command("state", "get", "counters", "sums", "key-3")
    assert no_processor.returncode == 1
    assert 'did you mean "counter"?' in no_processor.stderr
    assert "Traceback" not in no_key.stderr + no_table.stderr + no_processor.stderr

    # A key that is no text, as a program of another language may have written it, is found as it is given.
    foreign = Producer({"bootstrap.servers": app.servers})
    foreign.produce(app.changelog, b'{"count":1,"total":2}', b"\xff")
    assert foreign.flush(20) == 0
    assert rows(command("state", "get", COUNTER, "sums", "\udcff")) == [{"count": 1, "total": 2}]
    no_text = command("state", "get", COUNTER, "sums", "\udcfe")
    assert r'nothing under the key "\xfe"' in no_text.stderr

    # The group has done its work, and nobody is in it.
    (group,) = rows(command("groups"))
    assert (group["processor"], group["group"], group["lag"]) == (COUNTER, app.group, 0)
    assert group["inputs"][0]["topic"] == app.names.topic("adds")
    assert group["inputs"][0]["committed"] == 30


def test_tables_and_groups_can_be_read_while_workers_run(
    application: Callable[..., Application],
) -> None:
    """The commands take nothing away from a running worker, and show its slot and its shards."""
    app = application()

    def command(*arguments: str) -> subprocess.CompletedProcess[str]:
        return holdfast(*arguments, "--bootstrap-servers", app.servers, folder=app.folder)

    with app.run() as run:
        app.publish(Added(key="a", n=1))
        run.until_drained()
        run.until_running()
        assert rows(command("state", "get", COUNTER, "sums", "a")) == [{"count": 1, "total": 1}]
        (group,) = rows(command("groups"))
        assert group["state"] == "stable"
        assert [worker["client"] for worker in group["workers"]] == [f"{app.group}.slot-0"]
        assert len(group["workers"][0]["partitions"]) == 4
        # The worker goes on as if nobody had looked.
        app.publish(Added(key="a", n=2))
        run.until_drained()
    assert rows(command("state", "get", COUNTER, "sums", "a")) == [{"count": 2, "total": 3}]
    assert run.views[0].restarts == 0


def test_a_key_that_a_foreign_partitioner_placed_is_found(
    application: Callable[..., Application],
) -> None:
    """A key is looked up where murmur2 puts it first, and in the other partitions then."""
    app = application()
    elsewhere = (partition_of(b"a", 4) + 1) % 4
    foreign = Producer({"bootstrap.servers": app.servers})
    foreign.produce(
        app.names.topic("adds"), Added(key="a", n=5).model_dump_json().encode(), b"a", partition=elsewhere
    )
    assert foreign.flush(20) == 0
    with app.run() as run:
        run.until_drained()
    done = holdfast(
        "state", "get", COUNTER, "sums", "a", "--bootstrap-servers", app.servers, folder=app.folder
    )
    assert rows(done) == [{"count": 1, "total": 5}]


def test_a_cluster_without_the_topics_is_told(application: Callable[..., Application]) -> None:
    """A topology that was never applied there ends in a sentence, not in an empty answer."""
    app = application()
    file = app.folder / "topology.yaml"
    file.write_text(file.read_text().replace(app.names.app, app.names.app + "-other"))
    for arguments in (("state", "list", COUNTER, "sums"), ("groups",)):
        done = holdfast(*arguments, "--bootstrap-servers", app.servers, folder=app.folder)
        assert done.returncode == 1
        assert "holdfast apply" in done.stderr
        assert "Traceback" not in done.stderr


def test_no_broker_is_told_within_ten_seconds(application: Callable[..., Application]) -> None:
    """A wrong address is one sentence, from every command that looks at a cluster."""
    app = application()
    began = time.monotonic()
    done = holdfast("groups", "--bootstrap-servers", "127.0.0.1:1", folder=app.folder)
    assert done.returncode == 1
    assert "127.0.0.1:1" in done.stderr
    assert "Traceback" not in done.stderr
    assert time.monotonic() - began < 10 + startup_seconds()
