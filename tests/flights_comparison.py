"""Compares what the flights example computed with a batch over the same files, row by row."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from nyc.batch import Batch

from holdfast.checks import TopicReader

EXAMPLE = Path(__file__).parents[1] / "examples" / "flights"


def assert_equals_batch(log: TopicReader, days: int = 366) -> None:
    """Assert that every table and every output is what the batch says, and that no output is there twice."""
    batch = Batch(days)
    for processor, column in (("carriers", "carrier"), ("routes", "route"), ("aircraft", "aircraft")):
        counted = {key: delays.model_dump() for key, delays in log.table(processor, "delays").items()}
        assert counted == batch.delays(column)
    assert_equal(log, "knock-ons", batch.knock_ons())
    assert_equal(log, "flights-in-weather", batch.flights_in_weather())
    assert not list(log.dead_letters())


def assert_equal(log: TopicReader, topic: str, expected: set[tuple[Any, ...]]) -> None:
    """Assert that a topic holds the expected rows, each once."""
    found = [tuple(record.event.model_dump().values()) for record in log.events(topic)]
    assert len(found) == len(expected)
    assert set(found) == expected
