"""Another Kafka cluster as a sink: what is written there, by whom, and what is said when it cannot be.

The brokers of all tests do for this: a sink knows them by their address alone.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient

from holdfast import Event
from holdfast.errors import SinkBehind, SinkDown, SinkError, SinkFenced
from holdfast.kafka.admin import TopicAdmin
from holdfast.kafka.unit_writer import Outcome
from holdfast.record import Output, TopicPartition, Write
from holdfast.sinks.base import Refusal, SinkBatch
from holdfast.sinks.kafka import KafkaRecord
from holdfast.sinks.kafka.positions import STANDING_KEY
from holdfast.sinks.kafka.shard import Search
from holdfast.sinks.kafka.sink import KafkaSettings, KafkaSink
from holdfast.sinks.kafka.standing import InputStanding, Standing
from holdfast.testing import MemoryMessage
from holdfast.topology import TopicSpec
from tests.conftest import TestCluster
from tests.support.mirror import MirrorTopic, standing
from tests.support.proxy import Api, Fault, Proxy

pytestmark = [pytest.mark.integration, pytest.mark.timeout(90)]

SHARD = 2
PLACE = TopicPartition("orders", SHARD)
AHEAD_MS = 2 * 3_600_000


class Bench:
    """Sinks of one group, and a topic that they write to.

    Attributes:
        group: the group.
        topic: the topic.
        positions: the name of the topic of positions.
    """

    def __init__(self, servers: str, name: str) -> None:
        self.group = f"mirror-{name}"
        self.topic = MirrorTopic(servers, f"out-{name}", 2, {})
        self.positions = f"holdfast.positions.{self.group}"
        self._servers = servers
        self._sinks: list[KafkaSink] = []

    def sink(self, servers: str = "", **changes: Any) -> KafkaSink:
        """A new sink."""
        made = KafkaSink(KafkaSettings("mirror", servers or self._servers, **{"timeout": 8.0, **changes}))
        self._sinks.append(made)
        return made

    def record(self, value: bytes | str | Event | None, **changes: Any) -> KafkaRecord:
        """A record for the topic."""
        return KafkaRecord(self.topic.name, "key", value, **changes)

    def batch(self, *made: tuple[int, KafkaRecord], token: int = 7, **changes: Any) -> SinkBatch:
        """A batch of one shard; what was made of records, by offset."""
        offsets = [offset for offset, _ in made]
        messages = {at: MemoryMessage("orders", SHARD, at, key=b"k", value=b"{}") for at in offsets}
        parts: dict[str, Any] = {
            "begins": {PLACE: min(offsets, default=0)},
            "ends": {PLACE: max(offsets, default=-1) + 1},
            "fences": {PLACE: token},
            "topic_ids": {"orders": "id-1"},
            **changes,
        }
        return SinkBatch(group=self.group, writes=[Write(messages[at], it) for at, it in made], **parts)

    def numbers(self, *offsets: int, **changes: Any) -> SinkBatch:
        """A batch with a record for each offset, whose value is that."""
        return self.batch(*((at, self.record(str(at))) for at in offsets), **changes)

    def there(self) -> list[bytes | None]:
        """What consumers see."""
        return self.topic.values()

    def close(self) -> None:
        """Let go of everything."""
        for sink in self._sinks:
            sink.close()
        self.topic.close()


@pytest.fixture
def bench(cluster: TestCluster, request: pytest.FixtureRequest) -> Iterator[Bench]:
    """Give a bench of the test's own."""
    made = Bench(cluster.bootstrap_servers, f"{time.time_ns()}")
    yield made
    made.close()


def test_records_arrive_as_the_handler_made_them(bench: Bench) -> None:
    """Keys, values, headers, times, tombstones; events as on topics of Holdfast."""

    class Total(Event):
        n: int

    bench.sink().write(
        bench.batch(
            (0, bench.record("ä", headers={"h": "ü", "none": None}, timestamp=1_700_000_000_000)),
            (1, bench.record(Total(n=1))),
            (2, bench.record(None)),
        )
    )
    first, event, gone = bench.topic.records()
    assert (first.key(), first.value(), first.timestamp()[1]) == (b"key", "ä".encode(), 1_700_000_000_000)
    assert first.headers() == [("h", "ü".encode()), ("none", None)]
    assert (event.value(), event.headers()) == (b'{"n":1}', [("ce_type", b"Total.v1")])
    assert (gone.key(), gone.value()) == (b"key", None)


def test_the_topic_of_positions_says_how_far_each_shard_is(bench: Bench, cluster: TestCluster) -> None:
    """It is made with a partition for each shard, compacted, as safe as the cluster allows, and grows."""
    sink = bench.sink()
    sink.write(bench.numbers(3, 4))
    found = standing(cluster.bootstrap_servers, bench.positions, SHARD)
    assert found == {
        "fencing_token": 7,
        "inputs": {"orders": {"position": 5, "topic_id": "id-1", "refused": {}}},
    }
    state = TopicAdmin(cluster.bootstrap_servers).topics([bench.positions])[bench.positions]
    assert (state.spec.partitions, state.spec.replication) == (SHARD + 1, 3)
    assert (state.spec.config["cleanup.policy"], state.spec.config["min.insync.replicas"]) == ("compact", "2")
    other = TopicPartition("orders", 5)
    sink.write(bench.batch(begins={other: 0}, ends={other: 9}, fences={other: 1}))
    assert standing(cluster.bootstrap_servers, bench.positions, 5)["inputs"]["orders"]["position"] == 9
    assert standing(cluster.bootstrap_servers, bench.positions, SHARD) == found


def test_a_frozen_owner_that_wakes_cannot_commit(bench: Bench) -> None:
    """Its records were on the brokers, in a transaction that was open when another took its shard over."""
    old, new = bench.sink(), bench.sink()
    old.write(bench.numbers(0))
    shard = old._shards[bench.group, SHARD]
    writer = shard._writer
    assert writer is not None
    writer.begin()
    writer.send([Output(bench.topic.name, b"of yesterday", b"key", 0, [])])
    writer.settle()
    new.write(bench.numbers(1, token=8))
    assert bench.there() == [b"0", b"1"]
    ending = writer.end()
    assert ending.outcome is Outcome.FENCED, ending
    assert bench.there() == [b"0", b"1"]


def test_a_frozen_owner_that_wakes_cannot_begin(bench: Bench) -> None:
    """It had nothing open, and sends its next batch when another has its shard: none of it is written.

    The new owner does not even notice: who is late looks before it takes anything over.
    """
    old, new = bench.sink(), bench.sink()
    old.write(bench.numbers(0))
    new.write(bench.numbers(1, token=8))
    client = new._shards[bench.group, SHARD]._writer
    for _ in range(2):
        with pytest.raises(SinkFenced, match=r"shard 2 has been written by a newer owner \(fencing token 8"):
            old.write(bench.numbers(1, 2))
    new.write(bench.numbers(2, token=8))
    assert new._shards[bench.group, SHARD]._writer is client
    assert bench.there() == [b"0", b"1", b"2"]


def test_the_brokers_refuse_the_id_of_the_owner_before(bench: Bench) -> None:
    """Not our tokens, which it need not have seen: a commit that it goes on with is fenced."""
    old, new = bench.sink(), bench.sink()
    old.write(bench.numbers(0))
    new.write(bench.numbers(1, token=8))
    shard = old._shards[bench.group, SHARD]
    position = bench.numbers(1).writes[0].position
    outputs = [Output(bench.topic.name, b"of yesterday", b"key", 0, [])]
    with pytest.raises(Exception, match=r"(?i)fenced|epoch") as caught:
        shard.commit([(position, outputs)], Standing(7), Search())
    assert getattr(caught.value, "is_fenced", False), caught.value
    assert bench.there() == [b"0", b"1"]


@pytest.mark.slow
def test_owners_that_take_a_shard_from_each_other_write_each_record_once(bench: Bench) -> None:
    """Five of them at once, with tokens in any order, under one supervisor that never gives up."""
    errors: list[BaseException] = []

    def run(token: int) -> None:
        # On a machine that is busy most of these writes may find no end: twenty of them are to fit.
        sink = bench.sink(timeout=2.0)
        for at in range(0, 60, 3):
            try:
                sink.write(bench.numbers(*range(at, at + 3), token=token, begins={PLACE: 0}))
            except (SinkFenced, SinkDown):
                continue
            except BaseException as error:  # noqa: BLE001 - raised where the threads are joined
                errors.append(error)
                return

    threads = [threading.Thread(target=run, args=(token,)) for token in (3, 1, 5, 2, 4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    last = bench.sink()
    for at in range(0, 60, 3):
        last.write(bench.numbers(*range(at, at + 3), token=9, begins={PLACE: 0}))
    found = [int(value or b"") for value in bench.there()]
    assert sorted(found) == sorted(set(found)), "a record is there twice"


def test_records_that_are_refused_cost_no_other(bench: Bench, cluster: TestCluster) -> None:
    """For their size, which the topic limits more than the client; and of two topics in one record."""
    small = MirrorTopic(
        cluster.bootstrap_servers, f"{bench.topic.name}-small", 1, {"max.message.bytes": "2000"}
    )
    made = []
    for at in range(12):
        size = 3_000 if at in (4, 9) else 10
        value = bytes(n % 251 for n in range(size))  # it does not compress
        made += [(at, bench.record(str(at))), (at, KafkaRecord(small.name, "key", value))]
    sink = bench.sink(timeout=15.0, properties={"compression.type": "none"})
    refusals = list(sink.write(bench.batch(*made)))
    assert sorted(it.position.offset for it in refusals) == [4, 9]
    assert "MSG_SIZE_TOO_LARGE" in str(refusals[0].error)
    assert small.name in str(refusals[0].error)
    good = [str(at).encode() for at in range(12) if at not in (4, 9)]
    assert bench.there() == good
    assert len(small.records()) == len(good)
    small.close()


def test_a_record_larger_than_the_client_takes_is_refused_at_once(bench: Bench) -> None:
    """Its batch is one transaction all the same."""
    refusals = bench.sink().write(
        bench.batch(
            (0, bench.record("before")), (1, bench.record(b"x" * 1_000_000)), (2, bench.record("after"))
        )
    )
    (refusal,) = refusals
    assert isinstance(refusal, Refusal)
    assert refusal.position.offset == 1
    assert "`message.max.bytes` of the sink (below its `kafka`) is 1,000,000" in str(refusal.error)
    assert bench.there() == [b"before", b"after"]


def test_a_topic_that_is_not_there_is_told_with_what_to_do(bench: Bench) -> None:
    """No record is to blame; when somebody has made it, everything goes on."""
    sink = bench.sink()
    missing = f"{bench.topic.name}-missing"
    batch = bench.batch((0, KafkaRecord(missing, "k", b"v")))
    wanted = (
        rf"sink 'mirror': the cluster at .* has no topic '{missing}' \(for orders\[2\]@0\).* Create it there"
    )
    with pytest.raises(SinkError, match=wanted) as caught:
        sink.write(batch)
    assert not isinstance(caught.value, SinkDown)
    topic = MirrorTopic(bench.topic.servers, missing, 1, {})
    sink.write(batch)
    assert topic.values() == [b"v"]
    topic.close()


def test_a_topic_that_is_deleted_under_a_sink_is_told_with_its_cluster(bench: Bench) -> None:
    """By the first try, or by the one after it: the client by itself would wait for it."""
    sink, name = bench.sink(timeout=4.0), f"{bench.topic.name}-gone"
    topic = MirrorTopic(bench.topic.servers, name, 1, {})
    sink.write(bench.batch((0, KafkaRecord(name, "k", b"v"))))
    topic.close()
    admin = AdminClient({"bootstrap.servers": bench.topic.servers})
    admin.delete_topics([name])[name].result(20)
    for _ in range(3):
        with pytest.raises(SinkError) as caught:
            sink.write(bench.batch((1, KafkaRecord(name, "k", b"v"))))
        assert bench.topic.servers in str(caught.value)
        assert name in str(caught.value)
        if not isinstance(caught.value, SinkDown):
            break
    assert f"has no topic '{name}' (for orders[2]@1)" in str(caught.value)


def test_positions_that_would_be_deleted_in_time_are_refused(bench: Bench, cluster: TestCluster) -> None:
    """A topic that somebody has made, or brokers that make topics by themselves."""
    TopicAdmin(cluster.bootstrap_servers).create([TopicSpec(bench.positions, 3, 3, {})])
    with pytest.raises(
        SinkError, match=r"has cleanup.policy=delete, which deletes them in time: set cleanup"
    ):
        bench.sink().write(bench.numbers(0))


def test_a_cluster_with_older_positions_is_given_the_rest_again(bench: Bench) -> None:
    """As after a backup: the inputs go back to where it is."""
    first = bench.sink()
    first.write(bench.numbers(0, 1))
    older = Standing(7, {"orders": InputStanding(1, "id-1")})
    producer = Producer({"bootstrap.servers": bench.topic.servers})
    producer.produce(bench.positions, older.to_json(), STANDING_KEY, SHARD)
    assert producer.flush(10) == 0
    sink = bench.sink()
    with pytest.raises(
        SinkBehind, match=r"has lost what it had taken of orders\[2\] from offset 1 on"
    ) as caught:
        sink.write(bench.numbers(2, token=8))
    assert caught.value.positions == {PLACE: 1}
    sink.write(bench.numbers(1, 2, token=8))
    assert bench.there() == [b"0", b"1", b"1", b"2"]


def test_nothing_is_read_beyond_the_end_of_the_positions(bench: Bench) -> None:
    """However many transactions were aborted, or came to nothing, before the one that counts is found."""
    sink = bench.sink()
    sink.write(bench.numbers(0, 1, 2))
    writer = sink._shards[bench.group, SHARD]._writer
    assert writer is not None
    for _ in range(25):
        writer.begin()
        writer.send([Output(bench.topic.name, b"aborted", b"key", 0, [])])
        writer.send((), [sink._shards[bench.group, SHARD]._row(Standing(7))])
        writer.settle()
        assert writer.abandon().outcome is Outcome.ABORTED
    bench.sink().write(bench.numbers(1, 2, 3, token=8))
    assert bench.there() == [b"0", b"1", b"2", b"3"]


def test_another_user_of_the_positions_is_told(bench: Bench, cluster: TestCluster) -> None:
    """What they hold is no position."""
    bench.sink().write(bench.numbers(0))
    producer = Producer({"bootstrap.servers": bench.topic.servers})
    producer.produce(bench.positions, b"something else", STANDING_KEY, SHARD)
    assert producer.flush(10) == 0
    with pytest.raises(
        SinkError, match=r"sink 'mirror': holdfast.positions.*\[2\]@\d+ holds something that is no"
    ):
        bench.sink().write(bench.numbers(1, token=8))


def test_brokers_that_are_not_there_are_an_outage(bench: Bench) -> None:
    """Told in time, with where they should be."""
    began = time.monotonic()
    with pytest.raises(SinkDown, match=r"sink 'mirror': no usable Kafka cluster at 127.0.0.1:9 within 1 s"):
        bench.sink("127.0.0.1:9", timeout=1.0).write(bench.numbers(0))
    assert time.monotonic() - began < 7.0


def test_a_login_that_the_brokers_refuse_is_a_mistake(bench: Bench) -> None:
    """These know none at all. What the client says of it is told, and no password."""
    properties = {
        "security.protocol": "sasl_plaintext",
        "sasl.mechanism": "PLAIN",
        "sasl.username": "ann",
        "sasl.password": "hunter2",
    }
    with pytest.raises(SinkError, match="SASL PLAIN mechanism handshake failed") as caught:
        bench.sink(properties=properties, timeout=2.0).write(bench.numbers(0))
    assert not isinstance(caught.value, SinkDown)
    assert "hunter2" not in str(caught.value)


def test_a_property_that_there_is_not_is_a_mistake(bench: Bench) -> None:
    """Of the declaration."""
    with pytest.raises(SinkError, match=r'No such configuration property: "no.such"') as caught:
        bench.sink(properties={"no.such": "1"}).write(bench.numbers(0))
    assert not isinstance(caught.value, SinkDown)


HURT = [
    (Fault.DROP_ANSWER, Api.END_TXN),
    *(
        pytest.param(fault, api, marks=pytest.mark.slow)
        for fault, api in (
            (Fault.CUT_AFTER, Api.END_TXN),
            (Fault.CUT_AND_HOLD, Api.END_TXN),
            (Fault.HOLD_REQUEST, Api.PRODUCE),
            (Fault.CUT_BEFORE, Api.ADD_PARTITIONS_TO_TXN),
        )
    ),
]
Names = Callable[[str], str]


@pytest.mark.parametrize(("fault", "api"), HURT)
def test_a_transaction_whose_end_nobody_knows_is_looked_up(
    proxied: TestCluster, proxy: Proxy, fault: Fault, api: Api
) -> None:
    """Answers that are lost, requests that are late: the shard is taken over once more, and that tells."""
    bench = Bench(proxied.bootstrap_servers, f"{time.time_ns()}")
    try:
        sink = bench.sink(proxy.bootstrap_servers, timeout=4.0)
        sink.write(bench.numbers(0))
        rule = proxy.hurt(fault, api, f"{bench.positions}.{SHARD}", at_most=6.0)
        deadline = time.monotonic() + 40
        for at in range(1, 6):
            while True:
                assert time.monotonic() < deadline, "it does not come back"
                try:
                    sink.write(bench.numbers(at))
                except SinkDown as error:
                    logging.getLogger(__name__).info("%s", error)
                else:
                    break
        assert rule.happened.is_set(), "nothing was hurt"
        assert rule.done.wait(15.0), f"{rule}: not done"
        assert bench.there() == [str(at).encode() for at in range(6)]
    finally:
        bench.close()
