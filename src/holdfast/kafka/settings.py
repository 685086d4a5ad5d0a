"""Client properties: the one place where librdkafka configurations are made.

The user's own properties (``kafka:`` in topology.yaml) are merged into ours and win, except for those that
the guarantees rest on: these may be repeated with our value, but not changed.
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Mapping
from typing import Any

from holdfast.errors import SettingError
from holdfast.log_limit import LogLimit

Properties = Mapping[str, object]
"""librdkafka properties by name, as a user writes them."""

client_log = logging.getLogger("holdfast.kafka.client")
"""Where the log lines of librdkafka go. Without logging set up they go nowhere, not to stderr."""
client_log.addHandler(logging.NullHandler())

_LOG_LIMIT_S = 10.0
_BROKER = re.compile(r"((?:[\w.\-]+|\[[0-9a-fA-F:.]+\]):\d+)(?:/\w+)?")
_THREAD = re.compile(r"^\[thrd:.*?\]: ")
"""Which of the client's threads speaks; says nothing about the fault."""

_VARIES = re.compile(rf"\w+Coordinator: |{_BROKER.pattern}|\([^()]*\)|\d+")


def _kind(record: logging.LogRecord) -> str:
    """Which lines of librdkafka are alike: same broker and same fault, whichever client says so and when."""
    try:
        facility, _, text = record.args  # type: ignore[misc]
    except (TypeError, ValueError):
        facility, text = "", record.getMessage()
    text = _THREAD.sub("", str(text))
    broker = _BROKER.search(text)
    return f"{facility} {broker and broker[1]} {_VARIES.sub('', text)}"


client_log.addFilter(LogLimit(client_log, _kind, most=1, seconds=_LOG_LIMIT_S))

SERVERS_VARIABLE = "HOLDFAST_BOOTSTRAP_SERVERS"
"""Environment variable that names the brokers."""

PARTITIONER = "murmur2_random"
"""The Java client's partitioner, so that joins with topics written from Java line up."""

GROUP_PROTOCOL = "group.protocol"
CONSUMER_PROTOCOL = "consumer"
"""The value for KIP-848, where the brokers hand out the partitions; else it is `classic`."""

DELIVERY_TIMEOUT_MS = 120_000
"""How long an event may wait for its acknowledgement before it counts as failed; as in the Java client."""

METADATA_MS = 3_000
"""How often a client asks who leads what, and which topics there are, in milliseconds.

A leader that is suspended or cut off says nothing: whoever waits for its answer learns of its successor
only by asking others, which the client does every five minutes by itself. A producer then published nothing
to such partitions until their leader was back: 31.9 s for one that was cut off for 20 s, and 6.0 s with
this. It is also how soon a topic is noticed that was created, or made anew, under a running client, and how
soon an admin client turns to another broker when the one that it takes for the controller has died."""

SILENT_MS = 5_000
"""How long a producer without transactions waits for the answer of a broker that may be suspended or cut off,
in milliseconds, before it asks again; by itself it waits for half a minute.

One with transactions waits for as long as these live: the client would repeat the request that ends one, and
the first, if it is only late, could end the next one (see docs/adr/0010)."""

TRANSACTION_TIMEOUT_MS = 10_000
"""How long a transaction may be open, as in Kafka Streams."""

OPEN_TRANSACTION_S = TRANSACTION_TIMEOUT_MS / 1_000 + 10.0 + 2.0
"""How long a transaction of ours can hold up those who read committed records, when whoever began it is gone
and nobody takes over its id: its timeout, the 10 s from one look of the brokers for such ones to the next,
and the time in which they end it."""

_SAFE = "an acknowledged event must be on enough replicas and there once"
_OWN_COMMITS = "positions are committed together with the results, never by the client itself"
_BY_TOPOLOGY = "it follows from the topology and the worker's slot"
_OWN_CALLBACK = "Holdfast sets it itself"

# Property -> values that may be written out (they are ours anyway), and why no other is possible.
_PROTECTED: dict[str, tuple[frozenset[str], str]] = {
    "acks": (frozenset({"all", "-1"}), _SAFE),
    "request.required.acks": (frozenset({"all", "-1"}), _SAFE),
    "enable.idempotence": (frozenset({"true"}), _SAFE),
    "partitioner": (
        frozenset({PARTITIONER}),
        "equal keys must meet in the same partition, whoever wrote them",
    ),
    "enable.auto.commit": (frozenset({"false"}), _OWN_COMMITS),
    "auto.commit.enable": (frozenset({"false"}), _OWN_COMMITS),
    "enable.auto.offset.store": (frozenset({"false"}), _OWN_COMMITS),
    "isolation.level": (frozenset({"read_committed"}), "results of aborted transactions must not be read"),
    "allow.auto.create.topics": (frozenset({"false"}), "topics are created as declared, by `holdfast apply`"),
    "transactional.id": (frozenset(), _BY_TOPOLOGY),
    "group.id": (frozenset(), _BY_TOPOLOGY),
    "group.instance.id": (frozenset(), _BY_TOPOLOGY),
    "session.timeout.ms": (frozenset(), "say `session_timeout` on the processor"),
    "auto.offset.reset": (frozenset(), "say `start: earliest` or `start: latest` on the processor"),
    "delivery.report.only.error": (frozenset(), _OWN_CALLBACK),
    "on_delivery": (frozenset(), _OWN_CALLBACK),
    "error_cb": (frozenset(), _OWN_CALLBACK),
    "log_cb": (frozenset(), _OWN_CALLBACK),
    "logger": (frozenset(), _OWN_CALLBACK),
    "stats_cb": (frozenset(), _OWN_CALLBACK),
}


def named_servers(option: str | None, properties: Properties) -> str | None:
    """Return the brokers that are named: by an option, else by the environment, else in the topology."""
    named = option or os.environ.get(SERVERS_VARIABLE) or properties.get("bootstrap.servers")
    return str(named) if named else None


def checked(properties: Properties) -> dict[str, Any]:
    """Return the user's properties, with YAML's values in the form that librdkafka takes.

    Raises:
        SettingError: when a property would break a guarantee; names all of them.
    """
    problems = []
    for name, value in properties.items():
        allowed, reason = _PROTECTED.get(name, (None, ""))
        if allowed is not None and str(value).lower() not in allowed:
            problems.append(f"kafka property {name}: {value!r} is not possible: {reason}. Remove it.")
    if problems:
        raise SettingError("\n".join(problems))
    return {name: value for name, value in properties.items() if name not in _PROTECTED}


def common_config(bootstrap_servers: str, properties: Properties | None = None) -> dict[str, Any]:
    """Return what every client needs: where the brokers are, logging into Python's, and to create no topic.

    Many brokers create a topic that is only asked about, unless the question says not to (KAFKA-5291).
    Consumers say so by themselves. Producers do not, nor do admin clients, which are producers to librdkafka
    (https://github.com/confluentinc/librdkafka/pull/3952).

    Raises:
        SettingError: when a property would break a guarantee.
    """
    return {
        "client.id": "holdfast",
        # A broker that was replaced under the same name is found again within seconds.
        "reconnect.backoff.max.ms": 2_000,
        "socket.keepalive.enable": True,
        "topic.metadata.refresh.interval.ms": METADATA_MS,
        **checked(properties or {}),
        "allow.auto.create.topics": False,
        "bootstrap.servers": bootstrap_servers,
        "logger": client_log,
    }


def admin_config(bootstrap_servers: str, properties: Properties | None = None) -> dict[str, Any]:
    """Return the properties of an admin client.

    Raises:
        SettingError: when a property would break a guarantee.
    """
    return common_config(bootstrap_servers, _not_of_groups(properties))


def producer_config(
    bootstrap_servers: str,
    properties: Properties | None = None,
    *,
    transactional_id: str | None = None,
    transaction_ms: int = TRANSACTION_TIMEOUT_MS,
) -> dict[str, Any]:
    """Return the properties of a producer: idempotent, acks=all, bounded memory.

    Args:
        bootstrap_servers: ``host:port`` of some brokers, separated by commas.
        properties: the user's own properties.
        transactional_id: makes it a transactional producer.
        transaction_ms: how long each of its transactions may be open, in milliseconds.

    Raises:
        SettingError: when a property would break a guarantee.
    """
    ours: dict[str, Any] = {
        "linger.ms": 10,
        "compression.type": "lz4",
        "delivery.timeout.ms": DELIVERY_TIMEOUT_MS,
        # Bounds the memory of a producer whose brokers do not answer; beyond it, publish() waits.
        "queue.buffering.max.messages": 200_000,
        "queue.buffering.max.kbytes": 65_536,
    }
    fixed: dict[str, Any] = {
        "enable.idempotence": True,
        "acks": "all",
        "partitioner": PARTITIONER,
    }
    if transactional_id is None:
        # A silent leader is left for its successor after this, not after 30 s; retries are idempotent.
        # The second is for its questions: else it asks the silent one, if it knows no other, who leads now.
        ours |= {"request.timeout.ms": SILENT_MS, "socket.timeout.ms": SILENT_MS}
    else:
        fixed |= {
            "transactional.id": transactional_id,
            "transaction.timeout.ms": transaction_ms,
            # The client refuses a record that could outlive its transaction.
            "delivery.timeout.ms": transaction_ms,
        }
    return _merge(ours, common_config(bootstrap_servers, _not_of_groups(properties)), fixed)


def consumer_config(
    bootstrap_servers: str, group_id: str, properties: Properties | None = None, *, start: str = "earliest"
) -> dict[str, Any]:
    """Return the properties of a consumer: committed records only, no commits of its own.

    Args:
        bootstrap_servers: ``host:port`` of some brokers, separated by commas.
        group_id: the consumer group.
        properties: the user's own properties.
        start: where a group without positions begins: ``earliest``, ``latest`` or ``error``.

    Raises:
        SettingError: when a property would break a guarantee.
    """
    fixed = {
        "group.id": group_id,
        "auto.offset.reset": start,
        "enable.auto.commit": False,
        "enable.auto.offset.store": False,
        "isolation.level": "read_committed",
    }
    return _merge({}, common_config(bootstrap_servers, properties), fixed)


def _not_of_groups(properties: Properties | None) -> Properties:
    """Properties for a client that joins no group: it would warn of these each time that one starts."""
    return {
        name: value
        for name, value in (properties or {}).items()
        if name not in (GROUP_PROTOCOL, "group.remote.assignor")
    }


# librdkafka knows several names for one property; setting two of them leaves it to chance which one counts.
_ALIASES = {
    "queue.buffering.max.ms": "linger.ms",
    "compression.codec": "compression.type",
    "message.timeout.ms": "delivery.timeout.ms",
    "metadata.broker.list": "bootstrap.servers",
}


def _merge(ours: dict[str, Any], user: dict[str, Any], fixed: dict[str, Any]) -> dict[str, Any]:
    named = {_ALIASES.get(name, name): value for name, value in user.items()}
    return {**ours, **named, **fixed}
