"""Tells while workers run that no broker answers: all that the workers do about it is to wait."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence

from holdfast.errors import HoldfastError
from holdfast.kafka.probe import require_brokers
from holdfast.kafka.settings import Properties
from holdfast.runtime.supervisor import WorkerView

QUIET_S = 5.0
"""Seconds without a new record or commit after which the brokers are asked; and between two questions."""


class BrokerWatch:
    """Asks the brokers for a sign of life while nothing moves, on threads of its own.

    Args:
        servers: the brokers.
        properties: the user's client properties.
        ask: raises if no broker answers; the real question unless given.
    """

    def __init__(
        self, servers: str, properties: Properties | None = None, ask: Callable[[], None] | None = None
    ) -> None:
        self._servers = servers
        self._ask = ask or (lambda: require_brokers(servers, properties))
        self._counts: tuple[int, ...] = ()
        self._due = time.monotonic() + QUIET_S
        self._asking: threading.Thread | None = None
        self._answers = True
        self._told = True

    def look(self, views: Sequence[WorkerView]) -> str | None:
        """Say what changed: that no broker answers, or that they answer again; None if nothing did."""
        now = time.monotonic()
        counts = tuple(count for view in views for count in (view.records, view.status.commits))
        if counts != self._counts:
            self._counts, self._due = counts, now + QUIET_S
        if now >= self._due and (self._asking is None or not self._asking.is_alive()):
            self._due = now + QUIET_S
            self._asking = threading.Thread(target=self._question, name="broker-watch", daemon=True)
            self._asking.start()
        answers = self._answers
        if answers == self._told:
            return None
        self._told = answers
        if answers:
            return f"the brokers answer again: {self._servers}"
        return f"no broker answers at {self._servers}; the workers go on when one does"

    def _question(self) -> None:
        try:
            self._ask()
        except HoldfastError:
            self._answers = False
        else:
            self._answers = True
