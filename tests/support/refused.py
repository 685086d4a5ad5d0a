"""Has brokers refuse what they took before: topics get other limits while everything runs."""

from __future__ import annotations

import time
from typing import Final

from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, ResourceType

from tests.support.application import Application

AHEAD_MS: Final = 2 * 3_600_000
"""Beyond the hour that Kafka 4 allows a timestamp to be in the future."""


def set_limit(app: Application, topic: str, name: str, value: int) -> None:
    """Change a topic's configuration."""
    entry = ConfigEntry(name, str(value), incremental_operation=AlterConfigOpType.SET)
    resource = ConfigResource(ResourceType.TOPIC, topic, incremental_configs=[entry])
    client = AdminClient({"bootstrap.servers": app.servers})
    for answer in client.incremental_alter_configs([resource]).values():
        answer.result(10)


def ahead() -> int:
    """A time that outputs may not have, in milliseconds since the epoch."""
    return int(time.time() * 1000) + AHEAD_MS


def allow_any_time(app: Application) -> None:
    """Let the input have timestamps that outputs may not have, as all brokers before Kafka 4 did."""
    set_limit(app, app.names.topic("adds"), "message.timestamp.after.max.ms", 2**63 - 1)
