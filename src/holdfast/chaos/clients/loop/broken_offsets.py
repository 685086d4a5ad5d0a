"""Mistakes about positions; see `mistakes` for what each one is."""

from __future__ import annotations

import time
from typing import Any

from confluent_kafka import OFFSET_END, Consumer, Message, TopicPartition

from holdfast.chaos.clients.loop.batches import Batches
from holdfast.chaos.clients.loop.transactions import Transactions

_EVERY = 10
"""Records from one commit of positions to the next."""

_OUTSIDE_S = 1.0
"""Seconds from one commit of positions to the next, where they are not in the transaction."""


class OffsetsFirst(Transactions):
    """Commits positions as it goes, ahead of the transaction with their results."""

    _since = 0

    def handle(self, message: Message) -> None:
        """And now and then say that it is done."""
        super().handle(message)
        self._since += 1
        if self._since == _EVERY:
            self.send_offsets()

    def send_offsets(self) -> None:
        """By the consumer."""
        self._since = 0
        self.consumer.commit(offsets=self.offsets(), asynchronous=True)


class OffsetsOutside(Transactions):
    """Commits positions once in a second, whatever was committed until then."""

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self._done: dict[tuple[str, int], int] = {}
        self._next = 0.0

    def send_offsets(self) -> None:
        """Not here."""

    def committed(self) -> None:
        """Soon; at once if the shards are about to go."""
        super().committed()
        self._done = dict(self.positions)
        if not self.assigned:
            self._commit()

    def turn(self) -> None:
        """As a loop without transactions would."""
        super().turn()
        if self._done and time.monotonic() >= self._next:
            self._commit()

    def _commit(self) -> None:
        self._next = time.monotonic() + _OUTSIDE_S
        offsets = [TopicPartition(*place, offset) for place, offset in self._done.items()]
        self._done = {}
        self.consumer.commit(offsets=offsets, asynchronous=False)


class AutoCommit(Transactions):
    """Leaves the positions to the client."""

    def consumer_settings(self) -> dict[str, Any]:
        """As in the client's examples."""
        ours = {
            "enable.auto.commit": True,
            "enable.auto.offset.store": True,
            "auto.commit.interval.ms": 1_000,
        }
        return {**super().consumer_settings(), **ours}

    def send_offsets(self) -> None:
        """The client does it when it thinks that it is time."""


class StartsAtEnd(Transactions):
    """Begins at the end of every partition that it gets."""

    def start(self, committed: TopicPartition) -> int:  # noqa: ARG002
        """Not where the group was."""
        return int(OFFSET_END)


class ForgetsAtRebalance(Batches):
    """Forgets half of what it has in hand when a rebalance comes."""

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self._read: dict[tuple[str, int], int] = {}

    def handle(self, message: Message) -> None:
        """It counts as read."""
        super().handle(message)
        self._read[message.topic() or "", message.partition() or 0] = (message.offset() or 0) + 1

    def send_offsets(self) -> None:
        """Of all that was read."""
        self.ahead.update(self._read)
        super().send_offsets()

    def on_revoke(self, consumer: Consumer, places: list[TopicPartition]) -> None:
        """There is no time for all of it."""
        del self.in_hand[len(self.in_hand) // 2 :]
        super().on_revoke(consumer, places)

    def close_unit(self) -> None:
        """All of it is done, or read again."""
        self._read.clear()
        super().close_unit()
