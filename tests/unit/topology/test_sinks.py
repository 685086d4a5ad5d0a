"""Sinks in a topology: what is declared, and what does not go together."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from psycopg.conninfo import conninfo_to_dict

from holdfast import Event
from holdfast.engine.plan import check_handler
from holdfast.errors import SinkError, TopologyErrors
from holdfast.sinks.check import check_sink, check_sink_here
from holdfast.sinks.factory import build_downstream, build_sink
from holdfast.sinks.http import HttpCall
from holdfast.sinks.http.sink import HttpSink
from holdfast.sinks.kafka import KafkaRecord
from holdfast.sinks.kafka.sink import KafkaSink
from holdfast.sinks.parquet import Row
from holdfast.sinks.parquet.sink import ParquetSink
from holdfast.sinks.postgres import Delete, Execute, Insert, Upsert
from holdfast.sinks.postgres.sink import PostgresSink
from holdfast.sinks.redis import Command, Increment, Set
from holdfast.sinks.redis.sink import RedisSink
from holdfast.sinks.variables import expanded_dsn
from holdfast.topology import (
    CustomSinkDecl,
    PostgresSinkDecl,
    TopicSpec,
    Topology,
    check_file,
    load,
    plan,
    resolve,
)
from holdfast.topology.resolve import SinkCheck
from holdfast.topology.resolved import ResolvedSink
from holdfast.topology.sink_decls import HttpSinkDecl

HEAD = """\
app: shop
topics:
  days:  {event: schemas_sk:Day, key: name, partitions: 3}
"""
MODULE = """
from collections.abc import Iterator
from functools import wraps
from typing import ClassVar
from pydantic import BaseModel, Field, computed_field
from holdfast import Event, State
from holdfast.sinks.base import Sink
from holdfast.sinks.parquet import Row
from holdfast.sinks.http import HttpCall, HttpClient
from holdfast.sinks.kafka import KafkaRecord
from holdfast.sinks.postgres import Insert, Upsert
from holdfast.sinks.redis import Set
class Day(Event):
    name: str
class Sale(Event):
    sku: str
    sold_on: str = Field(alias="soldOn")
    secret: str = Field("", exclude=True)
    @computed_field
    def year(self) -> int: ...
class Base(Event):
    name: str
class Derived(Base):
    region: str
class Loose(Event, extra="allow"):
    name: str
def sells(day: Day) -> list[Sale | Row]: ...
def bases(day: Day) -> Base: ...
def looses(day: Day) -> Loose: ...
def rows(day: Day) -> Row: ...
def good(day: Day) -> Iterator[Insert | Upsert] | None: ...
def returns_events(day: Day) -> Day: ...
def calls(day: Day) -> HttpCall: ...
def sets(day: Day) -> Set: ...
def mirrors(day: Day) -> KafkaRecord: ...
def returns_none(day: Day) -> None: ...
async def asks(day: Day, gateway: HttpClient) -> None: ...
async def asks_two(day: Day, longer: HttpClient, short: HttpClient, less: HttpClient) -> None: ...
async def asks_history(day: Day, history: HttpClient) -> None: ...
def keeps(day: Day, days: State[int]) -> Insert: ...
def sets_or_day(day: Day) -> list[Set | Day]: ...
def rows_or_none(day: Day) -> Row | None: ...
def tells_nothing(day: Day): ...
class Mine(Sink):
    accepts = (Day,)
    def __init__(self, place="here"):
        self.place = place
    def write(self, batch):
        return ()
class Bare:
    pass
class Search(Mine):
    def __init__(self, url, *, index="days", retries=3): ...
class Open(Mine):
    def __init__(self, url, **more): ...
class Picky(Mine):
    def __init__(self):
        raise ValueError("no")
class Plain(Sink):
    accepts = (Day,)
    def write(self, batch):
        return ()
def with_pool(init):
    @wraps(init)
    def made(self, *args, **options):
        options.pop("size", None)
        init(self, *args, pool=None, **options)
    return made
class Pooled(Mine):
    @with_pool
    def __init__(self, pool, url): ...
class Model(BaseModel):
    accepts: ClassVar = (Day,)
    url: str
class Hidden(Mine):
    __signature__ = "none"
"""


def read(folder: Path, text: str) -> Topology:
    """Load a topology with these sections."""
    (folder / "schemas_sk.py").write_text(MODULE)
    file = folder / "topology.yaml"
    file.write_text(HEAD + text)
    return load(file)


def problems(
    folder: Path,
    text: str,
    check_sink: SinkCheck | None = None,
    running: Sequence[str] | None = None,
) -> list[str]:
    """What `holdfast check` says, without the file's name; or `holdfast run` of some processors."""
    (folder / "schemas_sk.py").write_text(MODULE)
    file = folder / "topology.yaml"
    file.write_text(HEAD + text)
    with pytest.raises(TopologyErrors) as caught:
        check_file(file, check_handler, check_sink=check_sink, running=running)
    return [problem.partition("topology.yaml:")[2] for problem in caught.value.problems]


def assert_told(told: Sequence[str], begins: Sequence[str]) -> None:
    """These mistakes are told, in this order, and no secret is."""
    assert len(told) == len(begins), told
    for text, begin in zip(told, begins, strict=True):
        assert text.startswith(begin), text
        assert "hunter2" not in text


def test_a_sink_is_read_with_its_defaults(tmp_path: Path) -> None:
    """Times in milliseconds; a breaker that opens after a few batches."""
    topology = read(
        tmp_path,
        "sinks:\n"
        "  history: {type: postgres, dsn: dbname=x, timeout: 5s, breaker: {open: 2s}}\n"
        "  mine: {type: custom, sink: schemas_sk:Mine, options: {place: there}}\n",
    )
    history, mine = topology.sinks["history"], topology.sinks["mine"]
    assert isinstance(history, PostgresSinkDecl)
    assert (history.name, history.dsn, history.positions) == ("history", "dbname=x", "holdfast_positions")
    assert (history.timeout_ms, mine.timeout_ms) == (5_000, 10_000)
    settings = history.breaker.settings()
    assert (settings.open_s, settings.minimum_calls, settings.window_calls) == (2.0, 3, 10)
    assert isinstance(mine, CustomSinkDecl)
    assert mine.options == {"place": "there"}


def test_a_breaker_may_look_at_a_time_and_at_slow_calls(tmp_path: Path) -> None:
    """Instead of at so many last calls, and beside failures."""
    topology = read(
        tmp_path,
        "sinks:\n"
        "  one: {type: postgres, dsn: x, breaker: {window: 30s, slow_call: 500ms, slow_call_rate: 0.8}}\n",
    )
    settings = topology.sinks["one"].breaker.settings()
    assert (settings.window_s, settings.window_calls) == (30, None)
    assert (settings.slow_call_s, settings.slow_call_rate) == (0.5, 0.8)


def test_a_breaker_whose_settings_exclude_each_other_is_told(tmp_path: Path) -> None:
    """Each with what to keep."""
    found = problems(
        tmp_path,
        "sinks:\n"
        "  two: {type: postgres, dsn: x, breaker: {window: 30s, window_calls: 10}}\n"
        "  part: {type: postgres, dsn: x, breaker: {window: 1500ms}}\n"
        "  half: {type: http, url: 'http://x', breaker: {slow_call: 1s}}\n"
        "  long: {type: http, url: 'http://x', breaker: {open: 1m}}\n",
    )
    begins = [
        "sinks.two.breaker: a breaker has one window: keep `window` (a time) or `window_calls`, not both",
        "sinks.part.breaker: window is counted in whole seconds, not in 1500 ms",
        "sinks.half.breaker: slow_call and slow_call_rate work only together: set both or none",
        "sinks.long.breaker: open_limit (30s) must not be below open (60s)",
    ]
    assert len(found) == len(begins)
    assert all(begin in text for begin, text in zip(begins, found, strict=True)), found


def test_a_breaker_that_could_never_open_is_told(tmp_path: Path) -> None:
    """A call that is given up before it is slow is a failure; and too few may fit into a window."""
    found = problems(
        tmp_path,
        "sinks:\n"
        "  even: {type: postgres, dsn: x=y, timeout: 5s, breaker: {slow_call: 15s, slow_call_rate: 0.5}}\n"
        "  less: {type: postgres, dsn: x=y, timeout: 5s, breaker: {slow_call: 14s, slow_call_rate: 0.5}}\n"
        "  longer: {type: redis, url: 'redis://x', breaker: {slow_call: 26s, slow_call_rate: 0.5}}\n"
        "  other: {type: kafka, bootstrap_servers: x, breaker: {slow_call: 25s, slow_call_rate: 1}}\n"
        "  call: {type: http, url: 'http://x', breaker: {slow_call: 2s, slow_call_rate: 0.5}}\n"
        "  fast: {type: http, url: 'http://x', timeout: 1s, breaker: {slow_call: 500ms, slow_call_rate: 1}}\n"
        "  me: {type: http, url: 'http://x', call_timeout: 3s, breaker: {slow_call: 2s, slow_call_rate: 1}}\n"
        "  disk: {type: parquet, path: /x, timeout: 5s, breaker: {slow_call: 15s, slow_call_rate: 1.0}}\n"
        "  mine: {type: custom, sink: schemas_sk:Mine, breaker: {slow_call: 11s, slow_call_rate: 1}}\n"
        "  few: {type: http, url: 'http://x', rate: 1, breaker: {window: 10s}}\n"
        "  enough: {type: http, url: 'http://x', rate: 1, breaker: {window: 10s, minimum_calls: 13}}\n"
        "  short: {type: redis, url: 'redis://x',"
        " breaker: {window: 5s, slow_call: 3s, slow_call_rate: 0.9}}\n"
        "  room: {type: redis, url: 'redis://x',"
        " breaker: {window: 6s, slow_call: 3s, slow_call_rate: 0.9}}\n",
    )
    given_up = "no call could be slow that is not given up already"
    assert_told(
        found,
        [
            f"5: sinks.even.breaker.slow_call: {given_up}: 15s is not less than the 15s after which the wor",
            f"7: sinks.longer.breaker.slow_call: {given_up}: 26s is not less than the 25s after which the w",
            f"8: sinks.other.breaker.slow_call: {given_up}: 25s is not less than the 25s after which the wo",
            f"9: sinks.call.breaker.slow_call: {given_up}: 2s is not less than `call_timeout`, 2s",
            f"10: sinks.fast.breaker.slow_call: {given_up}: 0.5s is not less than `call_timeout`, 0.5s",
            f"12: sinks.disk.breaker.slow_call: {given_up}: 15s is not less than the 15s after which the wor",
            "14: sinks.few.breaker.minimum_calls: this breaker can never open: with a `rate` of 1 no more th",
            "16: sinks.short.breaker.slow_call_rate: this rate can never be reached: no more than 2 batches ",
        ],
    )
    assert "than 13 calls end in its window of 10s, and rates are looked at from 20 calls on" in found[6]
    assert "2 batches of 3s end in a window of 5s, and 2 of 3 (minimum_calls) are less than 0.9" in found[7]


@pytest.mark.parametrize(
    "kind", ["postgres, dsn: host=h", "redis, url: 'redis://h'", "kafka, bootstrap_servers: h"]
)
def test_a_batch_that_also_connects_may_take_longer_than_its_time(tmp_path: Path, kind: str) -> None:
    """Connecting has a time of its own in the same call, so a breaker may wait for such calls."""
    slow = "breaker: {slow_call: 11s, slow_call_rate: 0.5}"
    text = f"sinks: {{there: {{type: {kind}, timeout: 10s, {slow}}}}}\n"
    assert read(tmp_path, text).sinks["there"].breaker.slow_call_ms == 11_000


@pytest.mark.parametrize(("rate", "slow"), [(0.07, 7), (0.14, 14), (0.28, 28), (0.55, 55)])
def test_a_rate_that_a_window_just_has_room_for_is_taken(tmp_path: Path, rate: float, slow: int) -> None:
    """As the breaker compares: for a machine 0.07 * 100 is more than 7, but 7 / 100 is no less than 0.07."""
    text = (
        "sinks: {history: {type: postgres, dsn: host=h, breaker: {minimum_calls: 100, slow_call: 1s, "
        f"window: %ds, slow_call_rate: {rate}}}}}}}\n"
    )
    read(tmp_path, text % (slow - 1))
    (told,) = problems(tmp_path, text % (slow - 2))
    assert "this rate can never be reached" in told


def test_the_topic_of_the_breakers_is_there_where_there_are_some(tmp_path: Path) -> None:
    """One partition, compacted, with the brokers' times; its name is taken then."""
    sinks = "sinks:\n  history: {type: postgres, dsn: dbname=x}\n"
    topology = read(tmp_path, f"{sinks}processors:\n  sums: {{handler: m:f, reads: [days]}}\n")
    assert [spec.name for spec in topology.internal_topics()] == ["shop.dead-letters"]
    uses = f"{sinks}processors:\n  one: {{handler: schemas_sk:good, reads: [days], sink: history}}\n"
    *_, spec = read(tmp_path, uses).internal_topics()
    assert (spec.name, spec.partitions, spec.replication) == ("shop.controls", 1, 3)
    assert spec.config["cleanup.policy"] == "compact"
    assert spec.config["message.timestamp.type"] == "LogAppendTime"
    taken = "  shop.controls: {event: schemas_sk:Day, partitions: 1}\n"
    (told,) = problems(tmp_path, taken + uses)
    assert "topics.shop.controls: the name collides with a topic of Holdfast's own" in told


def test_a_topic_of_breakers_with_more_partitions_is_told_with_what_to_do(tmp_path: Path) -> None:
    """Workers follow one."""
    topology = read(
        tmp_path,
        "sinks:\n  history: {type: postgres, dsn: dbname=x}\n"
        "processors:\n  one: {handler: schemas_sk:good, reads: [days], sink: history}\n",
    )
    *_, spec = topology.internal_topics()
    found = {spec.name: TopicSpec(spec.name, 2, 1, spec.config)}
    texts = [each.text for each in plan(topology, found) if each.wanted.name == spec.name]
    assert "Delete shop.controls and apply again; breakers that are forced are then released" in texts[0]
    assert "Declare replication: 1 for a topic" in texts[1]


def test_a_processor_with_a_sink_has_its_classes(tmp_path: Path) -> None:
    """Each kind of sink takes its own; the sink itself is made without a connection."""
    topology = read(
        tmp_path,
        "sinks:\n"
        "  history: {type: postgres, dsn: dbname=x}\n"
        "  mine: {type: custom, sink: schemas_sk:Mine, options: {place: there}}\n"
        "processors:\n"
        "  one: {handler: schemas_sk:good, reads: [days], sink: history}\n"
        "  two: {handler: schemas_sk:returns_events, reads: [days], sink: mine}\n",
    )
    resolved = resolve(topology, check_handler)
    one, two = resolved.processors["one"].sink, resolved.processors["two"].sink
    assert one is not None and two is not None  # noqa: PT018 - for the type checker
    assert one.accepts == (Upsert, Insert, Delete, Execute)
    assert [each.__name__ for each in two.accepts] == ["Day"]
    assert isinstance(build_sink(one), PostgresSink)
    assert build_sink(two).place == "there"  # type: ignore[attr-defined] # of the class above


def test_all_mistakes_of_sinks_are_told_with_their_lines(tmp_path: Path) -> None:
    """In the sinks themselves, and between them and their processors."""
    told = problems(
        tmp_path,
        "sinks:\n"
        "  typo: {type: postgrs, dsn: x}\n"
        "  none: {dsn: x}\n"
        "  bare: {type: postgres}\n"
        "  unknown: {type: postgres, dsn: x, tabel: y}\n"
        "  never: {type: postgres, dsn: x, breaker: {minimum_calls: 50}}\n"
        "  rate: {type: postgres, dsn: x, breaker: {failure_rate: 50}}\n"
        "  key: {type: postgres, dsn: x, breaker: {failurerate: 0.5}}\n"
        "  slow: {type: postgres, dsn: x, timeout: 5m}\n"
        "  secret: {type: postgres, dsn: [hunter2]}\n"
        "  noclass: {type: custom, sink: schemas_sk:Bare}\n"
        "  nowhere: {type: http}\n"
        "  ftp: {type: http, url: 'ftp://x'}\n"
        "  long: {type: http, url: 'http://x', timeout: 1s, call_timeout: 2s, headers: {X-Key: [hunter2]}}\n"
        "  ok: {type: http, url: 'http://x', down: [200]}\n"
        "  good: {type: postgres, dsn: x}\n"
        "  mine: {type: custom, sink: schemas_sk:Mine}\n"
        "processors:\n"
        "  far: {handler: schemas_sk:good, reads: [days], sink: god}\n"
        "  events: {handler: schemas_sk:returns_events, reads: [days], sink: good}\n"
        "  keeps: {handler: schemas_sk:keeps, reads: [days], sink: good, tables: {days: int}}\n"
        "  loose: {handler: schemas_sk:good, reads: [days], sink: good, guarantee: at-least-once}\n"
        "  none: {handler: schemas_sk:returns_events, reads: [days], writes: [days], on_refused: drop}\n"
        "  stops: {handler: schemas_sk:good, reads: [days], sink: good, on_refused: stop}\n"
        "  may: {handler: schemas_sk:returns_events, reads: [days], sink: mine, on_refused: stop}\n"
        "  park: {handler: schemas_sk:good, reads: [days], sink: good, on_refused: park-key}\n",
    )
    begins = [
        '5: sinks.typo.type: expected postgres or http or redis or parquet or kafka or custom, got "postgr',
        "6: sinks.none.type: expected postgres or http or redis or parquet or kafka or custom, got nothing",
        "7: sinks.bare.dsn: missing: where it is",
        "8: sinks.unknown.tabel: unknown key",
        "9: sinks.never.breaker: this breaker can never open: its window holds 10 calls",
        "10: sinks.rate.breaker.failure_rate: expected a fraction above 0, up to 1, such as 0.5, got 50",
        '11: sinks.key.breaker.failurerate: unknown key; did you mean "failure_rate"? (known: failure_rate, ',
        '12: sinks.slow.timeout: expected a duration from 100ms to 20s, such as 10s, got "5m"',
        "13: sinks.secret.dsn: expected text that is not empty, got a list",
        '14: sinks.noclass.sink: "schemas_sk:Bare" has no `accepts`',
        "15: sinks.nowhere.url: missing: where it is",
        "16: sinks.ftp.url: expected the URL of a service, such as https://gateway.internal/v1, got",
        "17: sinks.long.headers.X-Key: expected text, a number, true or false, got a list",
        "17: sinks.long.call_timeout: one call may take no longer than a batch, 1000 ms",
        "18: sinks.ok.down.0: expected a status of HTTP that is no success, such as 429, or a class",
        '22: processors.far.sink: sink "god" is not declared under `sinks`; did you mean "good"?',
        "23: processors.events.handler: schemas_sk:returns_events returns Day, which sink 'good' does not",
        "24: processors.keeps.tables: a processor with a sink keeps no state",
        "25: processors.loose.guarantee: a processor with a sink is exactly-once up to it",
        "26: processors.none.on_refused: only a sink refuses what is made of a record, and this processor",
        '28: processors.may.on_refused: "schemas_sk:Mine" does not say that it can stop at a refused record',
        '29: processors.park.on_refused: expected stop, dead-letter or drop, got "park-key"',
    ]
    assert_told(told, begins)


def test_what_is_no_name_of_a_header_is_told_with_one_that_is(tmp_path: Path) -> None:
    """The name is shown, and what it is given is not."""
    told = problems(
        tmp_path,
        "sinks:\n  gateway: {type: http, url: 'http://x', headers: {X Y: hunter2, 'X-Key:': hunter2}}\n",
    )
    wanted = "expected the name of a header without spaces and colons, such as X-Api-Key, got"
    begins = [
        f'5: sinks.gateway.headers.X Y: {wanted} "X Y"',
        f'5: sinks.gateway.headers.X-Key:: {wanted} "X-Key:"',
    ]
    assert_told(told, begins)


def test_all_mistakes_of_files_are_told(tmp_path: Path) -> None:
    """Folders, columns and their types."""
    told = problems(
        tmp_path,
        "sinks:\n"
        "  near: {type: parquet, path: data/x}\n"
        "  url: {type: parquet, path: 's3://bucket/x'}\n"
        "  folder: {type: parquet, path: /x, partition_by: ['a/b']}\n"
        "  types: {type: parquet, path: /x, schema: {a: int, b: list<x>}}\n"
        "  digits: {type: parquet, path: /x, schema: {a: 'decimal(39, 2)', b: 'list<decimal(2, 3)>'}}\n"
        "  both: {type: parquet, path: /x, partition_by: [day], schema: {n: int64, day: date}}\n"
        "  none: {type: parquet, path: /x, schema: {}}\n"
        "  small: {type: parquet, path: /x, compression: zip}\n"
        "  twice: {type: parquet, path: /x, partition_by: [day, day]}\n"
        "processors:\n"
        "  rows: {handler: schemas_sk:returns_events, reads: [days], sink: small}\n",
    )
    begins = [
        "5: sinks.near.path: expected the absolute path of a folder, such as /data/orders",
        "6: sinks.url.path: expected the absolute path of a folder, such as /data/orders",
        '7: sinks.folder.partition_by.0: expected the name of a column (letters, digits or "_"',
        "8: sinks.types.schema.a: expected the type of a column: string, binary, bool, int32",
        "8: sinks.types.schema.b: expected the type of a column",
        "9: sinks.digits.schema.a: a decimal has 1 to 38 digits, and up to as many after the point: decimal",
        "9: sinks.digits.schema.b: a decimal has 1 to 38 digits, and up to as many after the point: list<",
        '10: sinks.both.schema.day: "day" is a folder (`partition_by`), and no column of the files',
        "11: sinks.none.schema: ",
        "12: sinks.small.compression: expected zstd, snappy, gzip, lz4 or none",
        '13: sinks.twice.partition_by.1: "day" stands twice in the list',
    ]
    assert_told(told, begins)


def test_columns_that_no_record_has_are_told_where_the_events_are_known(tmp_path: Path) -> None:
    """By the names that are written. Of a mapping, a base class or one with further fields nobody knows."""
    found = problems(
        tmp_path,
        "sinks:\n"
        "  lake: {type: parquet, path: /x, partition_by: [year, soldON]}\n"
        "  days: {type: parquet, path: /x, partition_by: [day]}\n"
        "  typed: {type: parquet, path: /x, partition_by: [year], schema: {sku: string, sold_on: string}}\n"
        "  free: {type: parquet, path: /x, partition_by: [region]}\n"
        "  good: {type: parquet, path: /x, partition_by: [soldOn], schema: {sku: string, year: int64}}\n"
        "processors:\n"
        "  sells: {handler: schemas_sk:sells, reads: [days], sink: lake}\n"
        "  again: {handler: schemas_sk:sells, reads: [days], sink: lake}\n"
        "  named: {handler: schemas_sk:returns_events, reads: [days], sink: days}\n"
        "  typed: {handler: schemas_sk:sells, reads: [days], sink: typed}\n"
        "  bases: {handler: schemas_sk:bases, reads: [days], sink: free}\n"
        "  looses: {handler: schemas_sk:looses, reads: [days], sink: free}\n"
        "  rows: {handler: schemas_sk:rows, reads: [days], sink: free}\n"
        "  good: {handler: schemas_sk:sells, reads: [days], sink: good}\n",
    )
    begins = [
        (
            "5: sinks.lake.partition_by.1: no field of Sale, which schemas_sk:sells returns, is called "
            '"soldON"; did you mean "soldOn"? (fields: sku, soldOn, year); each of its records would become'
        ),
        (
            "6: sinks.days.partition_by.0: no field of Day, which schemas_sk:returns_events returns, is "
            'called "day" (fields: name); each of'
        ),
        (
            '7: sinks.typed.schema: the field "soldOn" of Sale, which schemas_sk:sells returns, has no '
            'column; did you mean "sold_on"? (columns: sku, sold_on); each of'
        ),
    ]
    assert_told(found, begins)


def test_a_parquet_sink_takes_rows_and_events(tmp_path: Path) -> None:
    """It is made without looking at its folder."""
    topology = read(
        tmp_path,
        "sinks: {lake: {type: parquet, path: /data/x, partition_by: [name], schema: {n: 'decimal(4, 2)'}}}\n"
        "processors:\n"
        "  one: {handler: schemas_sk:returns_events, reads: [days], sink: lake}\n",
    )
    sink = resolve(topology, check_handler).processors["one"].sink
    assert sink is not None
    assert sink.accepts == (Row, Event)
    made = build_sink(sink)
    assert isinstance(made, ParquetSink)
    assert (made._settings.path, made._settings.partition_by) == (Path("/data/x"), ("name",))


def test_an_address_is_not_part_of_any_text(tmp_path: Path) -> None:
    """It may hold a password."""
    topology = read(tmp_path, "sinks: {history: {type: postgres, dsn: password=hunter2}}\n")
    assert "hunter2" not in repr(topology)


def test_all_mistakes_of_where_a_redis_is_are_told(tmp_path: Path) -> None:
    """A single server or one behind Sentinel; no password is repeated."""
    told = problems(
        tmp_path,
        "sinks:\n"
        "  nowhere: {type: redis}\n"
        "  both: {type: redis, url: 'redis://x', sentinels: ['s:1'], master: m}\n"
        "  nameless: {type: redis, sentinels: ['s:1']}\n"
        "  alone: {type: redis, master: m}\n"
        "  scheme: {type: redis, url: 'redi://:hunter2@x'}\n"
        "  host: {type: redis, sentinels: ['redis://s'], master: m}\n"
        "  none: {type: redis, sentinels: [], master: m}\n"
        "  twice: {type: redis, url: 'redis://x', password: hunter2, database: 3}\n"
        "  typo: {type: redis, url: 'redis://x', sentinals: ['s:1']}\n"
        "  copies: {type: redis, url: 'redis://x', replicas: many}\n"
        "  list: {type: redis, sentinels: ['s'], master: m, password: [hunter2]}\n",
    )
    begins = [
        "5: sinks.nowhere.url: missing: where the server is; or give the `sentinels`, and what they call",
        "6: sinks.both.sentinels: `url` is given as well; keep a single server, or one behind Sentinel",
        "6: sinks.both.master: `url` is given as well",
        "7: sinks.nameless.master: missing: what the Sentinels call the master",
        "8: sinks.alone.sentinels: missing: where the server is",
        "9: sinks.scheme.url: expected the URL of a Redis server, such as redis://cache.internal:6379/0",
        '10: sinks.host.sentinels.0: expected a host and a port, such as sentinel-1.internal:26379, got "',
        "11: sinks.none.sentinels: expected at least one entry, got none",
        "12: sinks.twice.password: with `url` it is a part of that: redis://username:password@host/0",
        "12: sinks.twice.database: with `url` it is a part of that",
        '13: sinks.typo.sentinals: unknown key; did you mean "sentinels"?',
        '14: sinks.copies.replicas: expected a whole number from 0 to 100, got "many"',
        "15: sinks.list.password: expected text that is not empty, got a list",
    ]
    assert_told(told, begins)


def test_a_redis_is_read_with_its_defaults(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Behind Sentinel a batch counts when a replica has it; secrets are the environment's."""
    topology = read(
        tmp_path,
        "sinks:\n"
        "  one: {type: redis, url: 'redis://:${REDIS_PASSWORD}@x:7000/2'}\n"
        "  many: {type: redis, sentinels: [a, 'b:7'], master: m, password: '${REDIS_PASSWORD}'}\n"
        "processors:\n"
        "  to-one: {handler: schemas_sk:sets, reads: [days], sink: one}\n"
        "  to-many: {handler: schemas_sk:sets, reads: [days], sink: many}\n",
    )
    resolved = resolve(topology, check_handler)
    one, many = resolved.processors["to-one"].sink, resolved.processors["to-many"].sink
    assert one is not None and many is not None  # noqa: PT018 - for the type checker
    assert {Set, Increment, Command} < set(one.accepts)
    assert [each.decl.copies for each in (one, many)] == [0, 1]  # type: ignore[union-attr] # of a Redis
    monkeypatch.delenv("REDIS_PASSWORD", raising=False)
    with pytest.raises(SinkError, match="its `url` needs the environment variable REDIS_PASSWORD"):
        build_sink(one)
    monkeypatch.setenv("REDIS_PASSWORD", "t0ps3cret")
    assert isinstance(build_sink(one), RedisSink)
    assert "t0ps3cret" not in repr(build_sink(many))


def test_all_mistakes_of_another_cluster_are_told(tmp_path: Path) -> None:
    """Where it is, how its client is set, and what handlers return; no password is repeated."""
    told = problems(
        tmp_path,
        "sinks:\n"
        "  nowhere: {type: kafka}\n"
        "  url: {type: kafka, bootstrap_servers: 'kafka://x:9092'}\n"
        "  list: {type: kafka, bootstrap_servers: ['x:9092']}\n"
        "  typo: {type: kafka, bootstrap_servers: 'x:9092', bootstrap_server: y}\n"
        "  twice: {type: kafka, bootstrap_servers: x, kafka: {bootstrap.servers: y, message.max.bytes: 1M}}\n"
        "  secret: {type: kafka, bootstrap_servers: x, kafka: {sasl.password: [hunter2]}}\n"
        "  text: {type: kafka, bootstrap_servers: x, kafka: hunter2}\n"
        "  name: {type: kafka, bootstrap_servers: x, positions: 'a b'}\n"
        "  soon: {type: kafka, bootstrap_servers: x, timeout: 200ms}\n"
        "  good: {type: kafka, bootstrap_servers: 'a.b:1,[::1]:2, c'}\n"
        "processors:\n"
        "  events: {handler: schemas_sk:returns_events, reads: [days], sink: good}\n",
    )
    begins = [
        "5: sinks.nowhere.bootstrap_servers: missing: where some of its brokers are",
        "6: sinks.url.bootstrap_servers: expected hosts and ports of brokers, such as kafka-1.eu.internal:90",
        "7: sinks.list.bootstrap_servers: expected hosts and ports of brokers",
        '8: sinks.typo.bootstrap_server: unknown key; did you mean "bootstrap_servers"? (known: ',
        "9: sinks.twice.kafka.bootstrap.servers: where the brokers are is for `bootstrap_servers` to say",
        "9: sinks.twice.kafka.message.max.bytes: expected a number of bytes, from 1000 on, got '1M'",
        "10: sinks.secret.kafka.sasl.password: expected text, a number, true or false, got a list",
        "11: sinks.text.kafka: expected a mapping (key: value), got something else",
        "12: sinks.name.positions: expected how names of topics begin (1 to 100 letters, digits,",
        '13: sinks.soon.timeout: expected a duration from 1s to 20s, such as 10s, got "200ms"',
        "16: processors.events.handler: schemas_sk:returns_events returns Day, which sink 'good' does not",
    ]
    assert_told(told, begins)


def test_another_cluster_is_read_with_its_defaults(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is made without connecting; secrets are the environment's, and are in no text."""
    topology = read(
        tmp_path,
        "sinks:\n"
        "  mirror:\n"
        "    type: kafka\n"
        "    bootstrap_servers: 'kafka-1:9092,${KAFKA_EU}'\n"
        "    kafka: {security.protocol: sasl_ssl, sasl.password: '${KAFKA_PASSWORD}', linger.ms: 5}\n"
        "processors:\n"
        "  one: {handler: schemas_sk:mirrors, reads: [days], sink: mirror}\n",
    )
    resolved = resolve(topology, check_handler).processors["one"].sink
    assert resolved is not None
    assert resolved.accepts == (KafkaRecord,)
    assert "KAFKA_PASSWORD" not in repr(topology)
    monkeypatch.setenv("KAFKA_EU", "kafka-2:9092")
    monkeypatch.delenv("KAFKA_PASSWORD", raising=False)
    wanted = "its `kafka` property sasl.password needs the environment variable KAFKA_PASSWORD"
    with pytest.raises(SinkError, match=wanted):
        build_sink(resolved)
    monkeypatch.setenv("KAFKA_PASSWORD", "t0ps3cret")
    sink = build_sink(resolved)
    assert isinstance(sink, KafkaSink)
    settings = sink._settings
    assert (settings.servers, settings.positions) == ("kafka-1:9092,kafka-2:9092", "holdfast.positions")
    assert (settings.properties["sasl.password"], settings.properties["linger.ms"]) == ("t0ps3cret", "5")
    assert "t0ps3cret" not in repr(settings)


def test_a_property_that_would_break_a_guarantee_ends_the_worker(tmp_path: Path) -> None:
    """With the reason, before anything is written."""
    topology = read(
        tmp_path,
        "sinks: {mirror: {type: kafka, bootstrap_servers: x, kafka: {acks: 1, transactional.id: y}}}\n"
        "processors: {one: {handler: schemas_sk:mirrors, reads: [days], sink: mirror}}\n",
    )
    resolved = resolve(topology, check_handler).processors["one"].sink
    assert resolved is not None
    with pytest.raises(
        SinkError,
        match=r"(?s)sink 'mirror' \(.*topology.yaml:4\): its `kafka` cannot be used.*acks.*transactional.id",
    ):
        build_sink(resolved)


def http(folder: Path, more: str = "") -> ResolvedSink:
    """A resolved HTTP sink, with more of its keys."""
    text = f"sinks: {{gateway: {{type: http, url: 'http://127.0.0.1:1/v1'{more}}}}}\n"
    text += "processors: {pay: {handler: schemas_sk:calls, reads: [days], sink: gateway}}\n"
    resolved = resolve(read(folder, text), check_handler).processors["pay"].sink
    assert resolved is not None
    return resolved


def test_an_http_sink_counts_calls(tmp_path: Path) -> None:
    """Not batches: its breaker looks at more of them."""
    resolved = http(tmp_path)
    sink = build_sink(resolved)
    assert resolved.accepts == (HttpCall,)
    assert sink.breaker is not None
    assert (sink.breaker.settings.window_calls, sink.breaker.settings.minimum_calls) == (100, 20)


@pytest.mark.parametrize(
    ("given", "seconds"),
    [("", 2.0), (", timeout: 20s", 2.0), (", timeout: 2s", 1.0), (", timeout: 100ms", 0.05)],
)
def test_a_call_takes_half_of_a_short_timeout_unless_it_is_told(
    tmp_path: Path, given: str, seconds: float
) -> None:
    """So that a handler is not cut before its call is given up."""
    sink = build_sink(http(tmp_path, given))
    assert isinstance(sink, HttpSink)
    assert sink._settings.call_s == seconds


def test_a_secret_of_a_header_is_the_environments(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker without it says which is missing; the file is valid all the same."""
    resolved = http(tmp_path, ", headers: {Authorization: 'Bearer ${GATEWAY_TOKEN}'}")
    monkeypatch.delenv("GATEWAY_TOKEN", raising=False)
    with pytest.raises(
        SinkError, match="its header Authorization needs the environment variable GATEWAY_TOK"
    ):
        build_sink(resolved)
    monkeypatch.setenv("GATEWAY_TOKEN", "t0ps3cret")
    sink = build_sink(resolved)
    assert isinstance(sink, HttpSink)
    assert sink._settings.headers == {"Authorization": "Bearer t0ps3cret"}
    assert "t0ps3cret" not in repr(sink._settings)


@pytest.mark.parametrize("secret", ["t0ps3cret\n", "t0ps3cret\r\n", "t0ps\0cret", "t0ps\r3cret", "\x7f"])
def test_a_header_that_cannot_be_sent_ends_the_worker(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, secret: str
) -> None:
    """Or each record would be set aside for it: secrets from files often end in a newline."""
    resolved = http(tmp_path, ", headers: {Authorization: '${KIND} ${GATEWAY_TOKEN}'}")
    monkeypatch.setenv("KIND", "Bearer")
    # No process can be given a zero byte, but the mapping may be another one.
    monkeypatch.setattr("os.environ", {**os.environ, "GATEWAY_TOKEN": secret})
    with pytest.raises(SinkError) as caught:
        build_sink(resolved)
    assert str(caught.value) == (
        f"sink 'gateway' ({resolved.origin}): its header Authorization has a control character in it, from "
        "the environment variable GATEWAY_TOKEN (the end of a line?), and no call can be made with that"
    )


def test_a_header_of_the_file_that_cannot_be_sent_ends_the_worker(tmp_path: Path) -> None:
    """There is no variable to name then."""
    resolved = http(tmp_path, r', headers: {X-Key: "t0ps\n3cret"}')
    with pytest.raises(SinkError, match="its header X-Key has a control character") as caught:
        build_sink(resolved)
    assert "variable" not in str(caught.value)
    assert "3cret" not in str(caught.value)


def test_all_mistakes_of_what_is_asked_are_told(tmp_path: Path) -> None:
    """The declaration, the handler, and what they say of each other."""
    told = problems(
        tmp_path,
        "sinks:\n"
        "  gateway: {type: http, url: 'http://x'}\n"
        "  history: {type: postgres, dsn: x}\n"
        "  mine: {type: custom, sink: schemas_sk:Mine}\n"
        "processors:\n"
        "  far: {handler: schemas_sk:asks, reads: [days], asks: [gatway]}\n"
        "  twice: {handler: schemas_sk:asks, reads: [days], asks: [gateway, gateway]}\n"
        "  not: {handler: schemas_sk:asks, reads: [days]}\n"
        "  more: {handler: schemas_sk:asks, reads: [days], asks: [gateway, mine]}\n"
        "  both: {handler: schemas_sk:asks, reads: [days], asks: [gateway], sink: history}\n"
        "  keeps: {handler: schemas_sk:asks, reads: [days], asks: [gateway], tables: {days: int}}\n"
        "  table: {handler: schemas_sk:asks_history, reads: [days], asks: [history]}\n"
        "  plain: {handler: schemas_sk:returns_none, reads: [days], asks: [gateway]}\n"
        "  name: {handler: schemas_sk:asks, reads: [days], asks: [pay-gate]}\n",
    )
    begins = [
        '9: processors.far.asks.0: "gatway" is not declared under `sinks`; did you mean "gateway"?',
        '10: processors.twice.asks.1: "gateway" stands twice in the list',
        "11: processors.not.handler: schemas_sk:asks asks 'gateway', which is not declared (`asks` has: noth",
        "11: processors.not.handler: schemas_sk:asks is async: it asks something. Name that under `sinks`",
        "12: processors.more.handler: sink 'mine' can be written to, but not asked",
        "13: processors.both.sink: a processor either asks, or writes what its handler returns to a sink",
        "14: processors.keeps.tables: while an async handler waits for an answer, other records",
        "15: processors.table.handler: sink 'history' can be written to, but not asked",
        "16: processors.plain.handler: 'gateway' is declared in `asks`, but schemas_sk:returns_none has no",
        "17: processors.name.asks.0: expected the name of a sink that a Python parameter can have",
    ]
    assert_told(told, begins)


def test_a_call_that_may_take_as_long_as_its_handler_is_refused(tmp_path: Path) -> None:
    """The handler would be cut at the same moment, and a service that hangs never be seen. Sinks may."""
    told = problems(
        tmp_path,
        "sinks:\n"
        "  gateway: {type: http, url: 'http://x', timeout: 4s, call_timeout: 4s}\n"
        "  longer: {type: http, url: 'http://x', timeout: 4s, call_timeout: 5s}\n"
        "  written: {type: http, url: 'http://x', timeout: 4s, call_timeout: 4s}\n"
        "  short: {type: http, url: 'http://x', timeout: 1s}\n"
        "  less: {type: http, url: 'http://x', timeout: 4s, call_timeout: 3999ms}\n"
        "processors:\n"
        "  one: {handler: schemas_sk:asks, reads: [days], asks: [gateway]}\n"
        "  two: {handler: schemas_sk:asks_two, reads: [days], asks: [longer, short, less]}\n"
        "  three: {handler: schemas_sk:calls, reads: [days], sink: written}\n",
    )
    says = "a handler that asks would be cut before its call is given up: lower this, or raise `timeout`"
    begins = [
        f"5: sinks.gateway.call_timeout: 4000 ms is not less than `timeout`, 4000 ms, and {says}",
        f"6: sinks.longer.call_timeout: 5000 ms is not less than `timeout`, 4000 ms, and {says}",
    ]
    assert_told(told, begins)


def test_a_sink_without_its_client_says_how_that_is_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From a checkout, as Holdfast is in no package index."""
    resolved = http(tmp_path)
    monkeypatch.setitem(sys.modules, "holdfast.sinks.http.service", None)
    with pytest.raises(SinkError) as caught:
        build_sink(resolved)
    text = str(caught.value)
    assert text.startswith(f"sink 'gateway' ({resolved.origin}) needs aiohttp (")
    assert text.endswith(
        ": install Holdfast with its extra `http` (from its checkout: pip install '.[http]')"
    )


def test_an_address_of_postgresql_that_can_never_work_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the option that is wrong, before anything connects; one in a variable when that is set."""
    monkeypatch.setenv("HISTORY_DSN", "postgresql://shop:hunter2@h:99999/db")
    monkeypatch.setenv("HISTORY_PASSWORD", "hunter2 'x' y=z")
    monkeypatch.setenv("HISTORY_PORT", "5432x")
    monkeypatch.delenv("ELSEWHERE", raising=False)
    found = problems(
        tmp_path,
        "sinks:\n"
        "  typo: {type: postgres, dsn: 'hots=x password=hunter2'}\n"
        "  port: {type: postgres, dsn: 'postgresql://h:99999/db'}\n"
        "  both: {type: postgres, dsn: 'host=h port=abc sslmode=no'}\n"
        "  whole: {type: postgres, dsn: '${HISTORY_DSN}'}\n"
        "  part: {type: postgres, dsn: 'host=h port=${HISTORY_PORT} password=${HISTORY_PASSWORD}'}\n"
        "  uri: {type: postgres, dsn: 'postgresql://u:${HISTORY_PASSWORD}@h:${HISTORY_PORT}/db'}\n"
        "  later: {type: postgres, dsn: '${ELSEWHERE}'}\n"
        "  good: {type: postgres, dsn: \"host=h password='${HISTORY_PASSWORD}'\"}\n"
        "  fine: {type: postgres, dsn: 'postgresql://u:${HISTORY_PASSWORD}@h/db?passfile=${HISTORY_PASSWORD}'}\n"
        "  none: {type: postgres}\n",
        check_sink,
    )
    begins = [
        '5: sinks.typo.dsn: there is no option "hots"; did you mean "host"?',
        "6: sinks.port.dsn: `port` is a number from 1 to 65535, not '99999'",
        "7: sinks.both.dsn: `port` is a number from 1 to 65535, not 'abc'",
        "7: sinks.both.dsn: `sslmode` cannot be 'no'",
        "8: sinks.whole.dsn: `port` is a number from 1 to 65535, not '99999'",
        "9: sinks.part.dsn: `port` is a number from 1 to 65535, not '5432x'",
        "10: sinks.uri.dsn: `port` is a number from 1 to 65535, not '5432x'",
        "14: sinks.none.dsn: missing: where it is",
    ]
    assert_told(found, begins)


def test_a_password_in_a_variable_is_the_same_in_every_form_of_an_address(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Whatever characters it has; files end in a newline."""
    monkeypatch.setenv("SECRET", "a b'c\\d@e/f?g=h%i:j\n")
    forms = ("host=h password=${SECRET}", "host=h password='${SECRET}'", "postgresql://u:${SECRET}@h/db")
    for form in (*forms, "postgresql://h/db?password=${SECRET}"):
        assert conninfo_to_dict(expanded_dsn(form))["password"] == "a b'c\\d@e/f?g=h%i:j"


def test_a_worker_without_the_variable_of_an_address_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As for other secrets."""
    topology = read(
        tmp_path,
        "sinks: {history: {type: postgres, dsn: '${HISTORY_DSN}'}}\n"
        "processors: {one: {handler: schemas_sk:good, reads: [days], sink: history}}\n",
    )
    sink = resolve(topology, check_handler).processors["one"].sink
    assert sink is not None
    monkeypatch.delenv("HISTORY_DSN", raising=False)
    with pytest.raises(SinkError, match="its `dsn` needs the environment variable HISTORY_DSN, which is not"):
        build_sink(sink)
    monkeypatch.setenv("HISTORY_DSN", "host=h port=0")
    with pytest.raises(SinkError, match=r"its `dsn` cannot be used: `port` is"):
        build_sink(sink)
    monkeypatch.setenv("HISTORY_DSN", "host=h\n")
    assert isinstance(build_sink(sink), PostgresSink)


EMPTY = "the environment variable TOKEN is set, but empty; give it a value"


@pytest.mark.parametrize("value", ["", " ", "\n"])
def test_a_variable_that_is_empty_is_no_secret(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    """A call with half a header, or without a password, would be refused, and that taken for an outage."""
    monkeypatch.setenv("TOKEN", value)
    monkeypatch.setenv("FULL", "hunter2")
    monkeypatch.delenv("ELSEWHERE", raising=False)
    found = problems(
        tmp_path,
        "sinks:\n"
        "  gateway:\n"
        "    type: http\n"
        "    url: http://x\n"
        "    headers:\n"
        "      X-Key: ${FULL}${ELSEWHERE}\n"
        "      Authorization: Bearer ${TOKEN}\n"
        "  redis: {type: redis, url: 'redis://:${TOKEN}@x'}\n"
        "  sentinel: {type: redis, sentinels: [a], master: m, password: '${TOKEN}', sentinel_password: x}\n"
        "  mirror: {type: kafka, bootstrap_servers: x, kafka: {sasl.password: '${TOKEN}'}}\n"
        "  history: {type: postgres, dsn: 'host=h password=${TOKEN}'}\n"
        "processors:\n"
        "  pay: {handler: schemas_sk:calls, reads: [days], sink: gateway}\n"
        "  one: {handler: schemas_sk:sets, reads: [days], sink: redis}\n"
        "  two: {handler: schemas_sk:sets, reads: [days], sink: sentinel}\n"
        "  copy: {handler: schemas_sk:mirrors, reads: [days], sink: mirror}\n"
        "  keep: {handler: schemas_sk:good, reads: [days], sink: history}\n",
        check_sink_here,
        running=(),
    )
    begins = [
        f"10: sinks.gateway.headers.Authorization: {EMPTY}",
        f"11: sinks.redis.url: {EMPTY}",
        f"12: sinks.sentinel.password: {EMPTY}",
        f"13: sinks.mirror.kafka.sasl.password: {EMPTY}",
        f"14: sinks.history.dsn: {EMPTY}",
    ]
    assert_told(found, begins)


def test_a_worker_whose_variable_is_empty_says_which_and_where(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For what is written to, and for what is asked."""
    resolved = http(tmp_path, ", headers: {Authorization: 'Bearer ${GATEWAY_TOKEN}'}")
    monkeypatch.setenv("GATEWAY_TOKEN", "")
    for build in (build_sink, build_downstream):
        with pytest.raises(SinkError) as caught:
            build(resolved)
        assert str(caught.value) == (
            f"sink 'gateway' ({tmp_path / 'topology.yaml'}:4): its header Authorization needs the "
            "environment variable GATEWAY_TOKEN, which is set, but empty"
        )


USED_AND_UNUSED = """\
sinks:
  history: {type: postgres, dsn: 'host=h password=${TOKEN}'}
  mirror:  {type: postgres, dsn: 'host=h port=0'}
  later:   {type: postgres, dsn: 'host=h port=0'}
  gateway: {type: http, url: 'http://x', headers: {X-Key: '${TOKEN}'}}
processors:
  keep: {handler: schemas_sk:good, reads: [days], sink: history}
  copy: {handler: schemas_sk:good, reads: [days], sink: mirror}
  asks: {handler: schemas_sk:asks, reads: [days], asks: [gateway]}
  sums: {handler: schemas_sk:returns_none, reads: [days]}
"""


def test_a_check_says_nothing_of_a_variable_that_is_empty(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where a file is checked need not be where it is used: as for one that is not set."""
    monkeypatch.setenv("TOKEN", "")
    begins = ["6: sinks.mirror.dsn: `port` is a number", "7: sinks.later.dsn: `port` is a number"]
    assert_told(problems(tmp_path, USED_AND_UNUSED, check_sink), begins)


@pytest.mark.parametrize(
    ("running", "begins"),
    [
        (["keep"], [f"5: sinks.history.dsn: {EMPTY}"]),
        (["copy", "no-such-processor"], ["6: sinks.mirror.dsn: `port` is a number"]),
        (["asks", "leader"], [f"8: sinks.gateway.headers.X-Key: {EMPTY}"]),
        (
            [],
            [
                f"5: sinks.history.dsn: {EMPTY}",
                "6: sinks.mirror.dsn: `port` is a number",
                f"8: sinks.gateway.headers.X-Key: {EMPTY}",
            ],
        ),
    ],
    ids=str,
)
def test_only_sinks_of_processors_that_run_have_to_be_usable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, running: list[str], begins: list[str]
) -> None:
    """Another machine, with other variables, may be there for the others."""
    monkeypatch.setenv("TOKEN", "")
    assert_told(problems(tmp_path, USED_AND_UNUSED, check_sink_here, running), begins)


@pytest.mark.parametrize("running", [["sums"], ["leader"]], ids=str)
def test_a_run_without_sinks_does_not_look_at_any(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, running: list[str]
) -> None:
    """Whatever is wrong with them here."""
    monkeypatch.setenv("TOKEN", "")
    read(tmp_path, USED_AND_UNUSED)
    check_file(tmp_path / "topology.yaml", check_handler, None, check_sink_here, running=running)


HARD = ("a%41b", "50%e4rn", "%", "%ff", "100%25", "%zz%")


@pytest.mark.parametrize("secret", HARD)
@pytest.mark.parametrize("form", ["postgresql://u:${SECRET}@h/db", "postgresql://h/db?password=${SECRET}"])
def test_a_percent_sign_in_the_variable_of_a_uri_is_one(
    monkeypatch: pytest.MonkeyPatch, form: str, secret: str
) -> None:
    """A password is sent as it is in the variable, also where it looks like an escaped one."""
    monkeypatch.setenv("SECRET", secret)
    assert conninfo_to_dict(expanded_dsn(form))["password"] == secret


def test_what_is_no_text_in_an_address_is_told_with_its_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the check and by the worker, without a traceback and without the secret."""
    monkeypatch.setitem(os.environ, "BYTES", "hunter2\udcff")
    text = (
        "sinks:\n"
        "  literal: {type: postgres, dsn: 'postgresql://u:hunter2%ff@h/db'}\n"
        "  uri: {type: postgres, dsn: 'postgresql://u:${BYTES}@h/db'}\n"
        "  pairs: {type: postgres, dsn: 'host=h password=${BYTES}'}\n"
        "processors:\n"
        "  one: {handler: schemas_sk:good, reads: [days], sink: literal}\n"
        "  two: {handler: schemas_sk:good, reads: [days], sink: uri}\n"
        "  three: {handler: schemas_sk:good, reads: [days], sink: pairs}\n"
    )
    says = "something in it is no UTF-8; in a URI"
    told = problems(tmp_path, text, check_sink)
    begins = [f"5: sinks.literal.dsn: {says}", f"6: sinks.uri.dsn: {says}"]
    assert_told(told, [*begins, "7: sinks.pairs.dsn: something in it is no UTF-8"])
    for processor in resolve(read(tmp_path, text), check_handler).processors.values():
        assert processor.sink is not None
        with pytest.raises(SinkError, match="cannot be used: something in it is no UTF-8") as caught:
            build_sink(processor.sink)
        assert "hunter2" not in str(caught.value)


def test_without_libpq_an_address_is_not_looked_at(tmp_path: Path) -> None:
    """As psycopg cannot even be imported; a worker that needs it says so."""
    (tmp_path / "schemas_sk.py").write_text(MODULE)
    file = tmp_path / "topology.yaml"
    file.write_text(HEAD + "sinks: {history: {type: postgres, dsn: 'host=h'}}\n")
    ended = subprocess.run(
        [sys.executable, "-m", "holdfast", "check", str(file)],
        env={**os.environ, "PSYCOPG_IMPL": "none-at-all"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ended.returncode, ended.stderr) == (0, "")


def test_an_address_without_a_host_or_with_an_impossible_port_is_told(tmp_path: Path) -> None:
    """Its client would raise when the worker makes it, again and again; what may work is taken."""
    told = problems(
        tmp_path,
        "sinks:\n"
        "  port: {type: http, url: 'http://x:99999'}\n"
        "  zero: {type: http, url: 'http://x:0/v1'}\n"
        "  text: {type: http, url: 'http://x:http'}\n"
        "  hostless: {type: http, url: 'http://:80'}\n"
        "  bracket: {type: http, url: 'http://[::1'}\n"
        "  variable: {type: http, url: 'http://${GATEWAY}/v1'}\n"
        "  redis: {type: redis, url: 'redis://:${REDIS_PASSWORD}@x:70000/0'}\n"
        "  sentinel: {type: redis, sentinels: ['a:26379', 'b:70000'], master: m}\n"
        "  http: {type: http, url: 'http://user:70000@[::1]:65535/v1:99999'}\n"
        "  plain: {type: http, url: 'https://gateway_1.internal'}\n"
        "  empty: {type: http, url: 'http://x:'}\n"
        "  known: {type: redis, url: 'rediss://u:p:99999@cache:6379/0'}\n"
        "  later: {type: redis, url: 'redis://${CACHE}'}\n"
        "  port_later: {type: redis, url: 'redis://cache:${PORT}/0'}\n"
        "  usual: {type: redis, url: 'redis://:x@/0'}\n"
        "  six: {type: redis, url: 'redis://[::1]:6379'}\n",
    )
    begins = [
        "5: sinks.port.url: the port behind the host is no number from 1 to 65535",
        "6: sinks.zero.url: the port behind the host is no number from 1 to 65535",
        "7: sinks.text.url: the port behind the host is no number from 1 to 65535",
        "8: sinks.hostless.url: there is no host in it, as in https://gateway.internal/v1",
        "9: sinks.bracket.url: its host is no address",
        "10: sinks.variable.url: variables are replaced in `headers`, and not here; write the host out",
        "11: sinks.redis.url: the port behind the host is no number from 1 to 65535",
        "12: sinks.sentinel.sentinels.1: the port behind the host is no number from 1 to 65535",
    ]
    assert_told(told, begins)


def test_a_service_whose_url_cannot_be_used_ends_the_worker(tmp_path: Path) -> None:
    """With the sink's name, and no traceback, also where nothing was checked before."""
    good = http(tmp_path)
    assert isinstance(good.decl, HttpSinkDecl)
    decl = good.decl.model_copy(update={"url": "http://x:99999"})
    with pytest.raises(SinkError, match=r"sink 'gateway' \(.*:4\): its `url` cannot be used: Port"):
        build_sink(replace(good, decl=decl))


def test_a_handler_that_makes_what_only_a_sink_takes_needs_one(tmp_path: Path) -> None:
    """Else nothing was told before its first record."""
    told = problems(
        tmp_path,
        "processors:\n"
        "  pay: {handler: schemas_sk:calls, reads: [days]}\n"
        "  good: {handler: schemas_sk:good, reads: [days]}\n"
        "  sets: {handler: schemas_sk:sets_or_day, reads: [days], writes: [days]}\n"
        "  rows: {handler: schemas_sk:rows_or_none, reads: [days]}\n"
        "  mirror: {handler: schemas_sk:mirrors, reads: [days]}\n"
        "  event: {handler: schemas_sk:returns_events, reads: [days], writes: [days]}\n"
        "  none: {handler: schemas_sk:returns_none, reads: [days]}\n"
        "  silent: {handler: schemas_sk:tells_nothing, reads: [days]}\n",
    )
    begins = [
        (
            "5: processors.pay.sink: missing: schemas_sk:calls returns HttpCall, which only a sink takes; "
            "name one of type http, declared under `sinks`"
        ),
        (
            "6: processors.good.sink: missing: schemas_sk:good returns Insert, which only a sink takes; "
            "name one of type postgres"
        ),
        "6: processors.good.sink: missing: schemas_sk:good returns Upsert",
        "7: processors.sets.sink: missing: schemas_sk:sets_or_day returns Set",
        "8: processors.rows.sink: missing: schemas_sk:rows_or_none returns Row",
        "9: processors.mirror.sink: missing: schemas_sk:mirrors returns KafkaRecord",
    ]
    assert_told(told, begins)


def test_options_that_a_class_does_not_take_are_told_with_their_lines(tmp_path: Path) -> None:
    """And those that it needs; a class that does not tell what it takes is left to the worker."""
    told = problems(
        tmp_path,
        "sinks:\n"
        "  typo:\n"
        "    type: custom\n"
        "    sink: schemas_sk:Search\n"
        "    options:\n"
        "      url: x\n"
        "      indx: y\n"
        "      zzz: 1\n"
        "  bare: {type: custom, sink: schemas_sk:Search}\n"
        "  open: {type: custom, sink: schemas_sk:Open, options: {any: 1}}\n"
        "  plain: {type: custom, sink: schemas_sk:Plain, options: {url: x}}\n"
        "  good: {type: custom, sink: schemas_sk:Search, options: {url: x, retries: 1}}\n"
        "  more: {type: custom, sink: schemas_sk:Open, options: {url: x, any: 1}}\n"
        "  none: {type: custom, sink: schemas_sk:Plain}\n"
        "  pool: {type: custom, sink: schemas_sk:Pooled, options: {url: x, size: 3}}\n"
        "  model: {type: custom, sink: schemas_sk:Model, options: {url: x, ignored: 3}}\n"
        "  hidden: {type: custom, sink: schemas_sk:Hidden, options: {ignored: 3}}\n",
    )
    begins = [
        (
            '10: sinks.typo.options.indx: schemas_sk:Search takes no such option; did you mean "index"? (it '
            "takes: url, index, retries)"
        ),
        "11: sinks.typo.options.zzz: schemas_sk:Search takes no such option (it takes: url, index, retries)",
        "12: sinks.bare.options.url: missing: schemas_sk:Search cannot be made without it",
        "13: sinks.open.options.url: missing: schemas_sk:Open cannot be made without it",
        "14: sinks.plain.options.url: schemas_sk:Plain takes no such option (it takes: none)",
    ]
    assert_told(told, begins)


def test_properties_that_cannot_be_used_are_told_all_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those that would break a guarantee, and those that the client does not know; without connecting."""
    monkeypatch.setenv("ACKS", "1")
    monkeypatch.delenv("ELSEWHERE", raising=False)
    told = problems(
        tmp_path,
        "sinks:\n"
        "  mirror:\n"
        "    type: kafka\n"
        "    bootstrap_servers: x\n"
        "    kafka:\n"
        "      acks: '${ACKS}'\n"
        "      transactional.id: y\n"
        "      no.such: hunter2\n"
        "      topic.nor.this: '${ELSEWHERE}'\n"
        "      linger.ms: 5\n"
        "  good:\n"
        "    type: kafka\n"
        "    bootstrap_servers: x\n"
        "    kafka: {acks: all, enable.idempotence: true, sasl.password: '${ELSEWHERE}',\n"
        "      compression.codec: zstd, ssl.ca.location: /not/here, fetch.min.bytes: 1,\n"
        "      group.protocol: consumer, debug: broker, request.timeout.ms: 500,\n"
        "      security.protocol: '${ELSEWHERE}', ssl.key.pem: x, oauth_cb: x}\n"
        "  later: {type: kafka, bootstrap_servers: x, kafka: {acks: '${ELSEWHERE}'}}\n"
        "  plugin: {type: kafka, bootstrap_servers: x, kafka: {plugin.of.mine: own, own.name: x}}\n",
        check_sink,
    )
    begins = [
        "9: sinks.mirror.kafka.acks: kafka property acks: '1' is not possible: an acknowledged event must",
        "10: sinks.mirror.kafka.transactional.id: kafka property transactional.id: 'y' is not possible",
        "11: sinks.mirror.kafka.no.such: librdkafka knows no property of this name; correct or remove it",
        "12: sinks.mirror.kafka.topic.nor.this: librdkafka knows no property of this name",
    ]
    assert_told(told, begins)


def test_braces_that_name_no_variable_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They were sent as they stand; no part of what may be a password is repeated."""
    monkeypatch.setenv("PASSWORD", "a${b c}d")
    told = problems(
        tmp_path,
        "sinks:\n"
        "  blank: {type: http, url: 'http://x', headers: {Authorization: 'Bearer ${hunter2 EN}'}}\n"
        "  default: {type: postgres, dsn: 'host=x password=${PASSWORD:-hunter2}'}\n"
        "  empty: {type: redis, url: 'redis://:${}@x'}\n"
        "  dash: {type: kafka, bootstrap_servers: x, kafka: {sasl.password: '${PASSWORD}${hunter2-b}'}}\n"
        "  good: {type: postgres, dsn: 'host=x password=${PASSWORD}'}\n"
        "  open: {type: http, url: 'http://x', headers: {X: 'a${b c', Y: '$5 {x y}', Z: '$${PASSWORD}'}}\n"
        "  shell:\n"
        "    type: kafka\n"
        "    bootstrap_servers: x\n"
        "    kafka: {sasl.kerberos.kinit.cmd: 'kinit -t ${KEYTAB:-/etc/keytab}'}\n",
        check_sink,
    )
    begins = [
        "5: sinks.blank.headers.Authorization: a `${...}` in it is no variable: its name has letters, digits",
        "6: sinks.default.dsn: a `${...}` in it is no variable",
        "7: sinks.empty.url: a `${...}` in it is no variable",
        "8: sinks.dash.kafka.sasl.password: a `${...}` in it is no variable",
    ]
    assert_told(told, begins)


def test_what_may_be_a_secret_is_told_by_its_kind(tmp_path: Path) -> None:
    """That it is empty, or no text; and no name is proposed that is hardly alike."""
    told = problems(
        tmp_path,
        "sinks:\n"
        "  empty: {type: postgres, dsn: ''}\n"
        "  number: {type: postgres, dsn: 5}\n"
        "  nothing: {type: postgres, dsn: }\n"
        "  listed: {type: http, url: 'http://x', headers: [hunter2]}\n"
        "  text: {type: http, url: 'http://x', headers: hunter2}\n"
        "  blank: {type: redis, url: ''}\n"
        "  pin: {type: redis, sentinels: [a], master: m, password: 5}\n"
        "  far: {type: http, adress: 'http://x'}\n"
        "  near: {type: http, ulr: 'http://x'}\n",
    )
    begins = [
        "5: sinks.empty.dsn: expected text that is not empty, got an empty one",
        "6: sinks.number.dsn: expected text that is not empty, got a number",
        "7: sinks.nothing.dsn: expected text that is not empty, got nothing",
        "8: sinks.listed.headers: expected a mapping (key: value), got a list",
        "9: sinks.text.headers: expected a mapping (key: value), got something else (not shown, as it may",
        "10: sinks.blank.url: expected the URL of a Redis server, such as redis://cache.internal:6379/0, got",
        "11: sinks.pin.password: expected text that is not empty, got a number",
        "12: sinks.far.url: missing: where it is",
        "12: sinks.far.adress: unknown key (known: ",
        "13: sinks.near.url: missing: where it is",
        '13: sinks.near.ulr: unknown key; did you mean "url"? (known: ',
    ]
    assert_told(told, begins)


def test_a_sink_that_cannot_be_made_says_in_which_file_and_line_it_is(tmp_path: Path) -> None:
    """Whatever the file is called."""
    read(tmp_path, "")
    file = tmp_path / "orders.yaml"
    file.write_text(
        HEAD + "sinks:\n"
        "  history: {type: postgres, dsn: 'port=x'}\n"
        "  picky: {type: custom, sink: schemas_sk:Picky}\n"
        "processors:\n"
        "  one: {handler: schemas_sk:good, reads: [days], sink: history}\n"
        "  two: {handler: schemas_sk:returns_events, reads: [days], sink: picky}\n"
    )
    processors = resolve(load(file), check_handler).processors
    for name, begins in {
        "one": f"sink 'history' ({file}:5): its `dsn` cannot be used: `port` is",
        "two": f"sink 'picky' ({file}:6): schemas_sk:Picky cannot be made with its `options`: Val",
    }.items():
        sink = processors[name].sink
        assert sink is not None
        with pytest.raises(SinkError) as caught:
            build_sink(sink)
        assert str(caught.value).startswith(begins)
