"""The flights example gives, row by row, what a batch computation over the same files gives."""

from __future__ import annotations

import pytest
from nyc.events import FlightReported, WeatherObserved
from nyc.source import flights, generate, weather

from holdfast.testing import TopologyTest
from tests.flights_comparison import EXAMPLE, assert_equals_batch


@pytest.mark.parametrize("days", [14, pytest.param(366, marks=[pytest.mark.slow, pytest.mark.timeout(600)])])
def test_the_processors_agree_with_the_batch(days: int) -> None:
    """The first two weeks, and the whole year."""
    topology = TopologyTest(EXAMPLE / "topology.yaml")
    topology.produce("nycflights13", days=days)
    topology.run()
    assert_equals_batch(topology, days)


def test_the_source_yields_every_row_once_in_the_order_of_time() -> None:
    """336,776 flights and 26,115 hours of weather, whatever the order of the files."""
    times = [flight.scheduled for flight in flights()]
    assert len(times) == 336_776
    assert times == sorted(times)
    hours = [report.observed for report in weather()]
    assert len(hours) == 26_115
    assert hours == sorted(hours)


def test_the_weather_of_an_hour_comes_before_its_flights() -> None:
    """The two sources are merged by time."""
    flown: set[str] = set()
    for event in generate(days=3):
        if isinstance(event, FlightReported):
            flown.add(event.origin_hour)
        else:
            assert isinstance(event, WeatherObserved)
            assert event.origin_hour not in flown
    assert flown
