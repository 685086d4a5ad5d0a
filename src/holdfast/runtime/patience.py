"""Ending a transaction within a time that holds.

The client's own timeouts do not always: `send_offsets_to_transaction` was seen to wait for ever for a group
coordinator that had died (librdkafka issues 5456 and 5511).
"""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import Future
from concurrent.futures import wait as wait_for
from threading import Thread
from typing import Any

from holdfast.kafka.transaction import Ending, Outcome, UnitWriter
from holdfast.record import TopicPartition


def finish_within(
    patience: float, writer: UnitWriter, positions: Mapping[TopicPartition, int], group_metadata: Any
) -> Ending:
    """End the writer's open unit, as `UnitWriter.finish` does; after `patience` seconds its end is unknown.

    Raises:
        Exception: what the writer raised.
    """
    ending: Future[Ending] = Future()

    def finish() -> None:
        try:
            ending.set_result(writer.finish(positions, group_metadata))
        except BaseException as error:  # noqa: BLE001 - it is raised again where the result is taken
            ending.set_exception(error)

    # A daemon of its own: one that hangs must not hold up the next, nor our exit.
    Thread(target=finish, name="commit", daemon=True).start()
    # Not by the timeout of `result`: a commit that ended in the moment after it would look lost.
    wait_for([ending], patience)
    if ending.done():
        return ending.result()
    return Ending(Outcome.UNKNOWN, f"no answer within {patience:.0f} s")
