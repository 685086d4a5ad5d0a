"""Checks across the entries of a topology, before anything is imported."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator

from holdfast.declaration.source import Location, Problem, did_you_mean
from holdfast.topology.address_check import redis_problems, service_problems
from holdfast.topology.breaker_check import breaker_problems
from holdfast.topology.fields import TOPIC_NAME_LIMIT
from holdfast.topology.model import (
    BROKER_MAX_BYTES,
    CAUSE_BYTES,
    LEADER,
    MAX_BYTES,
    ProcessorDecl,
    Topology,
)
from holdfast.topology.sink_decls import HttpSinkDecl, KafkaSinkDecl, ParquetSinkDecl, RedisSinkDecl

_MOST_DIGITS = 38
"""Of a decimal in a Parquet file."""

_SERVERS = ("bootstrap.servers", "metadata.broker.list")
"""Client properties that say where brokers are."""

_NOT_WHERE_ONE_ASKS = {
    "tables": "while an async handler waits for an answer, other records of its table are handled",
    "sink": "a processor either asks, or writes what its handler returns to a sink",
    "standby": "a processor that asks keeps no state that could be kept warm",
    "version": "a processor that asks has no versions: two would ask for the same",
}
_NOT_WITH_A_SINK = {
    "tables": "a processor with a sink keeps no state: what it writes is in the sink",
    "writes": "a processor with a sink writes nothing to topics: let another processor do that",
    "standby": "a processor with a sink keeps no state that could be kept warm",
    "version": "a processor with a sink has no versions: two would write to the same place",
}


_NOT_WHERE_KEYS_ARE_PARKED = {
    "sink": "what a sink refuses is found on the way to it, when later records of the key may be there",
    "asks": "an async handler fails on the way to the commit, when later records may have been decoded",
    "version": "the dead letters of a version that is not live are its own, and nobody could redrive them",
}


def cross_check(
    topology: Topology, topic_names: Collection[str], sink_names: Collection[str]
) -> tuple[Problem, ...]:
    """Return what is wrong between the entries of a topology.

    Args:
        topology: the declaration; entries with mistakes of their own may be missing in it.
        topic_names: all topics of the file, the missing ones included.
        sink_names: all its sinks, likewise.
    """
    return (
        *_topic_config(topology),
        *_client_limit(topology),
        *_topic_references(topology, topic_names),
        *_co_partitioning(topology),
        *_tables(topology),
        *_shadows(topology),
        *_topic_names(topology),
        *_leader_tasks(topology),
        *_sinks(topology, sink_names),
        *_parked_keys(topology),
    )


def _topic_config(topology: Topology) -> Iterator[Problem]:
    """Settings that cannot work.

    The dead letters' largest size is computed from one of them, so it has to be a number.
    """
    for name, topic in topology.topics.items():
        largest = topic.config.get(MAX_BYTES, "1")
        if not (largest.isascii() and largest.isdigit()):
            text = f'expected a whole number of bytes, got "{largest}"'
            yield Problem(("topics", name, "config", MAX_BYTES), text)
        if topic.key is None and "compact" in topic.config.get("cleanup.policy", ""):
            text = (
                "a compacted topic keeps the last record of each key, and this topic has no `key`: brokers "
                "would refuse its records. Name its key, or do not compact it"
            )
            yield Problem(("topics", name, "config", "cleanup.policy"), text)


def _client_limit(topology: Topology) -> Iterator[Problem]:
    """A client that takes less than a topic does would refuse records that were declared to fit."""
    at = ("kafka", "message.max.bytes")
    own = topology.kafka.get("message.max.bytes")
    if own is None:
        return
    if not str(own).isdigit():
        yield Problem(at, f'expected a whole number of bytes, got "{own}"')
        return
    limits = [topic.config.get(MAX_BYTES, str(BROKER_MAX_BYTES)) for topic in topology.topics.values()]
    largest = max((int(limit) for limit in limits if limit.isdigit()), default=0)
    # A dead letter is the record with its cause.
    needed = largest + (CAUSE_BYTES if topology.native else 0)
    if int(str(own)) < needed:
        text = f"{own} is too little for the declared topics, which need {needed}. Remove it"
        yield Problem(at, text)


def _topic_references(topology: Topology, known: Collection[str]) -> Iterator[Problem]:
    lists: list[tuple[Location, tuple[str, ...]]] = []
    for name, processor in topology.processors.items():
        lists.append((("processors", name, "reads"), processor.reads))
        lists.append((("processors", name, "writes"), processor.writes))
    lists += [(("producers", name, "writes"), by.writes) for name, by in topology.producers.items()]
    lists += [(("leader_tasks", name, "writes"), by.writes) for name, by in topology.leader_tasks.items()]
    for at, topics in lists:
        for index, topic in enumerate(topics):
            if topic in topics[:index]:
                yield Problem((*at, index), f'topic "{topic}" stands twice in the list')
            elif topic not in known:
                text = f'topic "{topic}" is not declared under `topics`{did_you_mean(topic, known)}'
                yield Problem((*at, index), text)


def _co_partitioning(topology: Topology) -> Iterator[Problem]:
    for name, processor in topology.native.items():
        counts = {
            topic: topology.topics[topic].partitions for topic in processor.reads if topic in topology.topics
        }
        if len(set(counts.values())) > 1:
            listed = ", ".join(f"{topic} has {count}" for topic, count in counts.items())
            text = f"all inputs of a processor need the same number of partitions, but {listed}"
            yield Problem(("processors", name, "reads"), text)


def _tables(topology: Topology) -> Iterator[Problem]:
    for name, processor in topology.native.items():
        for table in processor.state_tables:
            changelog = processor.changelog(table)
            if len(changelog) > TOPIC_NAME_LIMIT:
                text = f"the changelog's name {changelog} is longer than {TOPIC_NAME_LIMIT} characters"
                at = ("tables", table) if table in processor.tables else ("on_error",)
                yield Problem(("processors", name, *at), text)


def _shadows(topology: Topology) -> Iterator[Problem]:
    """A version's names have to fit before it is prepared, when nobody reads the file any more."""
    for name, processor in topology.native.items():
        for topic in (*processor.writes, topology.dead_letter_topic) if processor.version else ():
            shadow = processor.shadow(topic)
            if len(shadow) > TOPIC_NAME_LIMIT:
                text = f"the shadow topic's name {shadow} is longer than {TOPIC_NAME_LIMIT} characters"
                yield Problem(("processors", name, "version"), text)


def _topic_names(topology: Topology) -> Iterator[Problem]:
    """Kafka takes "." and "_" for the same in metric names and refuses the second of two such topics."""
    taken = {name.replace(".", "_"): "a topic of Holdfast's own" for name in _internal_names(topology)}
    for name in topology.topics:
        folded = name.replace(".", "_")
        if folded in taken:
            yield Problem(
                ("topics", name), f'the name collides with {taken[folded]} ("." and "_" count as the same)'
            )
        taken.setdefault(folded, f'the topic "{name}"')


def _internal_names(topology: Topology) -> list[str]:
    changelogs = [by.changelog(table) for by in topology.native.values() for table in by.state_tables]
    leader = [topology.leader_id] if topology.leader_tasks else []
    controls = [topology.controls_topic] if topology.has_breakers else []
    versions = [by for by in topology.native.values() if by.version]
    shadows = [by.shadow(topic) for by in versions for topic in (*by.writes, topology.dead_letter_topic)]
    letters = [topology.dead_letter_topic, topology.dispositions_topic, topology.redrive_topic]
    return [*letters, *changelogs, *shadows, *leader, *controls]


def _leader_tasks(topology: Topology) -> Iterator[Problem]:
    for name, task in topology.leader_tasks.items():
        at: Location = ("leader_tasks", name)
        if task.every_ms is None and task.cron is None:
            yield Problem(at, "it says neither `every` nor `cron`; a task has one of the two")
        if task.every_ms is not None and task.cron is not None:
            yield Problem((*at, "cron"), "`every` is given as well; keep one of the two")
        if task.cron is None and "timezone" in task.model_fields_set:
            yield Problem((*at, "timezone"), "only `cron` has a time zone; remove it")
    if topology.leader_tasks and LEADER in topology.processors:
        text = f'the name is that of the group of the leader tasks ("{topology.leader_id}"); rename it'
        yield Problem(("processors", LEADER), text)


def _sinks(topology: Topology, known: Collection[str]) -> Iterator[Problem]:
    asked = {name for processor in topology.native.values() for name in processor.asks}
    for name, sink in topology.sinks.items():
        yield from breaker_problems(("sinks", name), sink)
        if isinstance(sink, HttpSinkDecl):
            yield from service_problems(("sinks", name), sink)
            yield from _call_time(("sinks", name, "call_timeout"), sink, is_asked=name in asked)
        if isinstance(sink, RedisSinkDecl):
            yield from _where(("sinks", name), sink)
            yield from redis_problems(("sinks", name), sink)
        if isinstance(sink, ParquetSinkDecl):
            yield from _columns(("sinks", name), sink)
        if isinstance(sink, KafkaSinkDecl):
            yield from _properties(("sinks", name), sink)
    for name, processor in topology.native.items():
        at: Location = ("processors", name)
        yield from _asked(at, processor, known)
        yield from _retried(at, processor)
        if processor.sink is None:
            if "on_refused" in processor.model_fields_set:
                text = "only a sink refuses what is made of a record, and this processor has none; remove it"
                yield Problem((*at, "on_refused"), text)
            continue
        if processor.sink not in known:
            near = did_you_mean(processor.sink, known)
            yield Problem((*at, "sink"), f'sink "{processor.sink}" is not declared under `sinks`{near}')
        if processor.guarantee != "exactly-once":
            text = "a processor with a sink is exactly-once up to it; remove it"
            yield Problem((*at, "guarantee"), text)
        for key in ("tables", "writes", "standby", "version"):
            if getattr(processor, key):
                yield Problem((*at, key), f"{_NOT_WITH_A_SINK[key]}; remove it, or the `sink`")


def _call_time(at: Location, sink: HttpSinkDecl, *, is_asked: bool) -> Iterator[Problem]:
    """A call that ends with its handler, or later, has no result by which an outage could be told."""
    if is_asked and sink.call_ms >= sink.timeout_ms:
        text = (
            f"{sink.call_ms} ms is not less than `timeout`, {sink.timeout_ms} ms, and a handler that asks "
            "would be cut before its call is given up: lower this, or raise `timeout`"
        )
        yield Problem(at, text)
    elif sink.call_ms > sink.timeout_ms:
        text = f"one call may take no longer than a batch, {sink.timeout_ms} ms (`timeout`)"
        yield Problem(at, text)


def _retried(at: Location, processor: ProcessorDecl) -> Iterator[Problem]:
    if (retry := processor.retry) is None:
        return
    if processor.on_error == "retry" and retry.attempts is not None:
        text = (
            "with `on_error: retry` there is no end to the attempts; remove it, or declare another `on_error`"
        )
        yield Problem((*at, "retry", "attempts"), text)
    if retry.longest_wait_ms < retry.first_wait_ms:
        yield Problem((*at, "retry", "longest_wait"), "it must not be shorter than `first_wait`")


def _where(at: Location, sink: RedisSinkDecl) -> Iterator[Problem]:
    """What is wrong with where a Redis is said to be."""
    if sink.url is None and sink.sentinels is None:
        text = "missing: where the server is; or give the `sentinels`, and what they call the `master`"
        yield Problem((*at, "url" if sink.master is None else "sentinels"), text)
    elif sink.url is None and sink.master is None:
        yield Problem((*at, "master"), "missing: what the Sentinels call the master")
    elif sink.url is not None:
        for key in ("sentinels", "master"):
            if getattr(sink, key) is not None:
                text = "`url` is given as well; keep a single server, or one behind Sentinel"
                yield Problem((*at, key), text)
        for key in ("username", "password", "database"):
            if getattr(sink, key) is not None:
                yield Problem((*at, key), "with `url` it is a part of that: redis://username:password@host/0")


def _properties(at: Location, sink: KafkaSinkDecl) -> Iterator[Problem]:
    for key in _SERVERS:
        if key in sink.kafka:
            text = "where the brokers are is for `bootstrap_servers` to say; remove it"
            yield Problem((*at, "kafka", key), text)
    most = sink.kafka.get("message.max.bytes")
    if most is not None and not re.fullmatch(r"\d{4,10}", most):
        text = f"expected a number of bytes, from 1000 on, got {most!r}"
        yield Problem((*at, "kafka", "message.max.bytes"), text)


def _columns(at: Location, sink: ParquetSinkDecl) -> Iterator[Problem]:
    for index, column in enumerate(sink.partition_by):
        if column in sink.partition_by[:index]:
            yield Problem((*at, "partition_by", index), f'"{column}" stands twice in the list')
        elif sink.columns is not None and column in sink.columns:
            text = f'"{column}" is a folder (`partition_by`), and no column of the files; remove it here'
            yield Problem((*at, "schema", column), text)
    for column, text in (sink.columns or {}).items():
        found = re.search(r"(\d+), ?(\d+)", text)
        if found and not (int(found[2]) <= int(found[1]) <= _MOST_DIGITS and int(found[1])):
            wrong = f"a decimal has 1 to {_MOST_DIGITS} digits, and up to as many after the point: {text}"
            yield Problem((*at, "schema", column), wrong)


def _parked_keys(topology: Topology) -> Iterator[Problem]:
    for name, processor in topology.native.items():
        if processor.parks_keys:
            for text in against_parked_keys(processor):
                yield Problem(("processors", name, "on_error"), text)


def against_parked_keys(processor: ProcessorDecl) -> Iterator[str]:
    """Why a processor cannot park keys, and what to do; nothing where it can."""
    for key, reason in _NOT_WHERE_KEYS_ARE_PARKED.items():
        if getattr(processor, key):
            yield f"{reason}: use dead-letter or stop, or remove the `{key}`"
    if processor.guarantee != "exactly-once":
        yield "keys are parked in transactions: use dead-letter or stop, or be exactly-once"


def _asked(at: Location, processor: ProcessorDecl, known: Collection[str]) -> Iterator[Problem]:
    for index, name in enumerate(processor.asks):
        if name not in known:
            text = f'"{name}" is not declared under `sinks`{did_you_mean(name, known)}'
            yield Problem((*at, "asks", index), text)
        if name in processor.asks[:index]:
            yield Problem((*at, "asks", index), f'"{name}" stands twice in the list')
    if not processor.asks:
        return
    if processor.guarantee != "exactly-once":
        text = "what a processor makes of its answers is exactly-once; remove it"
        yield Problem((*at, "guarantee"), text)
    for key, reason in _NOT_WHERE_ONE_ASKS.items():
        if getattr(processor, key):
            yield Problem((*at, key), f"{reason}; remove it, or the `asks`")
