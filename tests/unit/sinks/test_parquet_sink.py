"""The Parquet sink as its readers see it: types, folders, schemas that change, and what does not fit."""

from __future__ import annotations

import enum
import os
import uuid
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal

import pyarrow as pa
import pyarrow.dataset as ds
import pytest
from pydantic import BaseModel, Field, RootModel, computed_field

from holdfast import Event
from holdfast.errors import HandlerError, SinkDown, SinkError
from holdfast.record import TopicPartition, Write
from holdfast.sinks.base import Refusal, SinkBatch
from holdfast.sinks.parquet import Row
from holdfast.sinks.parquet.judge import judge
from holdfast.sinks.parquet.shaping import ParquetSettings
from holdfast.sinks.parquet.sink import ParquetSink
from holdfast.testing import MemoryMessage

PLACE = TopicPartition("trades", 3)
AT = datetime(2026, 11, 29, 9, 30, 0, 123456, tzinfo=UTC)


class Side(enum.Enum):
    BUY = "buy"
    SELL = "sell"


class Venue(BaseModel):
    code: str
    open_at: time | None = None


class Tags(RootModel[list[str]]):
    pass


class Trade(Event):
    trade_id: uuid.UUID
    symbol: str
    side: Side
    quantity: int
    price: Decimal
    fee: Annotated[Decimal, Field(max_digits=8, decimal_places=3)] | None = None
    at: datetime
    day: date
    kind: Literal["spot", "future"] = "spot"
    ratio: float = 0.5
    raw: bytes = b""
    tags: tuple[str, ...] = ()
    venues: tuple[Venue, ...] = ()
    labels: Tags = Tags([])
    extra: Mapping[str, Any] = Field(default_factory=dict)
    either: int | str = 0
    settled: bool = Field(default=False, alias="isSettled")
    secret: str = Field(default="hidden", exclude=True)

    @computed_field
    def notional(self) -> Decimal:
        """What it is worth."""
        return self.price * self.quantity


def trade(**changes: Any) -> Trade:
    given: dict[str, Any] = {
        "trade_id": uuid.UUID(int=7),
        "symbol": "ÄX/1",
        "side": Side.BUY,
        "quantity": 3,
        "price": Decimal("1.25"),
        "at": AT,
        "day": date(2026, 11, 29),
    }
    return Trade(**(given | changes))


def batch(*values: Any, first: int = 0, **changes: Any) -> SinkBatch:
    """A record for each value; of a list, several writes of one record."""
    records = [value if isinstance(value, list) else [value] for value in values]
    given: dict[str, Any] = {
        "writes": [
            Write(message, value)
            for offset, made in enumerate(records, first)
            for message in [MemoryMessage("trades", 3, offset, key=b"k", value=b"{}")]
            for value in made
        ],
        "begins": {PLACE: first},
        "ends": {PLACE: first + len(records)},
        "fences": {PLACE: 1},
        "topic_ids": {"trades": "Yk3jP0"},
    }
    return SinkBatch(group="shop.lake", **(given | changes))


class Lake:
    """A folder with a sink, and a reader that knows nothing of Holdfast."""

    def __init__(self, path: Path, **settings: Any) -> None:
        self.path = path
        self.sink = ParquetSink(ParquetSettings("lake", path, **settings))
        self.offset = 0

    def write(self, *values: Any) -> Sequence[Refusal]:
        made = batch(*values, first=self.offset)
        self.offset += len(values)
        return self.sink.write(made)

    def read(self) -> pa.Table:
        dataset = ds.dataset(self.path, partitioning="hive")
        schemas = [fragment.physical_schema for fragment in dataset.get_fragments()]
        schema = pa.unify_schemas([dataset.schema, *schemas])
        return ds.dataset(self.path, schema=schema, partitioning="hive").to_table()

    def files(self) -> list[str]:
        return sorted(str(file.relative_to(self.path)) for file in self.path.rglob("*.parquet"))


def refusal(lake: Lake, value: Any) -> str:
    """Why a value is refused, beside one that is not."""
    before = lake.offset
    good = Row({"n": 1}) if lake.sink._shaper._declared else trade()
    found = lake.write(good, value, good)
    assert [each.position.offset for each in found] == [before + 1]
    return str(found[0].error)


def test_an_event_is_a_row_with_the_types_of_its_fields(tmp_path: Path) -> None:
    """Under the names that are written, with what is computed, and without what is left out."""
    lake = Lake(tmp_path)
    venues = (Venue(code="XETR", open_at=time(9)), Venue(code="XNYS"))
    full = trade(
        fee=Decimal("0.5"), tags=("a", "b"), venues=venues, labels=Tags(["x"]), extra={"a": [1]}, either="one"
    )
    assert lake.write(full, trade(isSettled=True, raw=b"\x00\xff")) == []
    table = lake.read()
    first, second = table.to_pylist()
    assert first == {
        "trade_id": str(uuid.UUID(int=7)),
        "symbol": "ÄX/1",
        "side": "buy",
        "quantity": 3,
        "price": Decimal("1.25"),
        "fee": Decimal("0.500"),
        "at": AT,
        "day": date(2026, 11, 29),
        "kind": "spot",
        "ratio": 0.5,
        "raw": b"",
        "tags": ["a", "b"],
        "venues": [{"code": "XETR", "open_at": time(9)}, {"code": "XNYS", "open_at": None}],
        "labels": ["x"],
        "extra": '{"a":[1]}',
        "either": '"one"',
        "isSettled": False,
        "notional": Decimal("3.75"),
    }
    assert (second["fee"], second["isSettled"], second["raw"]) == (None, True, b"\x00\xff")
    types = {name: str(table.schema.field(name).type) for name in ("fee", "price", "at", "tags")}
    assert types == {
        "fee": "decimal128(8, 3)",
        "price": "decimal128(38, 18)",
        "at": "timestamp[us, tz=UTC]",
        "tags": "list<element: string>",
    }


def test_a_file_says_where_its_rows_come_from(tmp_path: Path) -> None:
    """Group, topic, partition, the topic's id, the first and the last offset; nothing else is seen."""
    lake = Lake(tmp_path, partition_by=("day", "symbol"))
    lake.write(trade(), trade(symbol="B"), trade())
    assert lake.files() == [
        "day=2026-11-29/symbol=%C3%84X%2F1/shop.lake.trades.3.Yk3jP0.000000000000-000000000002.0.parquet",
        "day=2026-11-29/symbol=B/shop.lake.trades.3.Yk3jP0.000000000000-000000000002.1.parquet",
    ]
    table = lake.read()
    assert sorted(table["symbol"].to_pylist()) == ["B", "ÄX/1", "ÄX/1"]
    assert set(table["day"].to_pylist()) == {"2026-11-29"}


def test_a_row_says_its_own_folder(tmp_path: Path) -> None:
    """Whatever a folder's name can hold."""
    lake = Lake(tmp_path, schema={"n": "int64"})
    lake.write(*(Row({"n": 1}, {"of": value}) for value in (Side.SELL, None, True, 7, Decimal("1.5"), "a b")))
    assert sorted({file.partition("/")[0] for file in lake.files()}) == [
        *("of=1.5", "of=7", "of=__HIVE_DEFAULT_PARTITION__", "of=a%20b", "of=sell", "of=true"),
    ]


def test_what_cannot_be_a_folder_is_refused(tmp_path: Path) -> None:
    """Each record on its own."""
    lake = Lake(tmp_path, schema={"n": "int64"})
    long, odd = Row({"n": 1}, {"of": "x" * 300}), Row({"n": 1}, {"of": "\ud800"})
    assert "the folder's name would have 303 bytes" in refusal(lake, long)
    assert "surrogates not allowed" in refusal(lake, odd)
    assert "cannot be part of a folder's name" in refusal(lake, Row({"n": 1}, {"of": AT}))
    assert "without characters" in refusal(lake, Row({"n": 1}, {"of": ""}))
    assert "'n' is a value and a partition" in refusal(lake, Row({"n": 1}, {"n": 1}))
    with pytest.raises(HandlerError, match="cannot be the name of a partition"):
        Row({"n": 1}, {"../up": 1})


def test_a_row_without_its_partition_is_refused(tmp_path: Path) -> None:
    """There is no folder for it."""
    lake = Lake(tmp_path, schema={"n": "int64"}, partition_by=("day",))
    (found,) = lake.write(Row({"n": 1}))
    assert "it has no value for the partition 'day'" in str(found.error)


WRONG: dict[str, tuple[str, Any, str]] = {
    "fraction": ("int64", 1.5, "column 'c' (int64): 1.5 is no int64"),
    "truth": ("int64", True, "True is no int64"),
    "text": ("int64", "1", "'1' is no int64"),
    "too large": ("int32", 2**31, "column 'c' (int32): Value 2147483648 too large"),
    "far too large": ("int64", 2**70, "column 'c' (int64): "),
    "number": ("string", 1, "1 is no string"),
    "no text": ("string", "\ud800", "surrogates not allowed"),
    "no zone": ("timestamp", AT.replace(tzinfo=None), "has no time zone"),
    "zone": ("local_timestamp", AT, "is no time without a zone"),
    "day of a time": ("date", AT, "is no date"),
    "digits": ("decimal(4, 2)", Decimal("1.234"), "column 'c' (decimal(4, 2)): "),
    "large decimal": ("decimal(4, 2)", Decimal("123.4"), "column 'c' (decimal(4, 2)): "),
    "float": ("decimal(4, 2)", 1.5, "1.5 is no decimal(4, 2)"),
    "not a number": ("decimal(4, 2)", Decimal("NaN"), "column 'c' (decimal(4, 2)): "),
    "characters": ("list<string>", "abc", "'abc' is no list"),
    "inside": ("list<int64>", [1, "x"], "'x' is no int64"),
    "no JSON": ("json", object(), "Unable to serialize"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_value_that_does_not_fit_costs_only_its_record(tmp_path: Path, name: str) -> None:
    """Nothing is rounded, cut off or read as something else."""
    kind, value, text = WRONG[name]
    lake = Lake(tmp_path, schema={"n": "int64", "c": kind})
    assert text in refusal(lake, [Row({"n": 1}), Row({"n": 1, "c": value})])
    assert lake.read()["c"].to_pylist() == [None, None]


RIGHT: dict[str, tuple[Any, Any]] = {
    "string": (uuid.UUID(int=1), str(uuid.UUID(int=1))),
    "binary": (bytearray(b"x"), b"x"),
    "bool": (False, False),
    "int32": (-(2**31), -(2**31)),
    "int64": (2**63 - 1, 2**63 - 1),
    "float32": (0.5, 0.5),
    "float64": (7, 7.0),
    "date": (date(1, 1, 1), date(1, 1, 1)),
    "time": (time(23, 59, 59, 999999), time(23, 59, 59, 999999)),
    "timestamp": (AT.astimezone(timezone(timedelta(hours=2))), AT),
    "local_timestamp": (AT.replace(tzinfo=None), AT.replace(tzinfo=None)),
    "json": ({"a": [1, None]}, '{"a":[1,null]}'),
    "decimal(4, 2)": (7, Decimal("7.00")),
    "list<decimal(4, 2)>": ([Decimal("1.5"), None], [Decimal("1.50"), None]),
}


@pytest.mark.parametrize("kind", RIGHT)
def test_values_arrive_as_the_types_that_are_declared(tmp_path: Path, kind: str) -> None:
    """Also the largest of them."""
    value, expected = RIGHT[kind]
    lake = Lake(tmp_path, schema={"c": kind})
    assert lake.write(Row({"c": value}), Row({})) == []
    assert lake.read()["c"].to_pylist() == [expected, None]


def test_a_column_that_there_is_not_is_told(tmp_path: Path) -> None:
    """With those that there are."""
    lake = Lake(tmp_path, schema={"n": "int64", "text": "string"})
    assert "there is no column 'm'; the columns are n, text" in refusal(lake, Row({"m": 1}))


def test_a_schema_that_changes_begins_a_new_file(tmp_path: Path) -> None:
    """Readers unify the old and the new, and a batch may have both."""

    class Old(Event):
        n: int

    class New(Event):
        n: int
        text: str

    lake = Lake(tmp_path)
    lake.write(Old(n=1), New(n=2, text="x"), Old(n=3))
    assert [file[-9:] for file in lake.files()] == ["0.parquet", "1.parquet"]
    table = lake.read()
    assert sorted(zip(table["n"].to_pylist(), table["text"].to_pylist(), strict=True)) == [
        *((1, None), (2, "x"), (3, None)),
    ]


def test_a_mapping_needs_a_schema(tmp_path: Path) -> None:
    """Nobody else knows its types; no record is to blame."""
    with pytest.raises(SinkError, match="declare its `schema`"):
        Lake(tmp_path).write(Row({"n": 1}))


def test_long_names_fit_into_a_files_name(tmp_path: Path) -> None:
    """A group's and a topic's may have more than 400 characters together."""
    place = TopicPartition("t" * 249, 0)
    message = MemoryMessage(place.topic, 0, 0, key=None, value=b"{}")
    parts: dict[str, Any] = {"begins": {place: 0}, "ends": {place: 1}, "fences": {place: 1}}
    made = SinkBatch(group="g" * 200, writes=[Write(message, Row({"n": 1}))], **parts)
    lake = Lake(tmp_path, schema={"n": "int64"})
    assert lake.sink.write(made) == []
    assert [len(file) < 255 for file in lake.files()] == [True]


def test_rows_may_be_moved_and_deleted_by_others(tmp_path: Path) -> None:
    """The log says what was written, whatever became of the files: compaction needs no permission."""
    lake = Lake(tmp_path, schema={"n": "int64"})
    lake.write(Row({"n": 0}), Row({"n": 1}))
    (file,) = lake.files()
    (tmp_path / file).unlink()
    lake.sink.close()
    lake.sink.write(batch(Row({"n": 0}), Row({"n": 1}), Row({"n": 2})))
    assert lake.read()["n"].to_pylist() == [2]


def test_a_damaged_log_is_told_with_its_file(tmp_path: Path) -> None:
    """And nothing is written beside it."""
    lake = Lake(tmp_path, schema={"n": "int64"})
    lake.write(Row({"n": 0}))
    (entry,) = (tmp_path / "_holdfast/shop.lake/trades/3").glob("*.json")
    entry.write_text('{"number": "x"')
    lake.sink.close()
    with pytest.raises(SinkError, match=r"00000000000000000001\.json is no entry of a log") as caught:
        lake.write(Row({"n": 1}))
    assert not isinstance(caught.value, SinkDown)
    assert len(lake.files()) == 1


def test_a_folder_that_is_not_there_is_waited_for(tmp_path: Path) -> None:
    """It may be a volume that is mounted later. It is not made: its name may be a mistake."""
    lake = Lake(tmp_path / "volume", schema={"n": "int64"})
    with pytest.raises(SinkDown, match="volume: there is no such folder; create the folder, or mount"):
        lake.write(Row({"n": 0}))
    os.mkdir(tmp_path / "volume")
    lake.offset = 0
    assert lake.write(Row({"n": 0})) == []


@pytest.mark.parametrize(
    ("number", "kind", "text"),
    [
        (28, SinkDown, "No space left on device; make room on the volume"),
        (122, SinkDown, "Disk quota exceeded; make room on the volume, or raise the quota"),
        (30, SinkDown, "Read-only file system; the volume is read-only: mount it for writing"),
        (5, SinkDown, "Input/output error"),
        (116, SinkDown, "Stale file handle"),
        (13, SinkError, "Permission denied; this user may not write there"),
        (95, SinkError, "Operation not supported; the file system has no hard links"),
        (36, SinkError, "File name too long"),
    ],
)
def test_an_error_of_the_file_system_says_what_to_do(number: int, kind: type[SinkError], text: str) -> None:
    """What passes by itself, or with somebody's help from outside, is waited for."""
    error = judge(OSError(number, os.strerror(number), "/data/x"), "lake", "/data")
    assert type(error) is kind
    assert f"sink 'lake' cannot write /data/x: {text}" in str(error)
