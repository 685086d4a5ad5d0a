"""Local state that is damaged, outdated or cannot be written; state while transactions are open."""

from __future__ import annotations

import contextlib
import os
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from confluent_kafka import KafkaException
from confluent_kafka import Producer as Client
from confluent_kafka.admin import AdminClient, NewTopic

from holdfast.errors import ClusterError
from holdfast.kafka.reader import PartitionReader, reader_settings
from holdfast.kafka.scan import LogScanner
from holdfast.kafka.settings import consumer_config
from holdfast.runtime.claims import Claim, Restored
from holdfast.runtime.known_topics import KnownTopics
from holdfast.runtime.opening import RestoreSettings
from holdfast.runtime.restore import Restorer
from holdfast.runtime.store import StoreMemory
from holdfast.runtime.supervisor import WorkerState
from tests.support import disk
from tests.support.application import Application
from tests.support.events import Added
from tests.support.fold import assert_exactly_once

pytestmark = [pytest.mark.integration, pytest.mark.timeout(150)]
Make = Callable[..., Application]


def adds(count: int, keys: int = 200) -> list[Added]:
    """Inputs over many keys."""
    return [Added(key=f"k{i % keys}", n=i) for i in range(count)]


def flushed(app: Application) -> list[Path]:
    """Table files of a stopped worker."""
    return list(app.state_folder().rglob("*.sst"))


def test_a_corrupt_folder_is_rebuilt_from_the_changelog(application: Make) -> None:
    """Whatever file is overwritten, the result is right and the worker needs no help."""
    app = application()
    app.publish(*adds(1500))
    with app.run() as run:
        run.until_drained()
    damage = ["*.sst", "MANIFEST-*", "CURRENT", "rocksdict-config.json"]
    for partition, pattern in enumerate(damage):
        victims = list(app.state_folder(partition=partition).glob(pattern))
        assert victims, f"no {pattern}"
        for file in victims:
            file.write_bytes(os.urandom(max(file.stat().st_size, 16)))
    app.publish(*adds(1500))
    with app.run() as run:
        run.until_drained()
    assert assert_exactly_once(app) == 3000


@pytest.mark.slow
def test_the_folder_of_another_shard_is_rebuilt(application: Make) -> None:
    """Two that were swapped, as by a copy that was put back: they went on with each other's sums."""
    app = application()
    app.publish(*adds(1500))
    with app.run() as run:
        run.until_drained()
    first, second = app.state_folder(partition=0), app.state_folder(partition=1)
    aside = first.with_name("aside")
    first.rename(aside)
    second.rename(first)
    aside.rename(second)
    app.publish(*adds(1500))
    with app.run() as run:
        run.until_drained()
    assert assert_exactly_once(app) == 3000
    assert "is that of shard 1; it is rebuilt" in app.logs()


def test_damage_that_shows_only_when_a_key_is_read_is_mended_under_way(application: Make) -> None:
    """One flipped block in a table file: opening it succeeds, reading does not."""
    app = application(topic={"partitions": 1}, cache_entries=1)
    app.publish(*adds(3000, keys=1000))
    with app.run() as run:
        run.until_drained()
    tables = [file for file in flushed(app) if file.stat().st_size > 10_000]
    assert tables, "the stop flushes tables"
    for file in tables:
        content = bytearray(file.read_bytes())
        content[1_000:3_000] = os.urandom(2_000)
        file.write_bytes(content)
    app.publish(*adds(1000, keys=1000))
    with app.run() as run:
        run.until_drained()
        run.until(lambda: run.views[0].status.restored > 0, 10, "a restore")
        assert run.views[0].restarts == 0
    assert assert_exactly_once(app) == 4000


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 12 MB of its own."""
    with disk.small_disk(tmp_path / "disk", 12) as folder:
        yield folder


def test_a_full_disk_is_told_loses_nothing_and_works_when_there_is_room(
    application: Make, small_disk: Path
) -> None:
    """The worker stops with a message that says what to do; after freeing space a restart goes on."""
    app = application()
    home = app.home
    app.home = small_disk
    filler = small_disk / "filler"
    with app.run(home=small_disk) as run:
        app.publish(*adds(500))
        run.until_drained()
        free = shutil.disk_usage(small_disk).free
        with filler.open("wb") as file:
            file.write(b"x" * (free - 20_000))
        for round_ in range(30):
            app.publish(*adds(2000, keys=2000 + round_))
            run.let_run(0.2)
            if run.supervisor.failed or run.supervisor.all_ended:
                break
        run.until(lambda: run.supervisor.all_ended, 40, "the worker's end", failing=True)
        view = run.views[0]
        assert view.state is WorkerState.FAILED
        assert "the disk is full" in view.error, view.error
        assert "nothing is lost" in view.error
    # With the disk still full it says so again, without a traceback.
    with app.run(home=small_disk) as run:
        run.until(lambda: run.supervisor.all_ended or run.views[0].restarts, 30, "its end", failing=True)
        assert "the disk is full" in run.views[0].error or "free space" in run.views[0].error
    filler.unlink()
    with app.run(home=small_disk) as run:
        run.until_drained()
    app.home = home
    assert_exactly_once(app)


def test_a_restore_waits_for_a_transaction_on_the_changelog(application: Make, tmp_path: Path) -> None:
    """A commit is final before its marker is everywhere; so what is open is waited for and then counted."""
    app = application(topic={"partitions": 1})
    writer = Client({"bootstrap.servers": app.servers, "transactional.id": f"{app.names.app}.predecessor"})
    writer.init_transactions(20)
    writer.begin_transaction()
    writer.produce(app.changelog, b'{"count":1,"total":1}', b"k", 0)
    assert writer.flush(20) == 0
    app.reset_positions()
    settings = consumer_config(app.servers, app.group, start="error")
    restorer = Restorer(
        RestoreSettings((app.names.topic("adds"),), {"sums": app.changelog}, tmp_path / "state", "earliest"),
        lambda: PartitionReader(reader_settings(settings)),
        StoreMemory(),
        KnownTopics((app.names.topic("adds"), app.changelog), 10.0),
    )
    try:
        restorer.ask(Claim(0, 1))
        with app.run() as run:  # a supervisor to poll, nothing else
            run.until(lambda: [p.total for p in restorer.progress()] == [1], 20, "a restore under way")
            run.let_run(1.0)
            assert restorer.results.empty()
            writer.commit_transaction(20)
            run.until(lambda: not restorer.results.empty(), 20, "the restored shard")
        result = restorer.results.get()
        assert isinstance(result, Restored)
        assert dict(result.store.items("sums")) == {b"k": b'{"count":1,"total":1}'}
        result.store.close()
    finally:
        restorer.close()


def test_a_topic_made_anew_has_another_id(application: Make) -> None:
    """By which local state of a deleted changelog is told from that of the new one of the same name."""
    app = application(topic={"partitions": 1})
    names = [app.changelog]
    settings = reader_settings(consumer_config(app.servers, app.group, start="error"))
    admin = AdminClient({"bootstrap.servers": app.servers})
    with contextlib.closing(PartitionReader(settings)) as reader:
        first = reader.topics(names, 10.0)
        assert reader.topics(names, 10.0) == first
        admin.delete_topics(names)[app.changelog].result(20)
        deadline = time.monotonic() + 20
        while True:
            # The name is taken until every broker has let go of the old topic.
            with contextlib.suppress(KafkaException):
                admin.create_topics([NewTopic(app.changelog, 1, 3)])[app.changelog].result(20)
                break
            assert time.monotonic() < deadline, "the name is not free again"
        later = first
        while later == first:
            # A broker may answer from before the deletion for a moment.
            assert time.monotonic() < deadline, "the new topic has the id of the old one"
            with contextlib.suppress(ClusterError):
                later = reader.topics(names, 10.0)


MISFIT = """
from typing import NamedTuple

from holdfast import State, processor
from test_events import Added


class Pair(NamedTuple):
    amount: float
    orders: int


@processor
def handle(event: Added, sums: State[Pair]) -> None:
    sums.set(Pair("much" if event.n == 4 else 1.0, 1))
"""


def test_state_that_could_not_be_read_back_is_never_committed(application: Make) -> None:
    """A field of a wrong type, of which pydantic only warns, stops the shard with key and field."""
    app = application(
        handler=MISFIT, outputs={}, tables={"sums": "test_handler:Pair"}, topic={"partitions": 1}
    )
    app.publish(*(Added(key="k", n=n) for n in range(5)))
    with app.run() as run:
        run.until(lambda: run.views[0].error, 40, "the stop", failing=True)
        said = str(run.views[0].error)
    assert "much" in said
    assert "float" in said
    assert "'k'" in said
    assert not [
        row for row in LogScanner(app.servers).topic(app.changelog) if b"much" in (row.value() or b"")
    ]
