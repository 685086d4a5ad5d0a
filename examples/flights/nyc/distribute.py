"""Passes each flight on under the keys that others count or join by."""

from __future__ import annotations

from collections.abc import Iterator

from holdfast import To, processor
from nyc.events import FlightReported


@processor
def distribute(flight: FlightReported) -> Iterator[To[FlightReported]]:
    """Write the flight once for each key; the topics say which field that is."""
    yield To("flights-by-carrier", flight)
    yield To("flights-by-route", flight)
    yield To("flights-by-hour", flight)
