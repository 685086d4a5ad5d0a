"""Serving a producer: having it deliver its reports and log lines, and wait for its records.

When a producer is of no use any more, since it was fenced for example, that word lies in the same queue (a
"fatal error"). confluent-kafka (2.16.1) raises it out of whatever call comes upon it, once, whether or not
there is an `error_cb`. A wait of 0.2 s or longer does not stop there: it is cut into pieces, and the next
piece calls Python for reports and log lines with the exception set already. Out of that comes a `SystemError`
about whatever was called, and callbacks are left in their midst. Shorter calls stop at once.

So nobody else waits for a producer in a long call, and here the word is passed over: each later call of the
client that asks for something says it again, with its reason.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable

from confluent_kafka import KafkaError, KafkaException, Producer

from holdfast.kafka.errors import kafka_error

SLICE_S = 0.1
"""Seconds of one call; less than the 0.2 s from which on the client cuts it itself."""


def serve(client: Producer, wait: float = 0.0) -> None:
    """Have a producer deliver what it has to say, except that it is of no use any more.

    Args:
        client: the producer.
        wait: seconds to wait for something, at most `SLICE_S`.
    """
    try:
        client.poll(min(wait, SLICE_S))
    except KafkaException as error:
        _pass_over(error)


def flush(client: Producer, timeout: float | None, unless: Callable[[], object] | None = None) -> int:
    """Wait until each record is acknowledged or given up.

    Args:
        client: the producer.
        timeout: seconds to wait; without it, as long as the client itself tries.
        unless: why there is no use in waiting; asked again and again.

    Returns:
        How many are still waiting.
    """
    deadline = math.inf if timeout is None else time.monotonic() + timeout
    while True:
        left = 0.0 if unless is not None and unless() else max(deadline - time.monotonic(), 0.0)
        if not (waiting := _flush_once(client, min(left, SLICE_S))) or not left:
            return waiting


def _flush_once(client: Producer, wait: float) -> int:
    try:
        return client.flush(wait)
    except KafkaException as error:
        _pass_over(error)
        return len(client)


def reason_of(client: Producer, error: KafkaException) -> KafkaException:
    """Why a transactional producer is of no use any more, if all that an error says is that it is not.

    That is all that its `produce` says. The beginning of a transaction gives the reason, and on such a client
    it begins nothing.
    """
    if kafka_error(error).code() == KafkaError._FATAL:
        try:
            client.begin_transaction()
        except KafkaException as reason:
            return reason
    return error


def _pass_over(error: KafkaException) -> None:
    if not kafka_error(error).fatal():
        raise error
