"""How far a shard is on another Kafka cluster: what is left out of a batch, and what is noted after it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import pytest
from confluent_kafka import KafkaError, KafkaException

from holdfast.errors import (
    BrokersUnreachable,
    ClusterError,
    OutputRefused,
    SettingError,
    SinkDown,
    SinkError,
    SinkFenced,
    SinkSlow,
)
from holdfast.kafka.errors import translate
from holdfast.kafka.unit_writer import Ending, Outcome
from holdfast.record import Output, Position, TopicPartition, Write
from holdfast.sinks.base import SinkBatch
from holdfast.sinks.kafka.judge import judge, worst
from holdfast.sinks.kafka.shard import BeginAnewError, Cluster, Search, Shard, require_newest
from holdfast.sinks.kafka.standing import InputStanding, ShardBatch, Standing, by_shard, read_standing
from holdfast.testing import MemoryMessage

ORDERS, PLANS = TopicPartition("orders", 3), TopicPartition("plans", 3)


def part(
    offsets: Sequence[int], *, begin: int = 0, token: int = 7, topic_id: str | None = "id-1", **more: Any
) -> ShardBatch:
    """A batch of one partition, with a write for each offset."""
    messages = [MemoryMessage("orders", 3, at, key=b"k", value=b"{}") for at in offsets]
    batch: Mapping[str, Any] = {
        "group": "shop.mirror",
        "writes": [Write(message, "value") for message in messages],
        "begins": {ORDERS: begin},
        "ends": {ORDERS: max(offsets, default=begin - 1) + 1},
        "fences": {ORDERS: token},
        "topic_ids": {"orders": topic_id},
        **more,
    }
    (found,) = by_shard(SinkBatch(**batch))
    return found


def test_inputs_of_one_shard_stand_together() -> None:
    """Their partitions have the same number; each shard is written by itself."""
    other = TopicPartition("orders", 4)
    ends = {ORDERS: 5, PLANS: 9, other: 2}
    found = by_shard(
        SinkBatch(group="g", ends=ends, begins=dict.fromkeys(ends, 1), fences={ORDERS: 7, PLANS: 7})
    )
    assert [(it.number, dict(it.ends), it.fencing_token) for it in found] == [
        (3, {"orders": 5, "plans": 9}, 7),
        (4, {"orders": 2}, 0),
    ]


def test_what_is_there_is_left_out() -> None:
    """Also when it comes in a larger cut; what follows is new."""
    standing = Standing(7, {"orders": InputStanding(12, "id-1")})
    batch = part(range(10, 15), begin=10)
    assert [it.position.offset for it in batch.new(standing)] == [12, 13, 14]
    assert batch.after(standing, {}).inputs["orders"].position == 15


def test_a_batch_that_is_behind_takes_nothing_back() -> None:
    """The owner before had come further, and its commit on Kafka failed."""
    standing = Standing(7, {"orders": InputStanding(40, "id-1")})
    assert part(range(10, 15), begin=10).after(standing, {}).inputs["orders"].position == 40


def test_an_input_that_is_not_known_begins_where_kafka_stands() -> None:
    """So nothing seems lost that was never there, and other inputs keep what they have."""
    standing = Standing(6, {"plans": InputStanding(3)})
    batch = part(range(10, 12), begin=10)
    assert len(batch.new(standing)) == 2
    assert batch.behind(standing) == {}
    after = batch.after(standing, {})
    assert after == Standing(7, {"plans": InputStanding(3), "orders": InputStanding(12, "id-1")})


def test_a_topic_that_was_made_anew_begins_anew() -> None:
    """Its offsets are other records; an id that is not known proves nothing."""
    standing = Standing(7, {"orders": InputStanding(40, "id-1", {39: "why"})})
    anew = part(range(5), topic_id="id-2")
    assert len(anew.new(standing)) == 5
    assert anew.after(standing, {}).inputs["orders"] == InputStanding(5, "id-2")
    assert part(range(5), topic_id=None).new(standing) == []
    assert part(range(5), topic_id=None).after(standing, {}).inputs["orders"].topic_id == "id-1"


def test_a_refusal_is_noted_until_kafka_has_its_dead_letter() -> None:
    """It is told again when its record comes again, and forgotten when a batch begins beyond it."""
    standing = part(range(10, 15), begin=10).after(Standing(), {Position("orders", 3, 12): "why"})
    assert standing.inputs["orders"].refused == {12: "why"}
    again = part(range(11, 14), begin=11)
    assert again.told_again(standing) == {Position("orders", 3, 12): "why"}
    assert again.after(standing, {}).inputs["orders"].refused == {12: "why"}
    assert part(range(13, 16), begin=13).after(standing, {}).inputs["orders"].refused == {}


def test_less_than_kafka_has_committed_is_a_loss() -> None:
    """Everything from there on comes again."""
    standing = Standing(7, {"orders": InputStanding(8, "id-1")})
    assert part(range(10, 12), begin=10).behind(standing) == {ORDERS: 8}
    assert part(range(8, 12), begin=8).behind(standing) == {}


def test_a_standing_is_read_as_it_was_written() -> None:
    """By people, too. What is something else is told, with where it is."""
    standing = Standing(7, {"orders": InputStanding(8, "id-1", {5: "why"})})
    assert read_standing(standing.to_json(), "t[0]@1") == standing
    for text in (None, b"{", b"[]", b'{"inputs": {"orders": {"position": "x"}}}'):
        with pytest.raises(SinkError, match=r"t\[0\]@1 holds something that is no position of ours"):
            read_standing(text, "t[0]@1")


def test_a_larger_token_fences() -> None:
    """The same one does not: a worker takes over from itself after each lost connection."""
    require_newest(Standing(7), 7, 3, "mirror")
    with pytest.raises(
        SinkFenced, match=r"shard 3 has been written by a newer owner \(fencing token 8, ours"
    ):
        require_newest(Standing(8), 7, 3, "mirror")


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (KafkaError._TRANSPORT, SinkDown),
        (KafkaError._ALL_BROKERS_DOWN, SinkDown),
        (KafkaError.NOT_ENOUGH_REPLICAS, SinkDown),
        (KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED, SinkError),
        (KafkaError.TOPIC_AUTHORIZATION_FAILED, SinkError),
        (KafkaError.SASL_AUTHENTICATION_FAILED, SinkError),
        (KafkaError._INVALID_ARG, SinkError),
    ],
)
def test_what_a_person_has_to_change_is_no_outage(code: int, kind: type[SinkError]) -> None:
    """Logins, rights, properties; all else may pass."""
    cause = KafkaException(KafkaError(code))
    error = translate(cause, "writing")
    error.__cause__ = cause
    found = judge(error, "mirror", "eu-1:9092")
    assert type(found) is kind
    assert str(found).startswith("sink 'mirror'")


def test_each_message_says_which_cluster_it_is_about() -> None:
    """The application has another one, whose topics `holdfast apply` creates."""
    gone = translate(KafkaError(KafkaError.UNKNOWN_TOPIC_OR_PART), "writing to eu.orders")
    assert isinstance(gone, ClusterError)
    assert str(judge(gone, "mirror", "eu-1:9092")) == (
        "sink 'mirror': on eu-1:9092: writing to eu.orders: the topic does not exist; `holdfast apply` "
        "creates those that are declared (UNKNOWN_TOPIC_OR_PART)."
    )
    told = BeginAnewError("writing to eu.orders on eu-1:9092: gone")
    assert str(judge(told, "mirror", "eu-1:9092")) == (
        "sink 'mirror': writing to eu.orders on eu-1:9092: gone"
    )


class FailingWriter:
    """Takes everything, and cannot commit it."""

    named: ClassVar[dict[int, OutputRefused]] = {}
    is_lasting = False

    def begin(self) -> None: ...
    def send(self, *_: object) -> None: ...
    def send_numbered(self, *_: object) -> None: ...
    def close(self) -> None: ...
    def end(self) -> Ending:
        return Ending(Outcome.UNKNOWN, "_INCONSISTENT: 2 messages failed")


def test_a_transaction_that_fails_is_told_with_its_topics_and_their_cluster() -> None:
    """The client says neither, and a topic may have been deleted."""
    place = TopicPartition("holdfast.positions.shop.mirror", 3)
    shard = Shard(Cluster("eu-1:9092", {}, 8.0), "holdfast.positions.shop.mirror.3", place)
    shard._writer = FailingWriter()  # type: ignore[assignment]
    made = [
        (Position("orders", 3, at), [Output(topic, b"", None, 0, [])])
        for at, topic in enumerate(("eu.orders", "eu.audit", "eu.orders"))
    ]
    with pytest.raises(BeginAnewError) as caught:
        shard.commit(made, Standing(7), Search())
    assert str(caught.value) == (
        "writing to eu.audit, eu.orders on eu-1:9092: _INCONSISTENT: 2 messages failed"
    )


def test_of_several_errors_the_gravest_decides() -> None:
    """What has to be mended, then a shard that is lost, then an outage; what is none of these comes out."""
    down, fenced, wrong = SinkDown("down"), SinkFenced("fenced"), SinkError("wrong")
    assert worst([down, fenced, wrong]) is wrong
    assert worst([down, fenced]) is fenced
    assert worst([SinkSlow("slow", 0), down]).args == ("slow",)
    bug = ValueError()
    assert worst([down, judge(bug, "mirror", "x"), fenced]) is bug
    assert type(judge(BeginAnewError("unknown"), "mirror", "x")) is SinkDown
    assert type(judge(BrokersUnreachable("away"), "mirror", "x")) is SinkDown
    assert type(judge(SettingError("no such property"), "mirror", "x")) is SinkError
