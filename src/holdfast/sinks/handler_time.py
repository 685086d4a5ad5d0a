"""The time that a handler has for its record, for the systems that it asks."""

from __future__ import annotations

import asyncio
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class HandlerTime:
    """How long the handler of one record may take.

    Attributes:
        limit: cuts the handler.
        seconds: how long that is.
    """

    limit: asyncio.Timeout
    seconds: float

    @property
    def is_over(self) -> bool:
        """Whether the handler was cut: what is cancelled then, is cancelled for that."""
        return self.limit.expired()


HANDLER_TIME: Final[ContextVar[HandlerTime | None]] = ContextVar("handler_time", default=None)
"""That of the handler whose call this is, also in tasks that it began; None outside of handlers."""
