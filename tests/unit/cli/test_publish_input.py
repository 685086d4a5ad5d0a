"""Input of `holdfast publish`: every line is an event or a reason, and nothing stops the next one."""

from __future__ import annotations

import csv
import io
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field

from holdfast.cli import publish_input
from holdfast.cli.publish_input import CsvEvents, Line, LineReader, json_lines
from holdfast.errors import PublishError
from holdfast.schema import Event


class Placed(Event, version=2):
    order_id: str
    amount: Decimal = Decimal(1)
    at: datetime | None = None
    paid: bool = False
    customer: str | None = Field(default=None, alias="customerId")


@Placed.upcast(from_version=1)
def _renamed(old: dict[str, Any]) -> dict[str, Any]:
    return {"order_id": old["id"]}


def read_json(data: bytes, version: int | None = None) -> list[Line]:
    """Read `data` as JSON lines."""
    return list(json_lines(LineReader(io.BytesIO(data)), Placed, version))


def read_csv(data: bytes) -> list[Line]:
    """Read `data` as CSV."""
    return list(CsvEvents(LineReader(io.BytesIO(data)), Placed))


def outcome(lines: list[Line]) -> list[tuple[int, str]]:
    """Return number and order id, or number and reason, of each line."""
    return [(line.number, getattr(line.event, "order_id", line.reason)) for line in lines]


def test_json_lines_become_events_and_empty_lines_nothing() -> None:
    """Line endings of all systems, a byte order mark, and a last line without an end are fine."""
    data = b'\xef\xbb\xbf{"order_id":"a"}\r\n\n  \t\n{"order_id":"b","amount":2}'
    assert outcome(read_json(data)) == [(1, "a"), (4, "b")]


def test_a_first_line_that_is_no_json_gets_a_hint_at_csv() -> None:
    """Only the first, and not if it begins as JSON does."""
    first, second = read_json(b"order_id,amount\na,1\n")
    assert first.reason.endswith("if the input is CSV, say so with `--format csv`")
    assert "csv" not in second.reason
    assert "csv" not in read_json(b'{"order_id\n')[0].reason


def test_a_bad_json_line_is_a_reason_and_the_next_one_is_read() -> None:
    """Broken JSON, broken encoding, wrong fields, and the wrong shape."""
    data = b'nope\n{"order_id":"\xff"}\n{}\n[1]\n\xff\xfe\x00\n{"order_id":"last"}\n'
    lines = read_json(data)
    assert [line.number for line in lines if line.event is None] == [1, 2, 3, 4, 5]
    assert lines[2].reason == "the JSON is no Placed: order_id: Field required"
    assert lines[-1].event == Placed(order_id="last")


def test_old_json_goes_through_the_upcasters() -> None:
    """--type Placed.v1 reads what was written before the contract changed."""
    assert outcome(read_json(b'{"id":"a"}', version=1)) == [(1, "a")]


def test_a_line_without_end_is_refused_and_not_kept_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only its start is kept; the line after it is read."""
    monkeypatch.setattr(publish_input, "MAX_LINE", 1000)
    reader = LineReader(io.BytesIO(b'{"order_id":"' + b"x" * 5000 + b'"}\n{"order_id":"b"}\n' + b"y" * 3000))
    lines = list(json_lines(reader, Placed))
    assert [line.number for line in lines] == [1, 2, 3]
    assert "longer than 1,000 bytes" in lines[0].reason
    assert lines[1].event == Placed(order_id="b")
    assert "longer than" in lines[2].reason
    assert max(len(line.text) for line in lines) <= publish_input.SHOWN_TEXT
    assert reader.bytes_read == 5016 + 17 + 3000


def test_csv_cells_become_the_fields_types_and_empty_cells_are_missing() -> None:
    """By the header row, under the Python name or the alias, in any order."""
    data = (
        b"\xef\xbb\xbfamount, order_id ,at,paid,customerId\r\n"
        b'1.50,a,2026-01-02T03:04:05Z,true,"c, 1"\r\n'
        b",b,,,\r\n"
    )
    first, second = read_csv(data)
    at = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    assert first.event == Placed(order_id="a", amount=Decimal("1.50"), at=at, paid=True, customer="c, 1")
    assert second.event == Placed(order_id="b")


def test_a_bad_csv_row_is_a_reason_and_the_next_one_is_read() -> None:
    """Wrong types, too few or too many cells, broken encoding, stray quotes."""
    data = b'order_id,amount\na,x\nb\nc,1,2\n\xff,1\n"d"x,1\n\nok,1\n'
    assert outcome(read_csv(data)) == [
        (2, "amount: Input should be a valid decimal (got 'x')"),
        (3, "the row has 1 cells, the header 2"),
        (4, "the row has 3 cells, the header 2"),
        (5, "not UTF-8: invalid start byte at byte 1 of the line"),
        (6, "',' expected after '\"'"),
        (8, "ok"),
    ]


def test_a_quoted_cell_may_hold_line_breaks() -> None:
    """The record has the number of its first line; the next record's number counts them all."""
    assert outcome(read_csv(b'order_id,amount\n"a\nb",1\nc,2\n')) == [(2, "a\nb"), (4, "c")]


@pytest.mark.parametrize("rest", [b"b,2\nc,3\n", b'b,2\nc,"3"\n', b'b,2\nc,3\nd,"4\n'])
def test_an_open_quote_costs_its_own_line_and_no_other(rest: bytes) -> None:
    """A quote that is never closed must not swallow the rows after it."""
    lines = outcome(read_csv(b'order_id,amount\n"a,1\n' + rest))
    assert lines[0][0] == 2
    assert "a quote may be left open here" in lines[0][1]
    assert lines[1:3] == [(3, "b"), (4, "c")]


def test_an_open_quote_is_noticed_after_a_bounded_number_of_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither memory nor time grow with what follows."""
    monkeypatch.setattr(publish_input, "MAX_RECORD_LINES", 5)
    rows = b"".join(b"r%d,1\n" % number for number in range(50))
    lines = outcome(read_csv(b'order_id,amount\n"a,1\n' + rows))
    assert "more than 5 lines" in lines[0][1]
    assert lines[1:] == [(number + 3, f"r{number}") for number in range(50)]


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "the input is empty"),
        (b"a,b\n1,2\n", "names no field of Placed"),
        (b"order_id,order_id\n", "order_id more than once"),
        (b"\xff\n", "header row cannot be read"),
        (b'"order_id\n', "header row cannot be read"),
    ],
)
def test_an_unusable_header_row_ends_the_run(data: bytes, reason: str) -> None:
    """Without it, no row could be read."""
    with pytest.raises(PublishError, match=reason):
        read_csv(data)


def test_columns_that_are_no_field_are_reported() -> None:
    """So that a misspelt optional column is not lost in silence."""
    rows = CsvEvents(LineReader(io.BytesIO(b"order_id,amuont\na,1\n")), Placed)
    assert rows.ignored == ("amuont",)
    assert outcome(list(rows)) == [(2, "a")]


@given(st.binary(max_size=200))
def test_any_bytes_give_a_line_or_a_reason(data: bytes) -> None:
    """Nothing raises, and line numbers only rise."""
    for lines in (read_json(data), read_csv(b"order_id,amount\n" + data)):
        numbers = [line.number for line in lines]
        assert numbers == sorted(set(numbers))
        assert all(line.event is not None or line.reason for line in lines)


@given(st.lists(st.tuples(st.text(st.characters(codec="utf-8"), min_size=1), st.integers()), max_size=8))
def test_what_a_csv_writer_writes_is_read_back(rows: list[tuple[str, int]]) -> None:
    """Quotes, commas and line breaks inside cells included."""
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(["order_id", "amount"])
    writer.writerows(rows)
    lines = read_csv(text.getvalue().encode())
    assert [line.event for line in lines] == [Placed(order_id=a, amount=Decimal(b)) for a, b in rows]
