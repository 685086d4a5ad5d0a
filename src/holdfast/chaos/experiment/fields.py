"""Types of the single values in an experiment; durations become milliseconds, sizes bytes."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, StrictStr

from holdfast.chaos.experiment.targets import Group, Target, parse_target
from holdfast.declaration.values import duration_ms, expected, said

DAY_MS = 86_400_000
LEAST_OFFSET_MS = 10_000
"""The least that a clock may jump by: what a broker tells of its time is known to within 3 s."""

_BITS = {"kbit": 1_000, "mbit": 1_000_000, "gbit": 1_000_000_000}
_BYTES = {"MB": 10**6, "GB": 10**9, "MiB": 2**20, "GiB": 2**30}

_OF_TIME = "(a whole number of ms, s, m, h or d)"


def _moment_ms(value: object) -> int:
    nothing = isinstance(value, str) and re.fullmatch(r"0{1,9}\s*(ms|s|m|h|d)", value)
    return 0 if nothing else duration_ms(value)


def _description(value: str) -> str:
    # It is shown in a terminal, to which an escape sequence would be a command. Ends of lines become blanks.
    words = value.split()
    if not words or re.search(r"[\x00-\x1f\x7f-\x9f]", " ".join(words)):
        raise ValueError
    return value


def _signed_ms(value: object) -> int:
    if isinstance(value, str) and value.startswith(("-", "+")):
        return duration_ms(value[1:]) * (-1 if value[0] == "-" else 1)
    return duration_ms(value)


def _offset_ms(value: object) -> int:
    offset_ms = _signed_ms(value)
    if abs(offset_ms) < LEAST_OFFSET_MS:
        raise ValueError
    return offset_ms


def _measured(value: object, units: dict[str, int]) -> int:
    found = re.fullmatch(r"(\d{1,6})\s*([a-zA-Z]+)", value) if isinstance(value, str) else None
    if found is None or found[2] not in units or not int(found[1]):
        raise ValueError
    return int(found[1]) * units[found[2]]


def _bits_per_s(value: object) -> int:
    return _measured(value, _BITS)


def _bytes(value: object) -> int:
    return _measured(value, _BYTES)


Moment = Annotated[
    int,
    BeforeValidator(_moment_ms),
    Field(le=DAY_MS),
    expected(f"a time from the start on, from 0s to 1d, such as 20s {_OF_TIME}"),
]
Lasting = Annotated[
    int,
    BeforeValidator(duration_ms),
    Field(ge=100, le=DAY_MS),
    expected(f"a duration from 100ms to 1d, such as 10s {_OF_TIME}"),
]
Delay = Annotated[
    int,
    BeforeValidator(_moment_ms),
    Field(le=3_600_000),
    expected(f"a duration from 0s to 1h, such as 100ms {_OF_TIME}"),
]
Stall = Annotated[
    int,
    BeforeValidator(duration_ms),
    Field(le=990),
    expected("a part of each second, from 1ms to 990ms"),
]
Offset = Annotated[
    int,
    BeforeValidator(_offset_ms),
    Field(ge=-30 * DAY_MS, le=30 * DAY_MS),
    expected(
        "how far the clock jumps, forward or back, from 10s to 30d, such as 90s or -2h (what a broker tells "
        "of its clock is known to within 3 s: less could not be seen to have happened)"
    ),
]
Bandwidth = Annotated[
    int,
    BeforeValidator(_bits_per_s),
    expected("a bandwidth, such as 3mbit (a whole number of kbit, mbit or gbit)"),
]
Size = Annotated[
    int,
    BeforeValidator(_bytes),
    expected("a size, such as 500MB or 2GiB (a whole number of MB, GB, MiB or GiB)"),
]
Description = Annotated[
    StrictStr,
    AfterValidator(_description),
    expected("text that is not empty, without control characters"),
]
Rate = Annotated[
    int,
    Field(strict=True, gt=0, le=1_000_000),
    expected("how many events in a second, a whole number from 1 to 1,000,000"),
]
# The runner holds the name of each key in memory: about a gigabyte at the limit.
Keys = Annotated[
    int, Field(strict=True, gt=0, le=10_000_000), expected("a whole number from 1 to 10,000,000")
]
Partitions = Annotated[int, Field(strict=True, gt=0, le=1_000), expected("a whole number from 1 to 1000")]
Brokers = Annotated[int, Field(strict=True, gt=0, le=9), expected("a whole number from 1 to 9")]
Workers = Annotated[int, Field(strict=True, gt=0, le=64), expected("a whole number from 1 to 64")]
Times = Annotated[int, Field(strict=True, gt=0, le=1_000), expected("a whole number from 1 to 1000")]
Weight = Annotated[int, Field(strict=True, gt=0, le=1_000), expected("a whole number from 1 to 1000")]
QuietShare = Annotated[
    float, Field(strict=True, ge=0, lt=1), expected("a share of the periods, from 0 to below 1, such as 0.25")
]
Version = Annotated[
    StrictStr, Field(pattern=r"^\d{1,2}\.\d{1,2}\.\d{1,2}$"), expected("a version of Kafka, such as 4.2.1")
]
Direction = Literal["both", "to", "from"]


def target_of(group: Group) -> Any:
    """Return the type of whom a fault of this group hits."""

    def parse(value: object) -> Target:
        try:
            return parse_target(value, group)
        except ValueError as error:
            raise said(error) from None

    return Annotated[Target, BeforeValidator(parse)]


Side = target_of(Group.SIDE)
"""One end of links of the network."""

Value = int | float | str | Target
"""What a parameter of a fault can be: milliseconds, bits in a second, a share, a count, a name, or a side."""
