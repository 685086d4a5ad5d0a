"""Taking over a transactional id: what is open under it is ended, and whoever used it before is refused."""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Mapping
from typing import Any

from confluent_kafka import KafkaException, Producer

from holdfast.kafka.errors import kafka_error, mapped, translate

log = logging.getLogger(__name__)


def take_over(client: Producer, transactional_id: str, call: float, within: float) -> None:
    """Make a client the one that may use its transactional id.

    Asked again, as a coordinator may be loading or electing, or still be ending what was open.

    Args:
        client: a new one.
        transactional_id: its id, for messages.
        call: seconds for one question.
        within: seconds after which no further one is asked.

    Raises:
        ClusterError: it cannot be taken over in time, or this user may not.
    """
    deadline = time.monotonic() + within
    while True:
        try:
            client.init_transactions(call)
        except KafkaException as error:
            failure = kafka_error(error)
            if not failure.retriable() or time.monotonic() > deadline:
                raise translate(error, f"taking over transactional id {transactional_id}") from error
            log.info("taking over the transactional id takes long: %s", failure.str())
        else:
            return


def await_brokers(client: Producer, timeout: float, topic: str | None = None) -> None:
    """Have a new client know the brokers before it is asked to take over.

    With no connection yet it would look for its coordinator only half a second later. Whether there are
    brokers at all is for `take_over` to say.

    Args:
        client: the client.
        timeout: seconds to wait for them.
        topic: ask for this one; the whole cluster's topics are much where there are many.
    """
    with contextlib.suppress(KafkaException):
        client.list_topics(topic, timeout=timeout)


def end_transaction(transactional_id: str, settings: Mapping[str, Any], topic: str, call: float) -> None:
    """End what somebody left open; if he is not gone, he is refused from now on, and has to begin anew.

    The same as the Java client's `Admin.fenceProducers` (KIP-588), which librdkafka does not have.

    Args:
        transactional_id: his.
        settings: of a transactional producer; with our id or his.
        topic: any topic that there is.
        call: seconds for one question.

    Raises:
        ClusterError: the brokers do not do it in time, or this user may not.
    """
    with mapped(f"taking over transactional id {transactional_id}"):
        client = Producer({**settings, "transactional.id": transactional_id})
    await_brokers(client, call, topic)
    take_over(client, transactional_id, call, call)
