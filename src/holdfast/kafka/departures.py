"""Whether a broker has left the cluster lately.

A broker that is suspended, or cut off, closes no connection: a client waits for its answers for as long as
it has patience. The others know better. The controller fences a broker that sends it no heartbeats, and from
then on the answer to a question for metadata does not name it any more.

The client that waits must not be asked itself. It takes the connection that it used last, which is that to
the silent broker, again and again (librdkafka 2.16.0, `rd_kafka_broker_weight_usable`; ten questions in a row
went unanswered). A new one asks a broker that has answered its greeting. Nor is it asked by the calls for
administrators: they can end the process while brokers go
(https://github.com/confluentinc/librdkafka/issues/4605).
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Collection
from threading import Lock, Thread
from typing import Final

from confluent_kafka.admin import AdminClient

from holdfast.errors import ClusterError
from holdfast.kafka.errors import mapped
from holdfast.kafka.settings import Properties, admin_config

log = logging.getLogger(__name__)

_ASK_S: Final = 5.0
"""Seconds for one question, for which nobody waits."""

NOTE_S: Final = 60.0
"""Seconds after which it is asked anew who should be there."""

_PAUSE_S: Final = 0.5
"""Seconds from an answer that names all brokers to the next question."""

_ERRORS_ONLY: Final = 3
"""The client's log level: that a broker does not answer is what it is asked about."""


def present_brokers(bootstrap_servers: str, properties: Properties | None, topic: str) -> frozenset[int]:
    """Ask a new client which brokers take part in the cluster; waits for the answer.

    Args:
        bootstrap_servers: ``host:port`` of some brokers, separated by commas.
        properties: the user's own client properties.
        topic: any that exists: without one, the brokers would tell about all topics.

    Raises:
        ClusterError: none answers in time.
    """
    with mapped("asking which brokers there are"):
        client = AdminClient({**admin_config(bootstrap_servers, properties), "log_level": _ERRORS_ONLY})
        return frozenset(client.list_topics(topic, timeout=_ASK_S).brokers)


class Departures:
    """Asks on threads of its own, and hardly ever: nobody waits for it.

    Args:
        present: asks which brokers there are.
    """

    def __init__(self, present: Callable[[], Collection[int]]) -> None:
        self._present = present
        self._lock = Lock()
        self._is_asking = False
        self._known: Collection[int] = ()
        self._noted = -math.inf
        self._reason = ""

    def note(self) -> None:
        """Have the brokers of this moment taken for those that should be there, if that was long ago.

        To be called when nothing waits for an answer: one that went for good is missed by nobody then.
        """
        with self._lock:
            if time.monotonic() - self._noted >= NOTE_S:
                self._noted = time.monotonic()
                self._start(self._note)

    def look(self) -> str:
        """What has happened, in words, as far as it is known; "" otherwise. Has somebody ask, if need be."""
        with self._lock:
            if not self._reason:
                self._start(self._compare)
            return self._reason

    def _start(self, task: Callable[[], None]) -> None:
        if not self._is_asking:
            self._is_asking = True
            Thread(target=task, name="who is gone", daemon=True).start()

    def _note(self) -> None:
        present = self._ask()
        with self._lock:
            self._is_asking = False
            self._known = present or self._known

    def _compare(self) -> None:
        present = self._ask()
        reason = "" if present is None else departed(self._known, present)
        if not reason:
            time.sleep(_PAUSE_S)
        with self._lock:
            self._is_asking = False
            self._reason = reason
            # If they could not be asked before, these are those that should be there.
            self._known = self._known or present or ()

    def _ask(self) -> Collection[int] | None:
        try:
            return self._present()
        except ClusterError as error:
            log.debug("%s", error)
            return None


def departed(known: Collection[int], present: Collection[int]) -> str:
    """Which brokers are not there any more, in words; "" if all are."""
    gone = sorted(set(known) - set(present))
    if not gone:
        return ""
    names = ", ".join(map(str, gone))
    who = f"broker {names} has" if len(gone) == 1 else f"brokers {names} have"
    return f"{who} left the cluster"
