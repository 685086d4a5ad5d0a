"""Delay statistics by whatever the flights are keyed by."""

from __future__ import annotations

from holdfast import State, processor
from nyc.events import LATE, Delays, FlightReported


@processor
def delay_statistics(flight: FlightReported, delays: State[Delays]) -> None:
    """Add the flight to the statistics of its key."""
    old = delays.get() or Delays()
    arrival = flight.arrival_delay
    delays.set(
        Delays(
            flights=old.flights + 1,
            cancelled=old.cancelled + (flight.departure_delay is None),
            departure_minutes=old.departure_minutes + (flight.departure_delay or 0),
            arrived=old.arrived + (arrival is not None),
            arrival_minutes=old.arrival_minutes + (arrival or 0),
            late=old.late + (arrival is not None and arrival >= LATE),
            worst=_worst(old.worst, arrival),
        )
    )


def _worst(old: int | None, new: int | None) -> int | None:
    if old is None or new is None:
        return new if old is None else old
    return max(old, new)
