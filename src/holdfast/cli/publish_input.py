"""Input of `holdfast publish`: lines of JSON or CSV, each an event or the reason why not.

A bad line never stops the ones after it: wrong encodings, lines without end, unclosed quotes and cells of the
wrong type become a reason, and reading goes on with the next line.
"""

from __future__ import annotations

import csv
from collections import deque
from collections.abc import Iterator
from typing import Any, BinaryIO, NamedTuple

from pydantic import ValidationError

from holdfast.errors import DecodeError, PublishError
from holdfast.schema import TYPE_HEADER, Event, EventDecoder
from holdfast.schema.event import wire_type
from holdfast.schema.explain import explain_fields

MAX_LINE = 8 * 1024 * 1024
"""Bytes of the longest line that is looked at; no broker takes an event as large by default."""

MAX_RECORD_LINES = 1000
"""Lines of the longest CSV record; beyond it, the quote that opened it counts as a mistake."""

SHOWN_TEXT = 1000
"""Bytes of a refused line that are kept for the report."""

CSV_HINT = "; if the input is CSV, say so with `--format csv`"
"""Added to the reason why a first line is refused that does not look like JSON."""

_JSON_STARTS = (b"{", b"[")

_BOM = b"\xef\xbb\xbf"


class Line(NamedTuple):
    """One line of input, or one CSV record.

    Attributes:
        number: its number in the input, from 1.
        text: its bytes, for the report.
        event: the event, or None if it is refused.
        reason: why it is refused.
    """

    number: int
    text: bytes
    event: Event | None
    reason: str = ""


class LineReader:
    """Reads lines of bounded length, counts them, and takes lines back.

    Attributes:
        bytes_read: how much was read from the stream.
    """

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._number = 0
        self._returned: deque[tuple[int, bytes, bool]] = deque()
        self.bytes_read = 0

    def __iter__(self) -> Iterator[tuple[int, bytes, bool]]:
        return self

    def __next__(self) -> tuple[int, bytes, bool]:
        """Return number, bytes and whether the line is whole; one that is too long is cut and not whole."""
        if self._returned:
            return self._returned.popleft()
        line = self._stream.readline(MAX_LINE)
        if not line:
            raise StopIteration
        self._number += 1
        self.bytes_read += len(line)
        if self._number == 1:
            line = line.removeprefix(_BOM)
        whole = len(line) < MAX_LINE or line.endswith(b"\n")
        if not whole:
            self._skip_rest()
        return self._number, line, whole

    def give_back(self, lines: list[tuple[int, bytes, bool]]) -> None:
        """Let `lines` be read again, before all others."""
        self._returned.extendleft(reversed(lines))

    def _skip_rest(self) -> None:
        while chunk := self._stream.readline(MAX_LINE):
            self.bytes_read += len(chunk)
            if chunk.endswith(b"\n"):
                return


def json_lines(reader: LineReader, event_type: type[Event], version: int | None = None) -> Iterator[Line]:
    """Read one JSON object from each line; empty lines are skipped.

    Args:
        reader: the input.
        event_type: the class of all events.
        version: the version in which they are written; the current one unless given.
    """
    decode = EventDecoder([event_type]).decode
    headers = None if version is None else [(TYPE_HEADER, wire_type(event_type, version))]
    for number, text, whole in reader:
        if not whole:
            yield _too_long(number, text)
        elif value := text.strip():
            try:
                event = decode(value, headers, None)
            except DecodeError as error:
                hint = CSV_HINT if number == 1 and not value.startswith(_JSON_STARTS) else ""
                yield Line(number, text[:SHOWN_TEXT], None, f"{error}{hint}")
            else:
                assert isinstance(event, Event)
                yield Line(number, text, event)


class CsvEvents:
    """Reads one event from each row of a CSV file with a header row.

    Cells are turned into the fields' types; an empty cell counts as missing.

    Attributes:
        ignored: columns that are no field of the event; they are not read.
    """

    def __init__(self, reader: LineReader, event_type: type[Event]) -> None:
        """Read the header row.

        Raises:
            PublishError: there is none, or none of its names is a field of the event.
        """
        self._lines = reader
        self._used: list[tuple[int, bytes, bool]] = []
        self._event_type = event_type
        csv.field_size_limit(MAX_LINE)
        self._rows = csv.reader(self._texts(), strict=True)
        self._columns = self._read_header()
        known = _field_names(event_type)
        self.ignored = tuple(name for name in self._columns if name not in known)
        if len(self.ignored) == len(self._columns):
            raise PublishError(
                f"the first line names no field of {event_type.__event_name__} (it has {', '.join(known)}). "
                "A CSV file needs a header row with the fields' names."
            )

    def __iter__(self) -> Iterator[Line]:
        while True:
            self._used = []
            try:
                row = next(self._rows)
            except StopIteration:
                return
            except (csv.Error, _BadLineError) as error:
                yield self._refuse_first(str(error))
                # The reader cannot go on after a line that it could not ask for.
                self._rows = csv.reader(self._texts(), strict=True)
                continue
            if row:
                yield self._event(row)

    def _event(self, row: list[str]) -> Line:
        if len(row) != len(self._columns):
            return self._refuse_first(f"the row has {len(row)} cells, the header {len(self._columns)}")
        cells: dict[str, Any] = {
            name: cell for name, cell in zip(self._columns, row, strict=True) if cell != ""
        }
        number, text = self._used[0][0], b"".join(line for _, line, _ in self._used)
        try:
            event = self._event_type.__pydantic_validator__.validate_strings(cells)
        except ValidationError as error:
            return Line(number, text[:SHOWN_TEXT], None, explain_fields(error))
        return Line(number, text, event)

    def _refuse_first(self, reason: str) -> Line:
        """Refuse the record's first line and give the others back: an open quote must not swallow them."""
        number, text, _ = self._used[0]
        if len(self._used) > 1:
            self._lines.give_back(self._used[1:])
            reason = f"a quote may be left open here; read together with line {self._used[-1][0]}: {reason}"
        return Line(number, text[:SHOWN_TEXT], None, reason)

    def _texts(self) -> Iterator[str]:
        """Yield the lines as text, and remember those of the current record."""
        for line in self._lines:
            number, text, whole = line
            self._used.append(line)
            if not whole:
                raise _BadLineError(_too_long(number, text).reason)
            if len(self._used) > MAX_RECORD_LINES:
                raise _BadLineError(f"a quoted cell goes on for more than {MAX_RECORD_LINES} lines")
            try:
                yield text.decode()
            except UnicodeDecodeError as error:
                raise _BadLineError(
                    f"not UTF-8: {error.reason} at byte {error.start + 1} of the line"
                ) from error

    def _read_header(self) -> list[str]:
        try:
            columns = [name.strip() for name in next(self._rows, [])]
        except (csv.Error, _BadLineError) as error:
            raise PublishError(f"the header row cannot be read: {error}.") from error
        if not columns:
            raise PublishError("the input is empty; a CSV file needs a header row with the fields' names.")
        twice = sorted({name for name in columns if columns.count(name) > 1})
        if twice:
            raise PublishError(f"the header row names {', '.join(twice)} more than once.")
        return columns


class _BadLineError(Exception):
    """A line cannot be given to the CSV reader."""


def _too_long(number: int, text: bytes) -> Line:
    return Line(number, text[:SHOWN_TEXT], None, f"the line is longer than {MAX_LINE:,} bytes")


def _field_names(event_type: type[Event]) -> list[str]:
    """Return the names by which an event's fields may be given: their own, and their aliases."""
    names = list(event_type.model_fields)
    aliases = (field.validation_alias or field.alias for field in event_type.model_fields.values())
    return names + [alias for alias in aliases if isinstance(alias, str)]
