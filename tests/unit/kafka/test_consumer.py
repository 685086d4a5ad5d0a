"""What of the group's member needs no broker."""

from __future__ import annotations

from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException

from holdfast.kafka import consumer
from holdfast.kafka.consumer import ShardConsumer


class Listener:
    """Hears nothing."""

    def assigned(self, partitions: list[int]) -> None:
        """Nothing."""

    revoked = lost = assigned


class Client:
    """A client that notes what it is asked for; the first of these calls fails if it is told to."""

    def __init__(self, error: KafkaException | None) -> None:
        self.calls: list[str] = []
        self._error = error

    def subscribe(self, *_: Any, **__: Any) -> None:
        """Join."""

    def consume(self, _most: int, timeout: float) -> list[Any]:
        """Tell of rebalances."""
        self.calls.append("consume")
        assert timeout == 0
        if self._error is not None:
            raise self._error
        return []

    def close(self) -> None:
        """Go."""
        self.calls.append("close")


@pytest.mark.parametrize("error", [None, KafkaException(KafkaError(KafkaError._MAX_POLL_EXCEEDED))])
def test_rebalances_that_nobody_asked_for_are_heard_before_the_client_goes(
    monkeypatch: pytest.MonkeyPatch, error: KafkaException | None
) -> None:
    """On real brokers `close` hung now and then in the answer to one, in members unasked for 8 to 30 s."""
    client = Client(error)
    monkeypatch.setattr(consumer, "Consumer", lambda _: client)
    member = ShardConsumer({"group.id": "g", "group.protocol": "consumer"}, "inputs", Listener())
    member.close()
    assert client.calls == ["consume", "close"]
