"""A steady rate for what is published from the command line."""

from __future__ import annotations

import time

import typer

SHORTEST_SLEEP = 0.002
"""Seconds; shorter waits are saved up, as a sleep takes longer than asked for."""

LONGEST_LAG = 1.0
"""Seconds; whoever falls behind further than this does not catch up in one burst."""


class Pacer:
    """Spreads calls evenly over time."""

    def __init__(self, per_second: float) -> None:
        self._step = 1.0 / per_second
        self._next = time.monotonic()

    def wait(self) -> None:
        """Sleep until the next call is due."""
        now = time.monotonic()
        early = self._next - now
        if early > SHORTEST_SLEEP:
            time.sleep(early)
        elif early < -LONGEST_LAG:
            self._next = now
        self._next += self._step


def parse_rate(text: str | None) -> float | None:
    """Return events per second from ``5000`` or ``5000/s``; None for None.

    Raises:
        typer.BadParameter: it is not a positive number.
    """
    if text is None:
        return None
    try:
        rate = float(text.removesuffix("/s"))
    except ValueError:
        rate = 0.0
    if not 0 < rate < float("inf"):
        raise typer.BadParameter(
            f"{text!r} is no rate; write for example 5000 or 5000/s.", param_hint="--rate"
        )
    return rate
