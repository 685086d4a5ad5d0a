"""Mistakes about what becomes of records; see `mistakes` for what each one is."""

from __future__ import annotations

import random
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from confluent_kafka import KafkaException, Message

from holdfast.chaos.clients.loop.job import Made
from holdfast.chaos.clients.loop.settings import CALL_S
from holdfast.chaos.clients.loop.transactions import Aborted, Transactions

_THREADS = 4
_WORK_S = 0.004
"""What one record takes at most: a request to somebody, say."""

_MOST = 150
"""Records in one unit that are handled."""


class NoRewind(Transactions):
    """Goes on behind the records of an aborted transaction."""

    def rewind(self) -> None:
        """Only the states."""
        self.states.discard()
        self.close_unit()


class SwallowsErrors(Transactions):
    """Logs what goes wrong."""

    def end(self) -> None:
        """Whatever comes of it."""
        try:
            self.commit()
        except (Aborted, KafkaException):
            self.abort()
        self.committed()


class CommitTakenForAbort(Transactions):
    """Takes silence for a no."""

    def failed(self, error: KafkaException) -> None:  # noqa: ARG002
        """Do it again, with a new producer."""
        self.replace_producer()
        self.rewind()


class OutOfOrder(Transactions):
    """Gives each record to the first thread that has time."""

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self._pool = ThreadPoolExecutor(_THREADS)
        self._under_way: list[Future[None]] = []
        self._lock = threading.Lock()
        self._read: dict[tuple[str, int], int] = {}

    def handle(self, message: Message) -> None:
        """Soon."""
        self._read[message.topic() or "", message.partition() or 0] = (message.offset() or 0) + 1
        self._under_way.append(self._pool.submit(self._work, message))

    def _work(self, message: Message) -> None:
        time.sleep(random.uniform(0, _WORK_S))
        with self._lock:
            super().handle(message)

    def commit(self) -> None:
        """Once all are done."""
        self._await()
        self.ahead.update(self._read)
        super().commit()

    def close_unit(self) -> None:
        """And nothing is under way."""
        self._await()
        self._read.clear()
        super().close_unit()

    def void(self) -> None:
        """Once all are done."""
        self._await()
        super().void()

    def _await(self) -> None:
        done, self._under_way = self._under_way, []
        for each in done:
            each.result()


class DropsUnderLoad(Transactions):
    """Has room for so many records in a unit."""

    _room = _MOST

    def begin(self) -> None:
        """There is room again."""
        self._room = _MOST
        super().begin()

    def handle(self, message: Message) -> None:
        """If there is room; it counts as read."""
        self._room -= 1
        if self._room >= 0:
            super().handle(message)
        else:
            self.ahead[message.topic() or "", message.partition() or 0] = (message.offset() or 0) + 1


class TwoTransactions(Transactions):
    """Sends what it has for others in a transaction of its own."""

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self._for_others: list[tuple[Made, int]] = []

    def write(self, record: Made, timestamp: int) -> None:
        """Later, if it is an input of somebody."""
        if record.topic in {stream.topic for stream in self.orders.inputs}:
            self._for_others.append((record, timestamp))
        else:
            super().write(record, timestamp)

    def end_transaction(self) -> None:
        """And then the others'."""
        super().end_transaction()
        self.producer.begin_transaction()
        for record, timestamp in self._for_others:
            super().write(record, timestamp)
        self.producer.commit_transaction(CALL_S)

    def close_unit(self) -> None:
        """With the unit they are done, or void."""
        self._for_others.clear()
        super().close_unit()
