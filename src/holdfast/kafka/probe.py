"""Is there a cluster at these servers, and is it ready for work?

Small questions with a time budget, so that a wrong address or a stopped cluster is one clear
sentence within seconds and not a client that retries in the background for ever.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import TimeoutError as FutureTimeout

from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic  # type: ignore[attr-defined] # a silent re-export

from holdfast.errors import BrokersUnreachable, ClusterError
from holdfast.kafka.errors import describe, mapped
from holdfast.kafka.settings import Properties, common_config

UNREACHABLE_AFTER_S = 6.5
"""Seconds after which brokers that do not answer are reported: the whole command should say so within 10."""

PROBE_NAME = "holdfast-probe"
"""Name of the topic (never created), group and transactional id that the probes ask about."""

_ASK_S = 1.0
"""Seconds for one question. Short, so that `on_wait` is called often."""

_COORDINATOR_ASK_S = 0.25
"""Seconds for one question to a coordinator; the client goes on with it in the background."""


def require_brokers(
    bootstrap_servers: str, properties: Properties | None = None, *, timeout: float = UNREACHABLE_AFTER_S
) -> None:
    """Return as soon as one broker answers.

    Args:
        bootstrap_servers: ``host:port`` of some brokers, separated by commas.
        properties: the user's own client properties.
        timeout: seconds to try.

    Raises:
        BrokersUnreachable: none answered in time; the message holds the client's last error.
        ClusterError: those that answered refuse the login.
        SettingError: the client refuses the properties.
    """
    _Probe(bootstrap_servers, properties, timeout).wait_for_brokers(1)


def wait_until_ready(
    bootstrap_servers: str,
    *,
    brokers: int,
    timeout: float,
    on_wait: Callable[[], None] = lambda: None,
) -> None:
    """Wait until a cluster has all its brokers, a controller and its coordinators.

    It will: (1) wait for `brokers` brokers in the metadata; (2) let the active controller check
    (not create) a topic, which only works when there is one; (3) ask for a group's offsets and for
    a transactional producer, so that the two internal topics exist and are loaded and the first
    user does not pay for it.

    Args:
        bootstrap_servers: ``host:port`` of some brokers, separated by commas.
        brokers: how many brokers must be there.
        timeout: seconds for all of it.
        on_wait: called between questions; what it raises ends the wait.

    Raises:
        BrokersUnreachable: the cluster was not ready in time.
    """
    probe = _Probe(bootstrap_servers, None, timeout, on_wait)
    probe.wait_for_brokers(brokers)
    probe.wait_for_controller(min(3, brokers))
    probe.wait_for_coordinators()


class _Probe:
    """The questions to one cluster, sharing one deadline."""

    def __init__(
        self,
        bootstrap_servers: str,
        properties: Properties | None,
        timeout: float,
        on_wait: Callable[[], None] = lambda: None,
    ) -> None:
        self._servers = bootstrap_servers
        self._timeout = timeout
        self._deadline = time.monotonic() + timeout
        self._on_wait = on_wait
        self._last = ""
        self._client_said = ""
        self._refused_login: KafkaError | None = None
        self._properties = {
            **common_config(bootstrap_servers, properties),
            # While brokers start, a refused connection should be tried again at once,
            "reconnect.backoff.ms": 50,
            "reconnect.backoff.max.ms": 250,
            # and each refusal is expected: only the last one is of interest, and that is in our message.
            "log_level": 0,
            "error_cb": self._note,
        }
        with mapped(f"connecting to {bootstrap_servers}"):
            self._admin = AdminClient(self._properties)

    def wait_for_brokers(self, count: int) -> None:
        """Wait until `count` brokers are in the metadata."""

        def ask(timeout: float) -> bool:
            found = len(self._admin.list_topics(PROBE_NAME, timeout=timeout).brokers)
            self._last = f"{found} of {count} brokers are there"
            return found >= count

        self._until(ask)

    def wait_for_controller(self, replication: int) -> None:
        """Wait until the active controller answers and could place a topic."""
        topic = NewTopic(PROBE_NAME, num_partitions=1, replication_factor=replication)

        def ask(timeout: float) -> bool:
            done = self._admin.create_topics([topic], validate_only=True, request_timeout=timeout)
            done[PROBE_NAME].result(timeout)
            return True

        self._until(ask)

    def wait_for_coordinators(self) -> None:
        """Wait until the coordinators of a group and of a transactional id have loaded their partitions.

        Both are asked in turn, with little patience, so that their topics are created side by side.
        """
        # Not `AdminClient.list_consumer_group_offsets`: that call of confluent-kafka 2.16 ends the
        # process with a segmentation fault when the coordinator is not there yet.
        consumer = Consumer({**self._properties, "group.id": PROBE_NAME})
        producer = Producer({**self._properties, "transactional.id": PROBE_NAME})
        partition = [TopicPartition(PROBE_NAME, 0)]
        questions: list[Callable[[float], object]] = [
            lambda timeout: consumer.committed(partition, timeout),
            producer.init_transactions,
        ]

        def ask(timeout: float) -> bool:
            question = questions[0]
            questions.append(questions.pop(0))
            question(min(timeout, _COORDINATOR_ASK_S))
            questions.remove(question)
            return not questions

        try:
            self._until(ask)
        finally:
            consumer.close()

    def _until(self, ask: Callable[[float], bool]) -> None:
        """Repeat a question until the answer is yes or the time is over."""
        while (left := self._deadline - time.monotonic()) > 0:
            self._on_wait()
            began = time.monotonic()
            try:
                if ask(min(_ASK_S, left)):
                    return
            except FutureTimeout:
                pass
            except KafkaException as error:
                self._last = describe(error)
            self._admin.poll(0)  # lets the client report refused connections
            # Some refusals come at once; do not spin on them.
            time.sleep(max(0.0, 0.1 - (time.monotonic() - began)))
        if self._refused_login is not None:
            raise ClusterError(self._failure()) from KafkaException(self._refused_login)
        raise BrokersUnreachable(self._failure())

    def _note(self, error: KafkaError) -> None:
        """Keep what the client reports; 'all brokers down' only sums up what it said before."""
        if error.code() != KafkaError._ALL_BROKERS_DOWN:
            self._client_said = error.str()
            self._refused_login = error if error.code() == KafkaError._AUTHENTICATION else None

    def _failure(self) -> str:
        said = f" ({self._client_said})" if self._client_said else ""
        return (
            f"no usable Kafka cluster at {self._servers} within {self._timeout:.0f} s: "
            f"{self._last or 'no answer'}{said}. "
            "Check the address and that the brokers run; `holdfast up` starts a local cluster."
        )
