"""Finds delays that an aircraft carries from one flight to its next.

A knock-on delay is a flight that left at least 15 minutes late, with the same aircraft's flight before it
having arrived at least 15 minutes late, and scheduled at most 12 hours before. "Before" is by scheduled
departure; a cancelled flight moved no aircraft and does not count. The data holds the flights out of New York
only, so between the two the aircraft also came back.

The topic is keyed by aircraft and written by schedule, so an aircraft's flights come in that order.
"""

from __future__ import annotations

from datetime import timedelta

from holdfast import State, processor
from nyc.events import LATE, UNKNOWN, FlightReported, KnockOnDelay, Leg

WITHIN = timedelta(hours=12)
"""How far apart the schedules of the two flights may be."""


@processor
def knock_on(flight: FlightReported, last_leg: State[Leg]) -> KnockOnDelay | None:
    """Compare the flight with the aircraft's last one."""
    delay = flight.departure_delay
    if flight.aircraft == UNKNOWN or delay is None:
        return None
    before = last_leg.get()
    last_leg.set(Leg(flight=flight.flight, scheduled=flight.scheduled, arrival_delay=flight.arrival_delay))
    if before is None or before.arrival_delay is None:
        return None
    in_time = flight.scheduled - before.scheduled <= WITHIN
    if not (in_time and before.arrival_delay >= LATE and delay >= LATE):
        return None
    return KnockOnDelay(
        aircraft=flight.aircraft,
        flight=flight.flight,
        origin=flight.origin,
        scheduled=flight.scheduled,
        departure_delay=delay,
        after_flight=before.flight,
        after_arrival_delay=before.arrival_delay,
    )
