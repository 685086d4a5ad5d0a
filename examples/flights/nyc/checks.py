"""Compares what the processors computed with the batch, row by row."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import lru_cache
from itertools import chain
from typing import Any

from holdfast.checks import CheckResult, TopicReader
from nyc.batch import Batch

BEFORE = datetime(2013, 1, 1, tzinfo=UTC)
"""Earlier than everything in the data."""

COUNTED_BY = {"carriers": "carrier", "routes": "route", "aircraft": "aircraft"}
"""The processors of the statistics, and the column that each of them counts by."""


def delays_agree(log: TopicReader) -> CheckResult:
    """Every row of the three tables of statistics is what the batch says."""
    batch = _batch(log)
    counted = {name: log.table(name, "delays") for name in COUNTED_BY}

    def problems() -> Iterator[str]:
        for name, column in COUNTED_BY.items():
            expected = batch.delays(column)
            for key in sorted({*expected, *counted[name]}):
                row = counted[name].get(key)
                found = None if row is None else row.model_dump()
                if found != expected.get(key):
                    yield f"{column} {key}: counted {found}, the batch says {expected.get(key)}"

    rows = {name: len(table) for name, table in counted.items()}
    return CheckResult.of("delay statistics equal the batch", problems(), flights=len(batch.flights), **rows)


def knock_ons_agree(log: TopicReader) -> CheckResult:
    """Every knock-on delay is found, and no other."""
    return _rows_agree(log, "knock-ons", "knock-on delays equal the batch", _batch(log).knock_ons())


def weather_agrees(log: TopicReader) -> CheckResult:
    """Every flight is joined with its hour's weather, once."""
    expected = _batch(log).flights_in_weather()
    return _rows_agree(log, "flights-in-weather", "flights in weather equal the batch", expected)


def nothing_set_aside(log: TopicReader) -> CheckResult:
    """No record had to be set aside as a dead letter."""
    letters = [f"{letter.topic()}[{letter.partition()}]@{letter.offset()}" for letter in log.dead_letters()]
    return CheckResult.of("no dead letters", letters, letters=len(letters))


def _rows_agree(log: TopicReader, topic: str, name: str, expected: set[tuple[Any, ...]]) -> CheckResult:
    found = Counter(tuple(record.event.model_dump().values()) for record in log.events(topic))
    problems = chain(
        (f"missing: {row}" for row in sorted(expected - found.keys(), key=str)),
        (f"not in the batch: {row}" for row in sorted(found.keys() - expected, key=str)),
        (f"{count} times: {row}" for row, count in found.items() if count > 1),
    )
    return CheckResult.of(name, problems, rows=len(found))


def _batch(log: TopicReader) -> Batch:
    """The batch over what was published: everything up to the last time in the topics."""
    flights = max((record.event.scheduled for record in log.events("flights")), default=BEFORE)
    weather = max((record.event.observed for record in log.events("weather")), default=BEFORE)
    return _batch_until(flights, weather)


@lru_cache(maxsize=1)
def _batch_until(flights: datetime, weather: datetime) -> Batch:
    return Batch(flights, weather)
