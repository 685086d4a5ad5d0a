"""Is there a cluster at these servers, and is it ready for work?

Small questions with a time budget, so that a wrong address or a stopped cluster is one clear
sentence within seconds and not a client that retries in the background for ever.
"""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable, Mapping
from concurrent.futures import TimeoutError as FutureTimeout

from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from holdfast.errors import BrokersUnreachable, ClusterError

UNREACHABLE_AFTER_S = 10.0
"""Seconds after which brokers that do not answer are reported."""

PROBE_NAME = "holdfast-probe"
"""Name of the topic (never created), group and transactional id that the probes ask about."""

_ASK_S = 1.0
"""Seconds for one question. Short, so that `on_wait` is called often."""

_silent = logging.getLogger("holdfast.kafka.probe.client")
_silent.addHandler(logging.NullHandler())
_silent.propagate = False


def require_brokers(properties: Mapping[str, object], *, timeout: float = UNREACHABLE_AFTER_S) -> None:
    """Return as soon as one broker answers.

    Args:
        properties: client properties with ``bootstrap.servers``.
        timeout: seconds to try.

    Raises:
        BrokersUnreachable: none answered in time; the message holds the client's last error.
        ClusterError: the client refuses the properties.
    """
    _Probe(properties, timeout).wait_for_brokers(1)


def wait_until_ready(
    properties: Mapping[str, object],
    *,
    brokers: int,
    timeout: float,
    on_wait: Callable[[], None] = lambda: None,
) -> None:
    """Wait until a cluster has all its brokers, a controller and its coordinators.

    This method will: (1) wait for `brokers` brokers in the metadata; (2) let the active controller
    check (not create) a topic, which only works when there is one; (3) ask for a group's offsets and
    (4) for a transactional producer, so that the two internal topics exist and are loaded and the
    first user does not pay for it.

    Args:
        properties: client properties with ``bootstrap.servers``.
        brokers: how many brokers must be there.
        timeout: seconds for all of it.
        on_wait: called between questions; what it raises ends the wait.

    Raises:
        BrokersUnreachable: the cluster was not ready in time.
        ClusterError: the client refuses the properties.
    """
    probe = _Probe(properties, timeout, on_wait)
    probe.wait_for_brokers(brokers)
    probe.wait_for_controller(min(3, brokers))
    probe.wait_for_group_coordinator()
    probe.wait_for_transaction_coordinator()


class _Probe:
    """The questions to one cluster, sharing one deadline."""

    def __init__(
        self, properties: Mapping[str, object], timeout: float, on_wait: Callable[[], None] = lambda: None
    ) -> None:
        self._timeout = timeout
        self._deadline = time.monotonic() + timeout
        self._on_wait = on_wait
        self._last = "no answer"
        self._servers = properties.get("bootstrap.servers", "(none)")
        self._properties = {
            **properties,
            # While brokers start, a refused connection should be tried again at once.
            "reconnect.backoff.ms": 50,
            "reconnect.backoff.max.ms": 250,
            "log_level": 0,
            "error_cb": self._note,
            "logger": _silent,
        }
        with _client_refusals():
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

    def wait_for_group_coordinator(self) -> None:
        """Wait until the coordinator of a group has loaded its partition."""
        # Not `AdminClient.list_consumer_group_offsets`: that call of confluent-kafka 2.16 ends the
        # process with a segmentation fault when the coordinator is not there yet.
        consumer = Consumer({**self._properties, "group.id": PROBE_NAME})

        def ask(timeout: float) -> bool:
            consumer.committed([TopicPartition(PROBE_NAME, 0)], timeout)
            return True

        try:
            self._until(ask)
        finally:
            consumer.close()

    def wait_for_transaction_coordinator(self) -> None:
        """Wait until the coordinator of a transactional id has loaded its partition."""
        producer = Producer({**self._properties, "transactional.id": PROBE_NAME})

        def ask(timeout: float) -> bool:
            producer.init_transactions(timeout)
            return True

        self._until(ask)

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
                self._note(error.args[0])
            # Some refusals come at once; do not spin on them.
            time.sleep(max(0.0, 0.1 - (time.monotonic() - began)))
        raise BrokersUnreachable(
            f"no usable Kafka cluster at {self._servers} within {self._timeout:.0f} s: {self._last}. "
            "Check the address and that the brokers run; `holdfast up` starts a local cluster."
        )

    def _note(self, error: KafkaError) -> None:
        """Keep the most telling error: 'all brokers down' only repeats what came before."""
        if error.code() not in (KafkaError._ALL_BROKERS_DOWN, KafkaError._TRANSPORT) or self._last == "no answer":
            self._last = error.str()
        elif error.code() == KafkaError._TRANSPORT:
            self._last = error.str()


@contextlib.contextmanager
def _client_refusals():  # type: ignore[no-untyped-def]
    """Map the client's complaint about its properties to our tree."""
    try:
        yield
    except KafkaException as error:
        raise ClusterError(f"the Kafka client refuses its properties: {error.args[0].str()}.") from error
