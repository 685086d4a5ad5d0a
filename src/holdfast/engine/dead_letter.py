"""Dead letters: a record set aside with its cause and origin.

The original bytes, key and headers are kept. The cause headers carry the names of
KIP-1034, so that tools for Kafka Streams' dead letters read ours.
"""

from __future__ import annotations

import logging
import traceback

from holdfast.engine.blame import explain, stack_of, text_of
from holdfast.engine.redriven import Parked, Redriven
from holdfast.record import Message, Output, Position

log = logging.getLogger("holdfast.dead_letters")
"""One line for each record that is set aside, dropped or tried again; a worker limits them."""

PREFIX = "__streams.errors."
PROCESSOR = "holdfast.processor"
ATTEMPTS = "holdfast.attempts"
FIRST_FAILED = "holdfast.first-failed"
LAST_FAILED = "holdfast.last-failed"
PARKING = "holdfast.parking"
"""The header that names the parking of a parked key, in the letters of all of its records."""
NUMBER = "holdfast.parking.number"
TIMESTAMP = "holdfast.timestamp"
"""The header with the record's own timestamp, in a letter that has another one."""
MAX_STACKTRACE = 8_000
"""Characters of stack trace kept: its end, which names the failing line."""

MAX_MESSAGE = 4_000
"""Characters of the cause's text kept: its start."""


def set_aside(
    topic: str,
    origin: Position,
    message: Message,
    cause: BaseException,
    *,
    processor: str,
    now: int,
    time: int | None = None,
    attempts: int = 1,
    parked: Parked | None = None,
) -> Output:
    """The record that sets `message` aside, after a line in the log; see `dead_letter`."""
    again = f" (redriven from {message.sent.letter})" if isinstance(message, Redriven) else ""
    log.warning(
        "processor %r sets %s%s aside in topic %s: %s", processor, origin, again, topic, explain(cause)
    )
    return dead_letter(
        topic,
        origin,
        message,
        cause,
        processor=processor,
        now=now,
        time=time,
        attempts=attempts,
        parked=parked,
    )


def drop(origin: Position, cause: BaseException, *, processor: str) -> None:
    """Say in the log that a record is dropped."""
    log.warning("processor %r drops %s: %s", processor, origin, explain(cause))


def put_off(origin: Position, cause: BaseException, *, processor: str, attempt: int, wait_s: float) -> None:
    """Say in the log that the handler is called for a record again."""
    log.warning(
        "processor %r failed at %s, attempt %d, and tries again in %.2g s: %s",
        processor,
        origin,
        attempt,
        wait_s,
        explain(cause),
    )


def dead_letter(
    topic: str,
    origin: Position,
    message: Message,
    cause: BaseException,
    *,
    processor: str,
    now: int,
    time: int | None = None,
    attempts: int = 1,
    parked: Parked | None = None,
) -> Output:
    """The record that sets `message` aside. That of a redriven one tells where it was read first.

    Args:
        topic: the dead-letter topic.
        origin: where the message was read.
        message: the message, whose bytes are kept as they are.
        cause: why it cannot be handled.
        processor: the processor that gave up on it.
        now: the time, in milliseconds since the epoch.
        time: the letter's timestamp where the brokers refuse the message's own, which is kept in a header.
        attempts: how often its handler was called for it, since it was redriven if it was.
        parked: its place among those of a parked key, if it has one.
    """
    headers = [
        *(message.headers() or ()),
        *_cause_headers(cause),
        *_history_headers(origin, message, processor=processor, now=now, attempts=attempts),
    ]
    if parked is not None:
        headers += [(PARKING, parked.parking.encode()), (NUMBER, str(parked.number).encode())]
    own = message.timestamp()[1]
    if time is None:
        return Output(topic, message.value(), message.key(), own, headers)
    headers.append((TIMESTAMP, str(own).encode()))
    return Output(topic, message.value(), message.key(), time, headers)


def _cause_headers(cause: BaseException) -> list[tuple[str, bytes]]:
    """Its class, its text, and where it was raised."""
    kind = type(cause)
    stack = stack_of(cause) or "".join(traceback.format_exception(cause))
    return [
        (PREFIX + "exception", f"{kind.__module__}.{kind.__qualname__}".encode()),
        (PREFIX + "message", _bytes(text_of(cause)[:MAX_MESSAGE])),
        (PREFIX + "stacktrace", _bytes(stack[-MAX_STACKTRACE:])),
    ]


def _history_headers(
    origin: Position, message: Message, *, processor: str, now: int, attempts: int
) -> list[tuple[str, bytes]]:
    """Where the record was read first, how often its handler was called for it, and when it failed."""
    first = now
    if isinstance(message, Redriven):
        sent = message.sent
        origin, attempts, first = sent.origin, sent.attempts + attempts, sent.first_failed or now
    return [
        (PREFIX + "topic", origin.topic.encode()),
        (PREFIX + "partition", str(origin.partition).encode()),
        (PREFIX + "offset", str(origin.offset).encode()),
        (PROCESSOR, processor.encode()),
        (ATTEMPTS, str(attempts).encode()),
        (FIRST_FAILED, str(first).encode()),
        (LAST_FAILED, str(now).encode()),
    ]


def _bytes(text: str) -> bytes:
    """UTF-8 of any text: a cause may quote what is no text, and must not block the shard by it."""
    return text.encode("utf-8", "backslashreplace")
