"""The same results as the processors, computed in one go with pandas from the package's files.

It shares no code with them, and so it can tell whether they are right.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pandas as pd  # type: ignore[import-untyped]

from nyc.source import data_folder

LATE_MINUTES, WITHIN_HOURS = 15, 12


class Batch:
    """The tables of the year, or of the part of it that was published.

    Args:
        last_flight: leave out flights that are scheduled later.
        last_weather: leave out weather that was observed later.

    Attributes:
        flights: the flights of the file, with the columns that the results need.
    """

    def __init__(self, last_flight: datetime, last_weather: datetime) -> None:
        folder = data_folder()
        weather = pd.read_csv(folder / "weather.csv", parse_dates=["time_hour"])
        self._weather = weather[weather["time_hour"] <= last_weather]
        flights = pd.read_csv(folder / "flights.csv.zip", parse_dates=["time_hour"])
        flights["scheduled"] = flights["time_hour"] + pd.to_timedelta(flights["minute"], "min")
        flights = flights[flights["scheduled"] <= last_flight].copy()
        flights["aircraft"] = flights["tailnum"].fillna("unknown")
        flights["flight"] = flights["carrier"] + flights["flight"].astype(str)
        flights["route"] = flights["origin"] + "-" + flights["dest"]
        self.flights = flights

    def delays(self, column: str) -> dict[str, dict[str, int | None]]:
        """Delay statistics by `column`: `carrier`, `route` or `aircraft`."""
        groups = self.flights.assign(is_late=self.flights["arr_delay"] >= LATE_MINUTES).groupby(column)
        table = pd.DataFrame(
            {
                "flights": groups.size(),
                "departed": groups["dep_delay"].count(),
                "departure_minutes": groups["dep_delay"].sum(),
                "arrived": groups["arr_delay"].count(),
                "arrival_minutes": groups["arr_delay"].sum(),
                "late": groups["is_late"].sum(),
                "worst": groups["arr_delay"].max(),
            }
        )
        table.insert(1, "cancelled", table["flights"] - table.pop("departed"))
        return {str(key): _integers(row) for key, row in table.to_dict("index").items()}

    def knock_ons(self) -> set[tuple[Any, ...]]:
        """Knock-on delays: aircraft, flight, origin, schedule, delay, flight before, its arrival delay."""
        flown = self.flights[self.flights["dep_delay"].notna() & (self.flights["aircraft"] != "unknown")]
        flown = flown.sort_values(["aircraft", "scheduled", "flight", "origin"])
        before = flown.groupby("aircraft")[["flight", "scheduled", "arr_delay"]].shift()
        found = flown[
            (flown["dep_delay"] >= LATE_MINUTES)
            & (before["arr_delay"] >= LATE_MINUTES)
            & (flown["scheduled"] - before["scheduled"] <= pd.Timedelta(hours=WITHIN_HOURS))
        ].join(before.add_suffix("_before"))
        columns = [
            "aircraft",
            "flight",
            "origin",
            "scheduled",
            "dep_delay",
            "flight_before",
            "arr_delay_before",
        ]
        return set(found[columns].itertuples(index=False, name=None))

    def flights_in_weather(self) -> set[tuple[Any, ...]]:
        """Flights with their hour's weather: flight, origin, schedule, delay, wind, rain, visibility."""
        weather = self._weather[["origin", "time_hour", "wind_speed", "precip", "visib"]]
        joined = self.flights.merge(weather, on=["origin", "time_hour"])
        columns = ["flight", "origin", "scheduled", "dep_delay", "wind_speed", "precip", "visib"]
        rows = joined[columns].astype(object)
        return set(rows.where(rows.notna(), None).itertuples(index=False, name=None))


def _integers(row: dict[Any, Any]) -> dict[str, int | None]:
    return {str(name): None if pd.isna(value) else int(value) for name, value in row.items()}
