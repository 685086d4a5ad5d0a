"""What time a broker takes it to be."""

from __future__ import annotations

import time
from collections.abc import Sequence

from confluent_kafka import KafkaError, KafkaException, Message, Producer
from confluent_kafka.admin import AdminClient, NewTopic  # type: ignore[attr-defined] # a silent re-export

from holdfast.errors import ClusterError
from holdfast.kafka.errors import mapped
from holdfast.kafka.settings import admin_config, common_config

_TOPIC = "__holdfast-clocks"
_WITHIN_S = 10.0


class BrokerClocks:
    """Asks brokers for their time of day: each stamps a record of its own partition as it appends it.

    Args:
        bootstrap_servers: ``host:port`` of some brokers, separated by commas.
        nodes: ids of the brokers.

    Raises:
        ClusterError: the topic cannot be created.
    """

    def __init__(self, bootstrap_servers: str, nodes: Sequence[int]) -> None:
        self._nodes = tuple(nodes)
        admin = AdminClient(admin_config(bootstrap_servers, None))
        topic = NewTopic(
            _TOPIC,
            num_partitions=len(self._nodes),
            replica_assignment=[[node] for node in self._nodes],
            config={
                "message.timestamp.type": "LogAppendTime",
                "min.insync.replicas": "1",
                "retention.ms": "60000",
            },
        )
        with mapped("creating the topic that tells the brokers' time"):
            try:
                admin.create_topics([topic])[_TOPIC].result(_WITHIN_S)
            except KafkaException as error:
                if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                    raise
        self._producer = Producer(
            {
                **common_config(bootstrap_servers, None),
                "message.timeout.ms": int(_WITHIN_S * 1000),
                "linger.ms": 0,
            }
        )

    def ahead(self, node: int) -> float:
        """Seconds by which a broker's clock is ahead of ours, up to the time that asking takes.

        Raises:
            ClusterError: it does not answer.
        """
        told: list[float] = []
        errors: list[KafkaError] = []

        def delivered(error: KafkaError | None, message: Message) -> None:
            if error is not None:
                errors.append(error)
            else:
                told.append(message.timestamp()[1] / 1000 - time.time())

        self._producer.produce(_TOPIC, b"", partition=self._nodes.index(node), on_delivery=delivered)
        self._producer.flush(_WITHIN_S + 1)
        if not told:
            raise ClusterError(
                f"broker {node} does not tell its time: {errors[0] if errors else 'no answer'}"
            )
        return told[0]
