"""Types of the single values in a topology file."""

from __future__ import annotations

import keyword
import re
from datetime import UTC, datetime
from typing import Annotated, Literal
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError
from pydantic import AfterValidator, BeforeValidator, Field, StrictStr

from holdfast.declaration.values import duration_ms, expected

TOPIC_NAME_LIMIT = 249
"""Longest topic name that Kafka accepts, in characters."""


def _topic_name(value: str) -> str:
    if not re.fullmatch(r"[a-zA-Z0-9._-]{1,249}", value) or value in (".", "..") or value.startswith("__"):
        raise ValueError
    return value


def _identifier(value: str) -> str:
    if not value.isidentifier() or keyword.iskeyword(value):
        raise ValueError
    return value


def _cron(value: str) -> str:
    try:
        # It takes six fields too, with seconds first; five are what cron means everywhere.
        if len(value.split()) != 5 or next(CronSim(value, datetime(2000, 1, 1, tzinfo=UTC)), None) is None:
            raise ValueError
    except CronSimError:
        raise ValueError from None
    return value


def _timezone(value: str) -> str:
    try:
        ZoneInfo(value)
    except (KeyError, OSError):  # not known, or a folder of the time zones' files
        raise ValueError from None
    return value


def _config_text(value: object) -> str:
    if not isinstance(value, (bool, int, float, str)):
        raise ValueError
    return str(value).lower() if isinstance(value, bool) else str(value)


Count = Annotated[
    int, Field(strict=True, gt=0, le=2**31 - 1), expected("a whole number from 1 to 2,147,483,647")
]
Standbys = Annotated[int, Field(strict=True, ge=0, le=100), expected("a whole number from 0 to 100")]
Replication = Annotated[int, Field(strict=True, gt=0, le=32_767), expected("a whole number from 1 to 32,767")]
# A commit must end well within the transaction's time-out of 10 s.
CommitInterval = Annotated[
    int,
    BeforeValidator(duration_ms),
    Field(le=5_000),
    expected("a duration from 1ms to 5s, such as 100ms"),
]
# Several heartbeats (every 200 ms) have to fit in.
SessionTimeout = Annotated[
    int,
    BeforeValidator(duration_ms),
    Field(ge=2_000, le=1_800_000),
    expected("a duration from 2s to 30m, such as 6s"),
]

Interval = Annotated[
    int,
    BeforeValidator(duration_ms),
    Field(ge=100, le=366 * 86_400_000),
    expected("a duration from 100ms to 366d, such as 30s"),
]
Wait = Annotated[
    int,
    BeforeValidator(duration_ms),
    Field(ge=1, le=3_600_000),
    expected("a duration from 1ms to 1h, such as 200ms"),
]
# A worker that is to hand over shards waits for the batch on its way.
SinkTimeout = Annotated[
    int,
    BeforeValidator(duration_ms),
    Field(ge=100, le=20_000),
    expected("a duration from 100ms to 20s, such as 10s"),
]
ServiceUrl = Annotated[
    StrictStr,
    Field(pattern=r"^https?://[^/?#\s]+(/[^?#\s]*)?$"),
    expected("the URL of a service, such as https://gateway.internal/v1"),
]
RedisUrl = Annotated[
    StrictStr,
    Field(pattern=r"^rediss?://[^/?#\s]+(/\d{1,4})?$"),
    expected("the URL of a Redis server, such as redis://cache.internal:6379/0"),
]
Servers = Annotated[
    StrictStr,
    Field(
        pattern=r"^([^\s:/@,\[\]]+|\[[0-9a-fA-F:.]+\])(:\d{1,5})?"
        r"(,\s*([^\s:/@,\[\]]+|\[[0-9a-fA-F:.]+\])(:\d{1,5})?)*$"
    ),
    expected("hosts and ports of brokers, such as kafka-1.eu.internal:9092,kafka-2.eu.internal:9092"),
]
TopicPrefix = Annotated[
    StrictStr,
    Field(pattern=r"^[a-zA-Z0-9][a-zA-Z0-9._-]{0,99}$"),
    expected('how names of topics begin (1 to 100 letters, digits, ".", "_" or "-")'),
]
# A transaction on other brokers begins, is written and ends in it.
BrokerTimeout = Annotated[
    int,
    BeforeValidator(duration_ms),
    Field(ge=1_000, le=20_000),
    expected("a duration from 1s to 20s, such as 10s"),
]
HostPort = Annotated[
    StrictStr,
    Field(pattern=r"^([^\s:/@\[\]]+|\[[0-9a-fA-F:.]+\])(:\d{1,5})?$"),
    expected("a host and a port, such as sentinel-1.internal:26379"),
]
HeaderName = Annotated[
    StrictStr,
    Field(pattern=r"^[!#$%&'*+.^_`|~0-9A-Za-z-]+$"),
    expected("the name of a header without spaces and colons, such as X-Api-Key"),
]
Status = Annotated[
    str,
    BeforeValidator(_config_text),
    Field(pattern=r"^([345]\d\d|[345]xx)$"),
    expected("a status of HTTP that is no success, such as 429, or a class of them, such as 5xx"),
]
Folder = Annotated[
    StrictStr,
    Field(pattern=r"^/[^\x00]*$"),
    expected("the absolute path of a folder, such as /data/orders"),
]
ColumnName = Annotated[
    StrictStr,
    Field(pattern=r"^[a-zA-Z][a-zA-Z0-9_]*$"),
    expected('the name of a column (letters, digits or "_", starting with a letter)'),
]
COLUMN_TYPES = (
    *("string", "binary", "bool", "int32", "int64", "float32", "float64"),
    *("date", "time", "timestamp", "local_timestamp", "json"),
)
"""Types of columns that are named alone."""

_COLUMN_TYPE = rf"({'|'.join(COLUMN_TYPES)}|decimal\(\d{{1,2}}, ?\d{{1,2}}\))"
ColumnType = Annotated[
    StrictStr,
    Field(pattern=rf"^({_COLUMN_TYPE}|list<{_COLUMN_TYPE}>)$"),
    expected(f"the type of a column: {', '.join(COLUMN_TYPES)}, decimal(12, 2), or list<...> of one"),
]
Fraction = Annotated[
    float, Field(strict=True, gt=0, le=1), expected("a fraction above 0, up to 1, such as 0.5")
]
Growth = Annotated[float, Field(strict=True, ge=1, le=100), expected("a number from 1 to 100, such as 2")]
Text = Annotated[StrictStr, Field(min_length=1), expected("text that is not empty")]
KeyName = Annotated[
    StrictStr, Field(pattern=r"^\S{1,200}$"), expected("how a key of Redis begins: text without blanks")
]
Replicas = Annotated[int, Field(strict=True, ge=0, le=100), expected("a whole number from 0 to 100")]
Database = Annotated[int, Field(strict=True, ge=0, le=9999), expected("the number of a database, such as 0")]
QualifiedName = Annotated[
    StrictStr,
    Field(pattern=r"^[^\W\d]\w*(\.[^\W\d]\w*)?$"),
    expected("the name of a table, or schema.table"),
]
Cron = Annotated[
    StrictStr,
    AfterValidator(_cron),
    expected(
        "a cron expression (minute, hour, day of month, month, day of week) that some day fits, "
        'such as "0 3 * * *"'
    ),
]
TimeZone = Annotated[
    StrictStr, AfterValidator(_timezone), expected("a time zone of this machine, such as Europe/Berlin")
]

TopicName = Annotated[
    StrictStr,
    AfterValidator(_topic_name),
    expected('a topic name (1 to 249 letters, digits, ".", "_" or "-", not starting with "__")'),
]
AppName = Annotated[
    StrictStr,
    Field(pattern=r"^[a-zA-Z0-9][a-zA-Z0-9._-]{0,119}$"),
    expected('a name (1 to 120 letters, digits, ".", "_" or "-", starting with a letter or digit)'),
]
# No dots: app, processor and table are joined with dots to names that must not collide.
Name = Annotated[
    StrictStr,
    Field(pattern=r"^[a-zA-Z0-9][a-zA-Z0-9_-]{0,79}$"),
    expected('a name (1 to 80 letters, digits, "_" or "-", starting with a letter or digit)'),
]
UNVERSIONED = "unversioned"
"""What a processor without a version is called where versions are named."""

VERSION_PATTERN = r"[a-z0-9-]{1,20}"


def _version(value: str) -> str:
    if not re.fullmatch(VERSION_PATTERN, value) or value == UNVERSIONED:
        raise ValueError
    return value


Version = Annotated[
    StrictStr,
    AfterValidator(_version),
    expected(f'a version (1 to 20 lower-case letters, digits or "-"; not "{UNVERSIONED}"), such as v2'),
]
TableName = Annotated[
    StrictStr,
    Field(max_length=80, pattern=r"^[a-zA-Z0-9_]+$"),
    AfterValidator(_identifier),
    expected("a name that a Python parameter can have (the handler takes the table by it)"),
]
ClientName = Annotated[
    StrictStr,
    AfterValidator(_identifier),
    expected("the name of a sink that a Python parameter can have (the handler takes its client by it)"),
]
FieldName = Annotated[
    StrictStr, AfterValidator(_identifier), expected("the name of a field that every event of the topic has")
]
_REFERENCE = r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*"
Reference = Annotated[
    StrictStr,
    Field(pattern=f"^{_REFERENCE}$"),
    expected("a reference module:name, such as schemas.orders:OrderPlaced"),
]
"""Where a Python object is: `module.path:name`."""

PLAIN_TABLE_TYPES = ("bool", "int", "float", "str", "Decimal", "datetime")
"""Table value types that are named without a module."""

TableType = Annotated[
    StrictStr,
    Field(pattern=f"^({'|'.join(PLAIN_TABLE_TYPES)}|{_REFERENCE})$"),
    expected(f"a reference module:name or one of {', '.join(PLAIN_TABLE_TYPES)}"),
]
ConfigValue = Annotated[str, BeforeValidator(_config_text), expected("text, a number, true or false")]
"""A setting of a topic or client, held as the text that Kafka's tools use."""

Start = Literal["earliest", "latest"]
Guarantee = Literal["exactly-once", "at-least-once"]
OnError = Literal["stop", "retry", "dead-letter", "park-key", "drop"]
OnBadRecord = Literal["stop", "dead-letter", "drop"]
OnRefused = Literal["stop", "dead-letter", "drop"]
Compression = Literal["zstd", "snappy", "gzip", "lz4", "none"]
