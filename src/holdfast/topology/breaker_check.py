"""Settings of a sink's breaker that could never open it."""

from __future__ import annotations

import math
from collections.abc import Iterator

from holdfast.declaration.source import Location, Problem
from holdfast.errors import PolicyError
from holdfast.topology.sink_decls import AnySinkDecl, HttpSinkDecl

_STUCK_MS = 5_000
"""How much later than twice its `timeout` a worker ends whose sink does not return from a batch."""


def breaker_problems(at: Location, sink: AnySinkDecl) -> Iterator[Problem]:
    """Say what is wrong with the breaker of a sink.

    Args:
        at: where the sink is in the file.
        sink: the sink.
    """
    at = (*at, "breaker")
    try:
        sink.breaker.settings()
    except PolicyError as error:
        yield Problem(at, str(error))
        return
    yield from _never_slow(at, sink)
    if sink.breaker.window_ms is not None:
        yield from _never_enough(at, sink, sink.breaker.window_ms)


def _never_slow(at: Location, sink: AnySinkDecl) -> Iterator[Problem]:
    """A call that is given up before it is slow is a failure, which `failure_rate` is for."""
    slow_ms = sink.breaker.slow_call_ms
    most_ms, until = _longest_call(sink)
    if slow_ms is not None and slow_ms >= most_ms:
        text = (
            f"no call could be slow that is not given up already: {_s(slow_ms)} is not less than {until}; "
            "lower it, or leave it and `slow_call_rate` away"
        )
        yield Problem((*at, "slow_call"), text)


def _longest_call(sink: AnySinkDecl) -> tuple[int, str]:
    """After how many milliseconds what the breaker counts as a call is over, and what says so."""
    if isinstance(sink, HttpSinkDecl):
        return sink.call_ms, f"`call_timeout`, {_s(sink.call_ms)}"
    # A batch that has to connect first takes up to `timeout` for that as well, and nobody can cut a disk, or
    # a class of somebody's.
    most_ms = 2 * sink.timeout_ms + _STUCK_MS
    return most_ms, f"the {_s(most_ms)} after which the worker ends (twice `timeout`, and {_s(_STUCK_MS)})"


def _never_enough(at: Location, sink: AnySinkDecl, window_ms: int) -> Iterator[Problem]:
    """A window of time may be too short for as many calls as there would have to be in it."""
    breaker = sink.breaker
    if isinstance(sink, HttpSinkDecl):
        if sink.rate is None:
            return
        # What began before the window may end in it.
        most = math.floor(sink.rate * (window_ms + sink.call_ms) / 1000) + 1
        if breaker.minimum_calls > most:
            text = (
                f"this breaker can never open: with a `rate` of {sink.rate} no more than {most} calls end in "
                f"its window of {_s(window_ms)}, and rates are looked at from {breaker.minimum_calls} calls "
                "on; lower minimum_calls, or raise window"
            )
            yield Problem((*at, "minimum_calls"), text)
        return
    if breaker.slow_call_ms is None or breaker.slow_call_rate is None:
        return
    # A worker writes one batch after the other.
    most = window_ms // breaker.slow_call_ms + 1
    # Divided, as the breaker does it: a product may come out above the whole number that is enough.
    if most / breaker.minimum_calls < breaker.slow_call_rate:
        text = (
            f"this rate can never be reached: no more than {most} batches of {_s(breaker.slow_call_ms)} end "
            f"in a window of {_s(window_ms)}, and {most} of {breaker.minimum_calls} (minimum_calls) are "
            f"less than {breaker.slow_call_rate:g}; raise window, or lower slow_call or minimum_calls"
        )
        yield Problem((*at, "slow_call_rate"), text)


def _s(milliseconds: int) -> str:
    return f"{milliseconds / 1000:g}s"
