"""What a handler returns for a Parquet sink, and the folder that it goes to."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from enum import Enum
from typing import Any, Final
from urllib.parse import quote
from uuid import UUID

from pydantic import BaseModel

from holdfast.errors import HandlerError, SinkRefused

_NAME: Final = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
_NOTHING: Final = "__HIVE_DEFAULT_PARTITION__"
"""What readers take for a partition without a value."""

_LONGEST: Final = 255
"""Bytes in the name of a folder, on most file systems."""


@dataclass(frozen=True, slots=True)
class Row:
    """A row.

    Attributes:
        values: by column; of an event, its fields are the columns.
        partition: the folders that it goes to, outermost first: `{"day": date(2026, 11, 29)}` is
            `day=2026-11-29`. Readers make columns of them, so they are none of the values.

    Raises:
        HandlerError: a name in `partition` cannot be that of a column.
    """

    values: Mapping[str, Any] | BaseModel
    partition: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in self.partition:
            if not _NAME.fullmatch(name):
                raise HandlerError(
                    f"{name!r} cannot be the name of a partition; use letters, digits and _, beginning with "
                    "a letter"
                )


def folder_of(partition: Mapping[str, Any]) -> str:
    """The folder of a partition, below the sink's own.

    Raises:
        SinkRefused: a value cannot be part of a folder's name.
    """
    parts = []
    for name, value in partition.items():
        part = f"{name}={_text(name, value)}"
        if len(part) > _LONGEST:
            raise SinkRefused(f"partition {name!r}: the folder's name would have {len(part)} bytes")
        parts.append(part)
    return "/".join(parts)


def _text(name: str, value: Any) -> str:
    if isinstance(value, Enum):
        value = value.value
    if value is None:
        return _NOTHING
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, datetime) or not isinstance(value, (str, int, date, Decimal, UUID)):
        raise SinkRefused(
            f"partition {name!r}: {value!r} cannot be part of a folder's name; use text, a whole number, a "
            "date, true or false"
        )
    text = str(value)
    if not text:
        raise SinkRefused(f"partition {name!r}: readers take a text without characters for no value")
    try:
        # As Hive does it, and its readers undo it.
        return quote(text, safe="")
    except UnicodeEncodeError as error:
        raise SinkRefused(f"partition {name!r}: {error}") from error
