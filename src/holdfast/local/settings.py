"""The brokers' configuration: real defaults, small numbers, short failover."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from holdfast.local.ports import HOST
from holdfast.local.spec import ClusterSpec, NodeSpec

Overrides = Mapping[str, str] | Callable[[ClusterSpec, NodeSpec], Mapping[str, str]]
"""Broker settings that replace the built-in ones: the same for all nodes, or a function of the node."""


def _addresses(spec: ClusterSpec, node: NodeSpec, data: Path) -> dict[str, str]:
    """Who the node is and where it listens."""
    return {
        "process.roles": "broker,controller",
        "node.id": str(node.id),
        # A static quorum: the ports stand in this file only, so one that was taken by another
        # program can be exchanged while the cluster is down (a dynamic quorum keeps them in its log).
        "controller.quorum.voters": ",".join(f"{n.id}@{HOST}:{n.controller_port}" for n in spec.nodes),
        "listeners": f"PLAINTEXT://{HOST}:{node.port},CONTROLLER://{HOST}:{node.controller_port}",
        "advertised.listeners": f"PLAINTEXT://{HOST}:{node.port}",
        "controller.listener.names": "CONTROLLER",
        "inter.broker.listener.name": "PLAINTEXT",
        "listener.security.protocol.map": "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT",
        "log.dirs": str(data),
        # A rack of its own for each node, and leave to read from followers: so a client that names a rack
        # reads that node's copy, as `holdfast verify replicas` does. One that names none reads leaders.
        "broker.rack": f"rack-{node.id}",
        "replica.selector.class": "org.apache.kafka.common.replica.RackAwareReplicaSelector",
    }


def replication_settings(replication: int, min_insync: int) -> dict[str, str]:
    """Every topic survives the loss of one broker, and stays writable meanwhile.

    Args:
        replication: copies of each partition.
        min_insync: copies that must have a record before it is acknowledged.
    """
    copies, in_sync = str(replication), str(min_insync)
    return {
        "default.replication.factor": copies,
        "min.insync.replicas": in_sync,
        "offsets.topic.replication.factor": copies,
        "transaction.state.log.replication.factor": copies,
        "transaction.state.log.min.isr": in_sync,
        "share.coordinator.state.topic.replication.factor": copies,
        "share.coordinator.state.topic.min.isr": in_sync,
        # A topic exists because it is declared, never because of a typing error.
        "auto.create.topics.enable": "false",
    }


def _failover() -> dict[str, str]:
    """Notice a dead broker in about 3 s instead of 9, a dead controller in 1.5 s instead of 2."""
    return {
        "broker.session.timeout.ms": "3000",
        "broker.heartbeat.interval.ms": "500",
        # Below about 1 s a busy two-core machine elects controllers for no reason.
        "controller.quorum.fetch.timeout.ms": "1500",
        "controller.quorum.election.timeout.ms": "800",
        "controller.quorum.election.backoff.max.ms": "500",
        # A follower whose leader moves asks the next one after 0.1 s instead of 1 s; until it does, the new
        # leader acknowledges nothing that all replicas in sync must have.
        "replica.fetch.backoff.ms": "100",
        # A broker that hangs without closing its connections leaves the in-sync set after 5 s, not 30 s.
        "replica.lag.time.max.ms": "5000",
        # Nor does it hold up the end of transactions: their coordinator waits so long for it to take the
        # markers before it asks who leads now, and refuses the next transaction of the same id meanwhile.
        "request.timeout.ms": "5000",
        # The first consumer of a group starts at once; joiners later rebalance as usual.
        "group.initial.rebalance.delay.ms": "0",
        # Tests of failover ask for short sessions; the default floor is 6 s.
        "group.min.session.timeout.ms": "1000",
        # The same for the newer group protocol, where sessions and heartbeats are the brokers' to set.
        "group.consumer.min.session.timeout.ms": "1000",
        "group.consumer.session.timeout.ms": "6000",
        "group.consumer.min.heartbeat.interval.ms": "100",
        "group.consumer.heartbeat.interval.ms": "500",
        # A coordinator that moves has few partitions to load, and a start has few to create (defaults: 50).
        "offsets.topic.num.partitions": "8",
        "transaction.state.log.num.partitions": "8",
        "share.coordinator.state.topic.num.partitions": "1",
    }


def _size() -> dict[str, str]:
    """One developer machine: few threads, files that are deleted soon."""
    return {
        "num.partitions": "4",
        # Two cores serve three brokers: more threads only cost memory and switches.
        "num.network.threads": "2",
        "num.io.threads": "4",
        "background.threads": "2",
        # Small segments, so that retention and compaction do something within minutes,
        # and small index files: each partition maps two of them (default 10 MB, sparse).
        "log.segment.bytes": str(64 * 1024 * 1024),
        "log.index.size.max.bytes": str(2 * 1024 * 1024),
        "log.cleaner.dedupe.buffer.size": str(16 * 1024 * 1024),
        # A forgotten cluster must not fill the disk: 2 days by default; a topic's own setting wins.
        "log.retention.hours": "48",
        "log.retention.check.interval.ms": "60000",
        # The metadata log is replayed at each start; keep it short.
        "metadata.log.segment.bytes": str(16 * 1024 * 1024),
        "metadata.max.retention.bytes": str(64 * 1024 * 1024),
        # Kafka refuses a value of 1 MB + headers by default; this is that default, written down
        # because the refusal of larger records is part of what the tests check.
        "message.max.bytes": "1048588",
    }


def shared_settings(replication: int, min_insync: int) -> dict[str, str]:
    """Return what is the same for every node of a cluster, wherever it runs: all but who it is and where."""
    return replication_settings(replication, min_insync) | _failover() | _size()


def server_properties(
    spec: ClusterSpec, node: NodeSpec, data: Path, settings: Mapping[str, str] | None = None
) -> str:
    """Return the text of ``server.properties`` for one node.

    Args:
        spec: the cluster.
        node: which of its nodes.
        data: the node's data folder.
        settings: broker settings that replace ours, for experiments.
    """
    shared = shared_settings(spec.replication, spec.min_insync)
    return properties_text(_addresses(spec, node, data) | shared | dict(settings or {}))


def properties_text(settings: Mapping[str, str]) -> str:
    """Write settings in Java's property format."""
    return "".join(f"{key}={_escape(value)}\n" for key, value in settings.items())


def _escape(value: str) -> str:
    """Escape what Java's property format would take for something else."""
    return value.replace("\\", "\\\\")


LOG4J2 = """\
<?xml version="1.0" encoding="UTF-8"?>
<!-- Broker log: rolling, so that a cluster left running for weeks keeps at most 4 x 20 MB for each node. -->
<!-- No shutdown hook of its own: it would end the log before the broker has ended. -->
<Configuration status="WARN" shutdownHook="disable">
  <Appenders>
    <RollingFile name="file" fileName="${sys:holdfast.log}" filePattern="${sys:holdfast.log}.%i">
      <PatternLayout pattern="%d{yyyy-MM-dd HH:mm:ss.SSS} %-5p %m (%c{1}) [%t]%n"/>
      <Policies><SizeBasedTriggeringPolicy size="20 MB"/></Policies>
      <DefaultRolloverStrategy max="3"/>
    </RollingFile>
    <Console name="err" target="SYSTEM_ERR">
      <ThresholdFilter level="FATAL"/>
      <PatternLayout pattern="%p %m%n"/>
    </Console>
  </Appenders>
  <Loggers>
    <!-- The dump of every setting at each start: 500 lines that hide the rest. -->
    <Logger name="org.apache.kafka.common.config.AbstractConfig" level="WARN"/>
    <Root level="INFO">
      <AppenderRef ref="file"/>
      <AppenderRef ref="err"/>
    </Root>
  </Loggers>
</Configuration>
"""
