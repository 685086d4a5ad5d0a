"""Which errors tell of a system that is away, rather than of a record or of a mistake."""

from __future__ import annotations

from holdfast.errors import CallRefused, SinkDown, SinkSlow
from holdfast.resilience import BreakerSettings, CircuitBreaker


class NotCalled(SinkDown):
    """A breaker or limit of the user's own let a call not pass; its system did not see it."""


def batch_breaker(name: str, settings: BreakerSettings) -> CircuitBreaker:
    """A breaker that counts batches as calls; whatever else their system says, it has answered."""
    return CircuitBreaker(name, settings, failures=(SinkDown,), ignored=(SinkSlow, NotCalled))


def outage_of(error: BaseException, asker: str) -> SinkDown | None:
    """The outage that an error tells of; None if it tells of none.

    Calls that are made at once in a group of tasks raise a group: one outage in it is enough.

    Args:
        error: what was raised.
        asker: whose call it was, for messages.
    """
    if isinstance(error, SinkDown):
        return error
    if isinstance(error, CallRefused):
        outage = NotCalled(f"{asker}: {error}", error.wait_s)
        outage.__cause__ = error
        return outage
    if isinstance(error, BaseExceptionGroup):
        found = (outage_of(each, asker) for each in error.exceptions)
        return next((each for each in found if each is not None), None)
    return None
