"""The example's events and the values of its tables."""

from __future__ import annotations

from datetime import datetime

from pydantic import BaseModel

from holdfast import Event

UNKNOWN = "unknown"
"""Stands for the tail number of a flight that has none in the data."""

LATE = 15
"""Minutes from which a departure or arrival counts as late, as in the statistics of the US authorities."""


class FlightReported(Event):
    """A scheduled flight and what became of it.

    Attributes:
        aircraft: its tail number, or `UNKNOWN`.
        flight: carrier and number; with origin and schedule it names one flight.
        carrier: the carrier's code.
        origin: the airport that it leaves from.
        route: origin and destination.
        origin_hour: origin and the hour of the schedule, the key of the weather.
        scheduled: when it should leave.
        departure_delay: minutes; negative is early, None is cancelled.
        arrival_delay: the same for the arrival; None also if it landed elsewhere.
    """

    aircraft: str
    flight: str
    carrier: str
    origin: str
    route: str
    origin_hour: str
    scheduled: datetime
    departure_delay: int | None
    arrival_delay: int | None


class WeatherObserved(Event):
    """One hour's weather at an airport; None where the data has nothing.

    Attributes:
        origin_hour: airport and hour.
        observed: the hour.
        wind_speed: miles per hour.
        precipitation: inches.
        visibility: miles.
    """

    origin_hour: str
    observed: datetime
    wind_speed: float | None
    precipitation: float | None
    visibility: float | None


class KnockOnDelay(Event):
    """An aircraft arrived late, and so left late on its next flight.

    Attributes:
        aircraft: the tail number.
        flight: the flight that left late.
        origin: where from.
        scheduled: when it should have left.
        departure_delay: by how many minutes it left late.
        after_flight: the flight before it.
        after_arrival_delay: by how many minutes that one arrived late.
    """

    aircraft: str
    flight: str
    origin: str
    scheduled: datetime
    departure_delay: int
    after_flight: str
    after_arrival_delay: int


class FlightInWeather(Event):
    """A flight beside the weather at its origin in the hour of its schedule."""

    flight: str
    origin: str
    scheduled: datetime
    departure_delay: int | None
    wind_speed: float | None
    precipitation: float | None
    visibility: float | None


class Delays(BaseModel, frozen=True):
    """Delays of a group of flights.

    Attributes:
        flights: how many were scheduled.
        cancelled: how many of them never left.
        departure_minutes: sum of their departure delays.
        arrived: how many arrived at their destination.
        arrival_minutes: sum of their arrival delays.
        late: how many of them arrived late.
        worst: the longest arrival delay; None if none arrived.
    """

    flights: int = 0
    cancelled: int = 0
    departure_minutes: int = 0
    arrived: int = 0
    arrival_minutes: int = 0
    late: int = 0
    worst: int | None = None


class Leg(BaseModel, frozen=True):
    """The last flight of an aircraft."""

    flight: str
    scheduled: datetime
    arrival_delay: int | None


class Hour(BaseModel, frozen=True):
    """What is known of an hour at an airport: the weather, or flights that wait for it."""

    weather: WeatherObserved | None = None
    waiting: tuple[FlightReported, ...] = ()
