"""What the newer group protocol (KIP-848) leaves to the brokers: sessions and heartbeats of a group."""

from __future__ import annotations

from concurrent.futures import TimeoutError as FutureTimeout

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import (  # type: ignore[attr-defined] # it re-exports them without saying so
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
)

from holdfast.errors import ClusterMismatch
from holdfast.kafka.errors import kafka_error, mapped, translate
from holdfast.kafka.offsets import silence
from holdfast.kafka.settings import CONSUMER_PROTOCOL, GROUP_PROTOCOL, admin_config
from holdfast.topology import Topology
from holdfast.topology.model import ProcessorDecl

_CALL_S = 10.0
_HEARTBEATS = 10
"""Heartbeats in a session."""


def set_session(servers: str, topology: Topology, processor: ProcessorDecl) -> None:
    """Give a processor's group the declared session, if the topology asks for the newer protocol.

    Args:
        servers: the brokers.
        topology: the declaration.
        processor: the processor.

    Raises:
        ClusterMismatch: the brokers allow no session so short.
        ClusterError: the brokers do not answer, or this user may not change the group.
    """
    if topology.kafka.get(GROUP_PROTOCOL) != CONSUMER_PROTOCOL:
        return
    client = AdminClient(admin_config(servers, topology.kafka))
    session = processor.session_timeout_ms
    doing = f"setting the session of the group {processor.group_id}"
    settings = {
        "consumer.session.timeout.ms": session,
        "consumer.heartbeat.interval.ms": session // _HEARTBEATS,
    }
    with mapped(doing):
        [answer] = client.incremental_alter_configs(
            [_resource(processor.group_id, settings)], request_timeout=_CALL_S
        ).values()
    try:
        answer.result(_CALL_S + 1.0)
    except KafkaException as error:
        if kafka_error(error).code() != KafkaError.INVALID_CONFIG:
            raise translate(error, doing) from error
        raise ClusterMismatch(
            f"{doing} to {session} ms: {kafka_error(error).str()}. With group.protocol: consumer the brokers "
            f"have bounds (45 s to 60 s by default). Declare a `session_timeout` within them for "
            f"{processor.name}, or change group.consumer.min.session.timeout.ms and its like on the brokers."
        ) from error
    except FutureTimeout as error:
        raise silence(doing, _CALL_S) from error


def _resource(group_id: str, settings: dict[str, int]) -> ConfigResource:
    entries = [
        ConfigEntry(name, str(value), incremental_operation=AlterConfigOpType.SET)
        for name, value in settings.items()
    ]
    return ConfigResource(ConfigResource.Type.GROUP, group_id, incremental_configs=entries)
