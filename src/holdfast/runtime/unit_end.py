"""The end of a unit, waited for in a time that holds.

The client's own timeouts do not always hold: `send_offsets_to_transaction` was seen to wait for ever for a
group coordinator that had died (librdkafka issues 5456 and 5511; see `TransactionalWriter.stop_waiting`).
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from concurrent.futures import Future
from concurrent.futures import wait as wait_for
from threading import Thread
from typing import Any

from holdfast.kafka.unit_writer import Ending, Outcome, UnitWriter
from holdfast.record import TopicPartition

log = logging.getLogger(__name__)

PATIENCE_S = 15.0
"""Seconds for a whole commit. What takes longer is given up, or unknown if its commit was asked for."""

_LOOK_S = 0.25


class UnitEnd:
    """The end of a writer's open unit, on its way from the moment that this is made.

    Args:
        writer: ends it.
        positions: what it commits.
        group_metadata: the member's present standing.
        patience: seconds after which it is given up, or counts as unknown.
    """

    def __init__(
        self,
        writer: UnitWriter,
        positions: Mapping[TopicPartition, int],
        group_metadata: Any,
        patience: float,
    ) -> None:
        self._writer = writer
        self._patience = patience
        self._deadline = time.monotonic() + patience
        self._ending: Future[Ending] = Future()
        # A daemon of its own for each commit: one that hangs must not hold up the next, nor our exit.
        Thread(target=self._finish, args=(positions, group_metadata), name="commit", daemon=True).start()

    def _finish(self, positions: Mapping[TopicPartition, int], group_metadata: Any) -> None:
        try:
            self._ending.set_result(self._writer.finish(positions, group_metadata))
        except BaseException as error:  # noqa: BLE001 - it is raised again where the result is taken
            self._ending.set_exception(error)

    def take(self, wait: float | None = 0.0) -> Ending | None:
        """Return the end if it has come, or if there is no use in waiting for it any longer.

        Args:
            wait: seconds to wait for it; None waits until it counts as unknown.
        """
        until = self._deadline if wait is None else min(time.monotonic() + wait, self._deadline)
        while not self._ending.done():
            if given_up := self._writer.stop_waiting():
                return given_up
            if (left := until - time.monotonic()) <= 0.0:
                break
            # Not by the timeout of `result`: a commit that ended in the moment after it would look lost.
            wait_for([self._ending], min(left, _LOOK_S))
        if self._ending.done():
            return _result(self._ending)
        if time.monotonic() < self._deadline:
            return None
        return self._writer.stop_waiting(is_late=True) or Ending(
            Outcome.UNKNOWN, f"no answer within {self._patience:.0f} s"
        )


def _result(ending: Future[Ending]) -> Ending:
    try:
        return ending.result()
    except Exception as error:
        log.exception("a commit failed in an unforeseen way")
        return Ending(Outcome.UNKNOWN, repr(error))
