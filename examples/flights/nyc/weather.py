"""Joins each flight with the weather at its origin in that hour.

Both topics are keyed by airport and hour, so both sides of the join meet in one shard. Which one comes first
is open: flights wait in the state until their hour's weather is there.
"""

from __future__ import annotations

from collections.abc import Iterator

from holdfast import State, processor
from nyc.events import FlightInWeather, FlightReported, Hour, WeatherObserved


@processor
def join_weather(event: FlightReported | WeatherObserved, hours: State[Hour]) -> Iterator[FlightInWeather]:
    """Emit what can be joined now, and keep what the other side will need."""
    hour = hours.get() or Hour()
    if isinstance(event, WeatherObserved):
        hours.set(Hour(weather=event))
        for flight in hour.waiting:
            yield _joined(flight, event)
    elif hour.weather is not None:
        yield _joined(event, hour.weather)
    else:
        hours.set(Hour(waiting=(*hour.waiting, event)))


def _joined(flight: FlightReported, weather: WeatherObserved) -> FlightInWeather:
    return FlightInWeather(
        flight=flight.flight,
        origin=flight.origin,
        scheduled=flight.scheduled,
        departure_delay=flight.departure_delay,
        wind_speed=weather.wind_speed,
        precipitation=weather.precipitation,
        visibility=weather.visibility,
    )
