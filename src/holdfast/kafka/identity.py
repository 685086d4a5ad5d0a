"""Which cluster answers at an address: its id, its brokers, and what is on it."""

from __future__ import annotations

from dataclasses import dataclass

from confluent_kafka.admin import AdminClient

from holdfast.errors import ClusterError
from holdfast.kafka.errors import mapped
from holdfast.kafka.probe import UNREACHABLE_AFTER_S, require_brokers
from holdfast.kafka.settings import admin_config


@dataclass(frozen=True, slots=True)
class Identity:
    """A cluster, as its brokers tell.

    Attributes:
        cluster_id: the id that its storage was formatted with; no two clusters share one.
        brokers: `node.id` of each broker, sorted.
        topics: names of all topics but Kafka's own, sorted.
    """

    cluster_id: str
    brokers: tuple[int, ...]
    topics: tuple[str, ...]


def identify(bootstrap_servers: str, *, timeout: float = UNREACHABLE_AFTER_S) -> Identity:
    """Ask who answers.

    Args:
        bootstrap_servers: ``host:port`` of some brokers, separated by commas.
        timeout: seconds for each of two questions.

    Raises:
        BrokersUnreachable: nobody answers in time.
        ClusterError: the brokers tell no id.
    """
    require_brokers(bootstrap_servers, timeout=timeout)
    with mapped(f"asking {bootstrap_servers} which cluster it is"):
        found = AdminClient(admin_config(bootstrap_servers)).list_topics(timeout=timeout)
    cluster_id: str | None = found.cluster_id
    if not cluster_id:
        raise ClusterError(f"the brokers at {bootstrap_servers} do not tell which cluster they are")
    return Identity(
        cluster_id,
        tuple(sorted(found.brokers)),
        tuple(sorted(name for name in found.topics if not name.startswith("__"))),
    )
