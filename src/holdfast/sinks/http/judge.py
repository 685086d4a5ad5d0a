"""What the status of an answer means for what is waiting behind it."""

from __future__ import annotations

from collections.abc import Collection
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final

LONGEST_PAUSE_S: Final = 300.0
"""The longest pause that a service is given when it asks for one."""


def is_down(status: int, down: Collection[str]) -> bool:
    """Whether an answer with this status is one of a service that is down.

    Args:
        status: such as 503.
        down: statuses, and classes of them such as `5xx`.
    """
    return str(status) in down or f"{status // 100}xx" in down


def pause_s(retry_after: str | None, now: datetime) -> float | None:
    """The pause that a service asks for; None if it asks for none that can be understood.

    Args:
        retry_after: the header `Retry-After`: seconds, or a date (RFC 9110, section 10.2.3).
        now: the time, with its zone.
    """
    if retry_after is None:
        return None
    text = retry_after.strip()
    if text.isascii() and text.isdigit():
        return min(float(text), LONGEST_PAUSE_S)
    try:
        until = parsedate_to_datetime(text)
    except (ValueError, OverflowError):  # the latter of a year, or a zone, with very many digits
        return None
    if until.tzinfo is None:  # "-0000": of no zone in particular
        until = until.replace(tzinfo=UTC)
    return min(max((until - now).total_seconds(), 0.0), LONGEST_PAUSE_S)
