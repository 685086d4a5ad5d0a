"""Taking over a transactional id: what is open under it is ended, and whoever used it before is refused."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from typing import Any, Final

from confluent_kafka import KafkaError, KafkaException, Producer

from holdfast.kafka.errors import kafka_error, mapped, translate

log = logging.getLogger(__name__)

_FIRST_S: Final = 0.05
_LONGEST_S: Final = 0.2
"""Seconds of the first call, in which a coordinator has mostly ended what was open, and of later ones."""

_LONG_S: Final = 2.0
"""Seconds after which it is worth a line in the log."""


def take_over(
    client: Producer, transactional_id: str, within: float, unless: Callable[[], object] | None = None
) -> bool:
    """Make a client the one that may use its transactional id.

    A coordinator refuses that for a moment: it is being elected or loads, or still ends what was open. The
    client by itself, which has to find it first, tries again only after half a second; so it is asked in
    short calls. Each has it try at once, unless an answer is on its way (librdkafka 2.16.0,
    `rd_kafka_idemp_start`).

    Args:
        client: a new one.
        transactional_id: its id, for messages.
        within: seconds after which it is not asked again.
        unless: why it must not be taken over any more; asked before each call.

    Returns:
        Whether it was taken over: False if `unless` said no.

    Raises:
        ClusterError: it cannot be taken over in time, or this user may not.
    """
    began = time.monotonic()
    call, is_told, said = _FIRST_S, False, ""
    while unless is None or not unless():
        try:
            client.init_transactions(call)
        except KafkaException as error:
            failure = kafka_error(error)
            # A call that brought no answer says nothing of why the one before was refused.
            said = failure.str() if failure.code() != KafkaError._TIMED_OUT else said or failure.str()
            waited = time.monotonic() - began
            if not failure.retriable() or waited > within:
                why = f"taking over transactional id {transactional_id} ({said})"
                raise translate(error, why) from error
            if waited > _LONG_S and not is_told:
                is_told = True
                log.info("taking over transactional id %s takes long: %s", transactional_id, said)
        else:
            return True
        call = min(2 * call, _LONGEST_S)
    return False


def end_transaction(transactional_id: str, settings: Mapping[str, Any], within: float) -> None:
    """End what somebody left open; if he is not gone, he is refused from now on, and has to begin anew.

    The same as the Java client's `Admin.fenceProducers` (KIP-588), which librdkafka does not have.

    Args:
        transactional_id: his.
        settings: of a transactional producer; with our id or his.
        within: seconds after which it is given up.

    Raises:
        ClusterError: the brokers do not do it in time, or this user may not.
    """
    with mapped(f"taking over transactional id {transactional_id}"):
        client = Producer({**settings, "transactional.id": transactional_id})
    take_over(client, transactional_id, within)
