"""Taking over a transactional id: what is open under it is ended, and whoever used it before is refused."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from typing import Any, Final

from confluent_kafka import KafkaException, Producer

from holdfast.kafka.errors import kafka_error, mapped, translate

log = logging.getLogger(__name__)

_FIRST_S: Final = 0.05
_LONGEST_S: Final = 0.2
"""Seconds of the first call, in which a coordinator has mostly ended what was open, and of later ones."""


def take_over(client: Producer, transactional_id: str, within: float) -> None:
    """Make a client the one that may use its transactional id.

    A coordinator refuses that for a moment: it is being elected or loads, or still ends what was open. The
    client by itself, which has to find it first, tries again only after half a second; so it is asked in
    short calls. Each has it try at once, unless an answer is on its way (librdkafka 2.16.0,
    `rd_kafka_idemp_start`).

    Args:
        client: a new one.
        transactional_id: its id, for messages.
        within: seconds after which it is not asked again.

    Raises:
        ClusterError: it cannot be taken over in time, or this user may not.
    """
    began = time.monotonic()
    call = _FIRST_S
    while True:
        try:
            client.init_transactions(call)
        except KafkaException as error:
            if not kafka_error(error).retriable() or time.monotonic() - began > within:
                raise translate(error, f"taking over transactional id {transactional_id}") from error
        else:
            return
        call = min(2 * call, _LONGEST_S)


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
