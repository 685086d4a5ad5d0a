"""What the client reports about events that it accepted: failures, and why it cannot reach the brokers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from confluent_kafka import KafkaError, KafkaException, Message

from holdfast.errors import PublishError
from holdfast.kafka.errors import describe

KEPT_FAILURES = 20
"""How many failures are kept with their cause; the others are counted."""


@dataclass(frozen=True, slots=True)
class DeliveryFailure:
    """One event that was accepted by `publish` but not acknowledged.

    Attributes:
        topic: where it should have gone.
        key: the record's key.
        value: the record's value.
        reason: why, in words.
        cause: the client's error.
    """

    topic: str
    key: bytes | None
    value: bytes | None
    reason: str
    cause: KafkaException


class Deliveries:
    """Counts and keeps the failures of one client.

    Attributes:
        failed: how many events failed.
        last_error: the client's last complaint about the brokers, or "".
    """

    def __init__(self, on_failure: Callable[[DeliveryFailure], None] | None) -> None:
        self.failed = 0
        self.last_error = ""
        self._on_failure = on_failure
        self._unreported: list[DeliveryFailure] = []
        self._unreported_count = 0

    def callbacks(self) -> dict[str, Any]:
        """Return the client properties that connect it with this object."""
        return {
            "on_delivery": self._note_delivery,
            # The client then makes no Python call for an event that was acknowledged.
            "delivery.report.only.error": True,
            "error_cb": self._note_error,
        }

    def raise_failures(self) -> None:
        """Raise what failed since the last call, unless a handler was told.

        Raises:
            PublishError: names the first failure of each reason, with its count.
        """
        if not self._unreported_count:
            return
        count, kept = self._unreported_count, self._unreported
        self._unreported_count, self._unreported = 0, []
        reasons = dict.fromkeys(f"topic {failure.topic}: {failure.reason}" for failure in kept)
        text = f"{count} published events were not delivered. {'; '.join(reasons)}."
        raise PublishError(text) from kept[0].cause

    def _note_delivery(self, error: KafkaError | None, message: Message) -> None:
        if error is None:
            return
        self.failed += 1
        failure = DeliveryFailure(
            message.topic() or "", message.key(), message.value(), describe(error), KafkaException(error)
        )
        if self._on_failure is not None:
            self._on_failure(failure)
            return
        self._unreported_count += 1
        if len(self._unreported) < KEPT_FAILURES:
            self._unreported.append(failure)

    def _note_error(self, error: KafkaError) -> None:
        # "All brokers down" only repeats what each of them was reported for.
        if error.code() != KafkaError._ALL_BROKERS_DOWN or not self.last_error:
            self.last_error = error.str()
