"""Mistakes about states; see `mistakes` for what each one is."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from confluent_kafka import Message

from holdfast.chaos.clients.loop.changelog import Changelog
from holdfast.chaos.clients.loop.settings import CALL_S
from holdfast.chaos.clients.loop.transactions import Transactions


class NotRestored(Transactions):
    """Begins with nothing."""

    def restore(self, shards: Collection[int]) -> None:
        """Not at all."""
        for shard in shards:
            self.states.put(shard, {})


class KeepsRevokedState(Transactions):
    """Believes that a shard's state is as it left it."""

    def forget(self) -> None:
        """Only the positions."""
        self.states.discard()
        self.positions.clear()

    def restore(self, shards: Collection[int]) -> None:
        """Only what was never here."""
        super().restore(set(shards) - self.states.shards)


class RestoresUncommitted(Transactions):
    """Restores from all that the changelog holds."""

    def new_changelog(self) -> Changelog:
        """Its reader has the Java client's default."""
        orders = self.orders
        return Changelog(orders.servers, orders.changelog, self.job.codec.decode, "read_uncommitted")


class KeepsAbortedState(Transactions):
    """Goes back to the last positions, and not to the last states."""

    def rewind(self) -> None:
        """By half."""
        self.states.keep()
        super().rewind()


class ChangelogAfterCommit(Transactions):
    """Writes states when all else is committed."""

    def write_state(self, shard: int, key: bytes, state: Any) -> None:
        """Not yet."""

    def end_transaction(self) -> None:
        """In a transaction of their own."""
        super().end_transaction()
        self.producer.begin_transaction()
        for change in self.states.changes():
            super().write_state(*change)
        self.producer.commit_transaction(CALL_S)


class WrongBalance(Transactions):
    """Confuses keys, once in a hundred records."""

    _before: bytes | None = None

    def state_key(self, message: Message) -> bytes:
        """The one before it."""
        key, before = super().state_key(message), self._before
        self._before = key
        return before if before is not None and self.chance.random() < 0.01 else key
