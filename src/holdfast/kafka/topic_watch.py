"""Whether a topic exists, asked now and then without waiting."""

from __future__ import annotations

import logging
import time
from concurrent.futures import Future
from typing import Any, Final

from confluent_kafka import KafkaError, KafkaException, TopicCollection
from confluent_kafka.admin import AdminClient

from holdfast.errors import ClusterError
from holdfast.kafka.errors import kafka_error, mapped
from holdfast.kafka.settings import Properties, admin_config

log = logging.getLogger(__name__)

LOOK_S: Final = 3.0
"""Seconds between two questions."""

_ERRORS_ONLY: Final = 3


class TopicWatch:
    """Knows whether a topic exists, as far as the brokers told last.

    A member of a group is not told that its topic is gone, only that it gets nothing; nor that it is back.

    Args:
        bootstrap_servers: the brokers.
        topic: its name.
        timeout: seconds for one question.
        properties: the user's own client properties.

    Attributes:
        is_missing: whether it does not exist. False until that is known.
    """

    def __init__(
        self, bootstrap_servers: str, topic: str, timeout: float, properties: Properties | None = None
    ) -> None:
        self._settings = {**admin_config(bootstrap_servers, properties), "log_level": _ERRORS_ONLY}
        self._topic = topic
        self._timeout = timeout
        self._client: AdminClient | None = None
        self._answer: Future[Any] | None = None
        self._due = 0.0
        self.is_missing = False

    def look(self) -> None:
        """Take the answer if it is there, else ask when it is time to. Never waits, never raises."""
        if self._answer is not None:
            if self._answer.done():
                answer, self._answer = self._answer, None
                self._take(answer.exception())
        elif time.monotonic() >= self._due:
            self._due = time.monotonic() + LOOK_S
            try:
                self._answer = self._ask()
            except ClusterError as error:
                log.debug("asking for the topic %s: %s", self._topic, error)

    def _ask(self) -> Future[Any]:
        """Ask; the client is made with the first question, as a member that leads asks none.

        Raises:
            ClusterError: the client takes no question.
        """
        with mapped(f"asking for the topic {self._topic}"):
            self._client = self._client or AdminClient(self._settings)
            wanted = TopicCollection([self._topic])
            return self._client.describe_topics(wanted, request_timeout=self._timeout)[self._topic]

    def _take(self, error: BaseException | None) -> None:
        if error is None:
            self.is_missing = False
        elif isinstance(error, KafkaException):
            # Brokers that do not answer, or do not let us see it, say nothing about the topic.
            unknown = kafka_error(error).code() == KafkaError.UNKNOWN_TOPIC_OR_PART
            self.is_missing = self.is_missing or unknown
