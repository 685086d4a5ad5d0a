"""The PostgreSQL sink on a real server: what is written, once, and what is said when it cannot be."""

from __future__ import annotations

import logging
import socket
import threading
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import psycopg
import pytest
from psycopg.types.json import Jsonb

from holdfast import Event
from holdfast.errors import SinkBehind, SinkDown, SinkError, SinkFenced
from holdfast.record import Position, TopicPartition, Write
from holdfast.sinks.base import Refusal, SinkBatch
from holdfast.sinks.postgres.sink import PostgresSink
from holdfast.sinks.postgres.writes import Delete, Execute, Insert, PostgresWrite, Upsert
from holdfast.testing import MemoryMessage
from tests.support.postgres import PostgresServer

pytestmark = [pytest.mark.integration, pytest.mark.timeout(90)]

PLACE = TopicPartition("orders", 3)

TABLES = """
CREATE TABLE totals (customer text PRIMARY KEY, total numeric, at timestamptz, tags text[], extra jsonb);
CREATE TABLE log (id int NOT NULL, text varchar(10));
CREATE TABLE parents (id int PRIMARY KEY);
CREATE TABLE children (
    id int PRIMARY KEY, parent int REFERENCES parents DEFERRABLE INITIALLY DEFERRED);
"""


@pytest.fixture
def database(postgres: PostgresServer) -> Iterator[str]:
    """Give a database with the tables of these tests."""
    with postgres.database() as name:
        with postgres.connect(name) as connection:
            connection.execute(TABLES)
        yield name


class Bench:
    """A sink with a look at its database."""

    def __init__(self, server: PostgresServer, database: str, timeout: float = 10.0) -> None:
        self.sink = PostgresSink("history", server.dsn(database), "holdfast_positions", timeout)
        self._server = server
        self._database = database

    def write(self, *made: tuple[int, PostgresWrite], **changes: Any) -> list[Refusal]:
        """Write what was made of records, by offset."""
        return list(self.sink.write(batch(*made, **changes)))

    def change(self, statement: str) -> None:
        """Change the database."""
        with self._server.connect(self._database) as connection:
            connection.execute(statement.encode())

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        """What the database answers."""
        with self._server.connect(self._database) as connection:
            return connection.execute(query.encode()).fetchall()


def batch(*made: tuple[int, PostgresWrite], **changes: Any) -> SinkBatch:
    """A batch of one partition."""
    offsets = [offset for offset, _ in made]
    parts: dict[str, Any] = {
        "begins": {PLACE: min(offsets, default=0)},
        "ends": {PLACE: max(offsets, default=-1) + 1},
        "fences": {PLACE: 7},
        "topic_ids": {"orders": "id-1"},
    }
    parts |= changes
    writes = [
        Write(MemoryMessage("orders", 3, offset, key=b"k", value=b"{}"), value) for offset, value in made
    ]
    return SinkBatch(group="shop.history", writes=writes, **parts)


@pytest.fixture
def bench(postgres: PostgresServer, database: str) -> Iterator[Bench]:
    """Give a sink on that database."""
    made = Bench(postgres, database)
    yield made
    made.sink.close()


def total(customer: str, amount: str | int, **more: Any) -> Upsert:
    return Upsert("totals", {"customer": customer, "total": amount, **more})


def test_values_arrive_as_the_types_of_their_columns(bench: Bench) -> None:
    """What pydantic writes as JSON is what PostgreSQL reads: numbers, times, arrays, documents."""
    at = datetime(2026, 11, 29, 9, 30, tzinfo=UTC)
    bench.write((0, total("ann", "1.50", at=at, tags=["a", "b"], extra={"x": [1, None]})))
    assert bench.rows("SELECT customer, total, at, tags, extra FROM totals") == [
        ("ann", Decimal("1.50"), at, ["a", "b"], {"x": [1, None]})
    ]


def test_an_event_is_a_row(bench: Bench) -> None:
    """Its fields are the columns."""

    class Total(Event):
        customer: str
        total: Decimal

    bench.write((0, Upsert("totals", Total(customer="ann", total=Decimal("2.25")))))
    assert bench.rows("SELECT customer, total FROM totals") == [("ann", Decimal("2.25"))]


def test_writes_act_as_if_they_came_one_by_one(bench: Bench) -> None:
    """The last state of a key counts, with the columns that only an earlier write gave."""
    bench.write(
        (0, total("ann", 1, extra={"first": True})),
        (1, total("bob", 5)),
        (2, total("ann", 2)),
        (3, Delete("totals", {"customer": "bob"})),
        (4, total("cid", 9)),
        (5, Delete("totals", {"customer": "cid"})),
        (6, total("cid", 10)),
        (7, Execute("UPDATE totals SET total = total + %s WHERE customer = %s", (100, "ann"))),
        (8, Insert("log", {"id": 1, "text": "one"})),
        (9, Insert("log", {"id": 1, "text": "two"})),
    )
    assert bench.rows("SELECT customer, total, extra FROM totals ORDER BY customer") == [
        ("ann", Decimal(102), {"first": True}),
        ("cid", Decimal(10), None),
    ]
    assert bench.rows("SELECT text FROM log ORDER BY text") == [("one",), ("two",)]


def test_a_fault_of_one_record_is_no_fault_of_one_that_relies_on_deferral(bench: Bench) -> None:
    """A child before its parent, which is what a deferred constraint is for, beside a real orphan."""
    refusals = bench.write(
        (0, Insert("children", {"id": 1, "parent": 5})),
        (0, Insert("parents", {"id": 5})),
        (1, Insert("children", {"id": 2, "parent": 404})),
    )
    assert [refusal.position.offset for refusal in refusals] == [1]
    assert bench.rows("SELECT id FROM children") == [(1,)]


def test_numbers_that_the_database_gives_follow_the_order_of_the_records(bench: Bench) -> None:
    """Also of rows that give different columns."""
    bench.change("CREATE TABLE numbered (id bigserial PRIMARY KEY, n int, text text)")
    rows = [{"n": 0}, {"n": 1, "text": "x"}, {"n": 2}, {"n": 3, "text": "y"}]
    bench.write(*((n, Insert("numbered", row)) for n, row in enumerate(rows)))
    assert bench.rows("SELECT n FROM numbered ORDER BY id") == [(0,), (1,), (2,), (3,)]


def test_a_key_is_the_databases_to_compare(bench: Bench) -> None:
    """A row that is deleted under another spelling of its key stays deleted."""
    bench.write(
        (0, Upsert("parents", {"id": 1})),
        (1, Upsert("parents", {"id": 2})),
        (2, Delete("parents", {"id": "1"})),
    )
    assert bench.rows("SELECT id FROM parents") == [(2,)]


def test_a_row_that_was_written_under_two_spellings_of_its_key_is_deleted(bench: Bench) -> None:
    """1.0 and 1 are one row, whose deletion comes after both."""
    bench.change("CREATE TABLE amounts (id numeric PRIMARY KEY)")
    bench.write(
        (0, Upsert("amounts", {"id": Decimal("1.0")})),
        (1, Upsert("amounts", {"id": 1})),
        (2, Delete("amounts", {"id": 1})),
    )
    assert bench.rows("SELECT id FROM amounts") == []


def test_columns_that_only_travel_with_a_key_are_no_part_of_it(bench: Bench) -> None:
    """`PRIMARY KEY (id) INCLUDE (name)`."""
    bench.change("CREATE TABLE carried (id int, name text, PRIMARY KEY (id) INCLUDE (name))")
    bench.write(
        (0, Upsert("carried", {"id": 1, "name": "a"})), (1, Upsert("carried", {"id": 1, "name": "b"}))
    )
    assert bench.rows("SELECT id, name FROM carried") == [(1, "b")]


def test_bytes_arrive_as_they_are(bench: Bench) -> None:
    """Also those that look like an escape, and those that are no text."""
    bench.change("CREATE TABLE blobs (id int PRIMARY KEY, content bytea)")
    contents = [b"plain", b"\\x41", b"\xff\x00\\", b""]
    bench.write(*((n, Upsert("blobs", {"id": n, "content": one})) for n, one in enumerate(contents)))
    assert bench.rows("SELECT content FROM blobs ORDER BY id") == [(one,) for one in contents]


def test_what_was_made_of_one_record_keeps_its_order_between_tables(bench: Bench) -> None:
    """A parent that is deleted after its child, in a record that makes another parent first."""
    bench.change("CREATE TABLE strict_children (id int PRIMARY KEY, parent int REFERENCES parents)")
    bench.write(
        (0, Insert("parents", {"id": 1})),
        (0, Insert("strict_children", {"id": 10, "parent": 1})),
    )
    refusals = bench.write(
        (1, Upsert("parents", {"id": 2})),
        (1, Delete("strict_children", {"id": 10})),
        (1, Delete("parents", {"id": 1})),
    )
    assert refusals == []
    assert bench.rows("SELECT id FROM parents") == [(2,)]


def test_a_batch_that_comes_again_counts_once(bench: Bench) -> None:
    """Also in another cut, and with records that are new."""
    first = [(n, Execute("INSERT INTO log VALUES (%s, 'x')", (n,))) for n in range(5)]
    bench.write(*first)
    bench.write(*first[2:], (5, Insert("log", {"id": 5, "text": "x"})))
    bench.write(*first)
    assert bench.rows("SELECT id FROM log ORDER BY id") == [(n,) for n in range(6)]
    assert bench.rows("SELECT topic, partition, position, fencing_token FROM holdfast_positions") == [
        ("orders", 3, 6, 7)
    ]


def test_workers_that_begin_together_make_the_table_of_positions_once(
    postgres: PostgresServer, database: str
) -> None:
    """`CREATE TABLE IF NOT EXISTS` fails for one of two that do it at the same moment."""
    benches = [Bench(postgres, database) for _ in range(8)]
    together = threading.Barrier(len(benches))

    def write(number: int) -> list[Refusal]:
        together.wait()
        return benches[number].write(ends={TopicPartition("orders", number): 1})

    with ThreadPoolExecutor(len(benches)) as pool:
        assert list(pool.map(write, range(len(benches)))) == [[]] * len(benches)
    assert benches[0].rows("SELECT count(*) FROM holdfast_positions") == [(len(benches),)]
    for bench in benches:
        bench.sink.close()


def test_a_topic_that_was_made_anew_is_read_from_its_start(bench: Bench) -> None:
    """Its offsets begin again: they may not be taken for what they were. Tokens go on."""
    bench.write((50, Insert("log", {"id": 50, "text": "old"})))
    anew: dict[str, Any] = {"topic_ids": {"orders": "id-2"}, "fences": {PLACE: 8}}
    bench.write((0, Insert("log", {"id": 0, "text": "new"})), **anew)
    bench.write((0, Insert("log", {"id": 0, "text": "new"})), **anew)
    assert bench.rows("SELECT id FROM log ORDER BY id") == [(0,), (50,)]


def test_an_owner_of_yesterday_writes_nothing(bench: Bench) -> None:
    """Its fencing token is smaller than the one in the database."""
    bench.write((0, total("ann", 1)))
    with pytest.raises(SinkFenced, match=r"orders\[3\] has been written by a newer owner"):
        bench.write((1, total("ann", 99)), fences={PLACE: 6})
    assert bench.rows("SELECT total FROM totals") == [(Decimal(1),)]


COPY = """
CREATE TABLE log_before AS TABLE log;
CREATE TABLE positions_before AS TABLE holdfast_positions;
"""
BACK = """
BEGIN;
TRUNCATE log, holdfast_positions;
INSERT INTO log TABLE log_before;
INSERT INTO holdfast_positions TABLE positions_before;
COMMIT;
"""


def entry(number: int) -> tuple[int, Insert]:
    return number, Insert("log", {"id": number, "text": "x"})


def test_a_standby_that_lagged_says_what_it_lacks_and_takes_it_again(bench: Bench) -> None:
    """It has less than is committed on Kafka: nothing is written before that came again."""
    bench.write(entry(0), entry(1))
    bench.change(COPY)
    bench.write(entry(2), entry(3))
    bench.change(BACK)
    with pytest.raises(
        SinkBehind, match=r"sink 'history': .* has lost what it had taken of orders\[3\] from offset 2 to 3 "
    ) as lost:
        bench.write(entry(4))
    assert lost.value.positions == {PLACE: 2}
    assert bench.rows("SELECT id FROM log ORDER BY id") == [(0,), (1,)]
    bench.write(*map(entry, range(2, 5)))
    assert bench.rows("SELECT id FROM log ORDER BY id") == [(n,) for n in range(5)]


def test_only_the_partitions_that_lack_something_go_back(bench: Bench) -> None:
    """The others of the batch are not to be handled again, and none of it is written."""
    other = TopicPartition("orders", 4)
    both: dict[str, Any] = {"fences": {PLACE: 7, other: 7}}
    bench.write(entry(0), begins={PLACE: 0, other: 0}, ends={PLACE: 1, other: 5}, **both)
    with pytest.raises(SinkBehind) as lost:
        bench.write(entry(1), begins={PLACE: 1, other: 8}, ends={PLACE: 2, other: 9}, **both)
    assert lost.value.positions == {other: 5}
    assert bench.rows("SELECT id FROM log") == [(0,)]


def test_a_database_that_knows_nothing_of_a_group_is_taken_for_new_and_it_is_said(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    """It may be; only a person knows."""
    with caplog.at_level(logging.WARNING):
        bench.write(entry(100))
        bench.write(entry(101))
    (said,) = [each for each in caplog.messages if "it is taken for new" in each]
    assert "knew nothing of orders[3], which stands at offset 100 for group shop.history" in said
    assert bench.rows("SELECT id FROM log ORDER BY id") == [(100,), (101,)]


@pytest.mark.parametrize("changes", [{"begins": {PLACE: 0}}, {"fences": {PLACE: 1}}], ids=["offset", "owner"])
def test_a_group_that_begins_is_no_news(
    bench: Bench, caplog: pytest.LogCaptureFixture, changes: dict[str, Any]
) -> None:
    """At the start of its input, or with the first owner of a shard that there is."""
    with caplog.at_level(logging.WARNING):
        bench.write(entry(100), **changes)
    assert caplog.messages == []


def test_records_that_make_nothing_move_the_positions(bench: Bench) -> None:
    """And so do the ends of transactions, which take offsets: or the database would look behind later."""
    bench.write(entry(0))
    bench.write(begins={PLACE: 1}, ends={PLACE: 9})
    bench.write(entry(10), begins={PLACE: 9}, ends={PLACE: 12})
    bench.write(entry(12))
    assert bench.rows("SELECT id FROM log ORDER BY id") == [(0,), (10,), (12,)]


def test_a_topic_that_was_made_anew_may_begin_anywhere(bench: Bench) -> None:
    """Its first records may be deleted already: nothing is lost that was ever taken."""
    bench.write(entry(50))
    bench.write(entry(7), topic_ids={"orders": "id-2"})
    bench.write(entry(8), topic_ids={"orders": "id-2"})
    assert bench.rows("SELECT id FROM log ORDER BY id") == [(7,), (8,), (50,)]


BAD: Mapping[str, PostgresWrite] = {
    "no number": total("ann", "many"),
    "too long": Insert("log", {"id": 1, "text": "far more than ten"}),
    "missing": Insert("log", {"text": "x"}),
    "orphan": Insert("children", {"id": 1, "parent": 404}),
    "not JSON": Insert("log", {"id": object()}),
    "no key": Upsert("totals", {"total": 1}),
    "no columns": Insert("log", {}),
    "no text": Execute("INSERT INTO log VALUES (1, %s)", ("\ud800",)),
    "too long for an index": Upsert("totals", {"customer": "x" * 1_000_000, "total": 1}),
    "no column": Insert("log", {1: 2}),  # type: ignore[dict-item]
    "no value": Execute("INSERT INTO log VALUES (1, %s)", (object(),)),
    "no JSON value": Execute("INSERT INTO log VALUES (1, %s)", (Jsonb(object()),)),
    "too many digits": Execute("INSERT INTO log VALUES (1, %s)", (10**5_000,)),
    "raised with a code of its own": Execute("DO $$ BEGIN RAISE 'no' USING ERRCODE = 'MY001'; END $$"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_record_that_is_refused_costs_only_itself(bench: Bench, name: str) -> None:
    """All others are written; the refusal says why. The same again is refused again, until Kafka knows it."""
    made = [(n, Insert("log", {"id": n, "text": "x"})) for n in range(20)]
    made[13:13] = [(100, BAD[name])]
    numbered = [(n, value) for n, (_, value) in enumerate(made)]
    (refusal,) = bench.write(*numbered)
    assert refusal.position == Position("orders", 3, 13)
    assert bench.rows("SELECT count(*) FROM log") == [(20,)]
    (again,) = bench.write(*numbered)
    assert again.position == refusal.position
    assert str(again.error) == str(refusal.error)
    assert bench.write((21, Insert("log", {"id": 21, "text": "x"}))) == []
    assert bench.rows("SELECT refused FROM holdfast_positions") == [({},)]


def test_a_refusal_says_what_the_database_says(bench: Bench) -> None:
    """With the value and the SQLSTATE."""
    (refusal,) = bench.write((0, total("ann", "many")))
    assert "many" in str(refusal.error)
    assert "[22P02]" in str(refusal.error)


@pytest.mark.parametrize(
    ("write", "text"),
    [
        (
            total("ann", "many"),
            'refuses it: Upsert into "totals" with key (customer): invalid input syntax for type numeric',
        ),
        (
            Insert("log", {"id": 1, "text": "far more than ten"}),
            'refuses it: Insert into "log": value too long for type character varying(10) [22001]',
        ),
        (
            Execute("INSERT INTO log VALUES (%s, 'x')", ("hello",)),
            "refuses it: Execute \"INSERT INTO log VALUES (%s, 'x')\": invalid input syntax for type integer",
        ),
        (
            Execute("INSERT INTO log VALUES (1, %s)", (object(),)),
            'refuses it: Execute "INSERT INTO log VALUES (1, %s)": cannot adapt type',
        ),
        (Execute("UPDATE totals SET total = 1 WHERE total = 1 / 0"), "division by zero [22012]"),
        (
            Delete("totals", {"customer": "x", "total": "y"}),
            'Delete from "totals" with key (customer, total): ',
        ),
        (
            Execute("INSERT INTO short_names VALUES ('far too long')"),
            'value for domain short violates check constraint "short_check"',
        ),
    ],
)
def test_a_refusal_says_which_write_it_was(bench: Bench, write: PostgresWrite, text: str) -> None:
    """Of several that were made of the record, beside others."""
    bench.change(
        "CREATE DOMAIN short AS text CHECK (length(VALUE) < 5); CREATE TABLE short_names (name short)"
    )
    made: list[PostgresWrite] = [total("bob", 1), write, total("cid", 2)]
    (refusal,) = bench.write((0, total("dan", 1)), *((1, each) for each in made))
    assert text in str(refusal.error)


def test_a_refusal_that_comes_before_a_statement_is_made_blames_no_other(bench: Bench) -> None:
    """The write before it went well."""
    (refusal,) = bench.write((0, total("bob", 1)), (0, Insert("log", {1: 2})))  # type: ignore[dict-item]
    assert "totals" not in str(refusal.error)


def test_what_was_made_of_one_record_is_written_as_a_whole(bench: Bench) -> None:
    """Of a record whose second write is refused, the first is not there either."""
    refusals = bench.write((0, total("ann", 1)), (0, total("bob", "x")), (1, total("cid", 3)))
    assert [refusal.position.offset for refusal in refusals] == [0]
    assert bench.rows("SELECT customer FROM totals") == [("cid",)]


WRONG: Mapping[str, tuple[PostgresWrite, str]] = {
    "table": (Upsert("totalz", {"a": 1}), "there is no table 'totalz' in database '"),
    "insert": (Insert("totalz", {"a": 1}), 'relation "totalz" does not exist'),
    "column": (total("ann", 1, totl=1), 'column "totl" of relation "totals" does not exist'),
    "key": (Upsert("log", {"id": 1}), "table 'log' has no primary key"),
    "constraint": (
        Upsert("log", {"id": 1}, key=("id",)),
        "no unique or exclusion constraint matching the ON CONFLICT",
    ),
    "parameters": (Execute("INSERT INTO log VALUES (%s, %s)", (1,)), "the query has 2 placeholders"),
    "syntax": (Execute("INSRT INTO log"), 'syntax error at or near "INSRT"'),
}


FAULTY: Mapping[str, tuple[PostgresWrite, str]] = {
    "constraint": (
        Upsert("log", {"id": 1}, key=("id",)),
        'cannot be written to, first of all for orders[3]@1: Upsert into "log" with key (id): there is no',
    ),
    "parameters": (
        Execute("INSERT INTO log VALUES (%s, %s)", (1,)),
        'orders[3]@1: Execute "INSERT INTO log VALUES (%s, %s)": the query has 2 placeholders',
    ),
    "syntax": (
        Execute("DELETE FROM log WHEER id = 1"),
        'orders[3]@1: Execute "DELETE FROM log WHEER id = 1": syntax error at or near',
    ),
}


@pytest.mark.parametrize("name", FAULTY)
def test_what_is_declared_wrongly_is_said_with_the_write_and_its_first_record(
    bench: Bench, name: str
) -> None:
    """Among others that are as they should be."""
    write, text = FAULTY[name]
    with pytest.raises(SinkError) as caught:
        bench.write((0, total("ann", 1)), (1, write), (2, total("bob", 1)), (3, write))
    assert text in str(caught.value)


def test_a_transaction_that_was_ended_behind_the_first_words_is_said(bench: Bench) -> None:
    """What an `Execute` begins with is looked at when it is made."""
    with pytest.raises(SinkError, match=r"\(the sink's transaction was ended .*an Execute must not"):
        bench.write((0, Execute("DELETE FROM log; COMMIT")))


@pytest.mark.parametrize("name", WRONG)
def test_what_is_declared_wrongly_is_said_and_nothing_is_set_aside(bench: Bench, name: str) -> None:
    """No record is to blame for a table that is not there."""
    write, text = WRONG[name]
    with pytest.raises(SinkError, match="sink 'history'") as caught:
        bench.write((0, total("ann", 1)), (1, write))
    assert text in str(caught.value)
    assert not isinstance(caught.value, SinkDown)
    assert bench.rows("SELECT count(*) FROM totals") == [(0,)]


def test_a_wrong_address_is_said(postgres: PostgresServer, database: str) -> None:
    """A password, a database or a name that no server will ever take; one that is away may come back."""
    dsns = {
        postgres.dsn(database, password="wrong"): (SinkError, "password authentication failed"),
        postgres.dsn("nowhere"): (SinkError, 'database "nowhere" does not exist'),
        "hots=127.0.0.1": (SinkError, "`dsn` cannot be used"),
        "postgresql//x:hunter2@db/x": (SinkError, "`dsn` cannot be used"),
        "postgresql://postgres:x@127.0.0.1:1/db": (SinkDown, "onnection refused"),
    }
    for dsn, (kind, text) in dsns.items():
        with pytest.raises(SinkError) as caught:
            PostgresSink("history", dsn, "holdfast_positions", 5).write(batch((0, total("a", 1))))
        assert type(caught.value) is kind
        assert text in str(caught.value)
        assert "hunter2" not in str(caught.value)


def test_a_server_that_was_killed_is_down_and_then_written_to_again(
    bench: Bench, postgres: PostgresServer
) -> None:
    """What was committed stays, and the next write connects again."""
    bench.write((0, total("ann", 1)))
    postgres.kill()
    with pytest.raises(SinkDown):
        bench.write((1, total("ann", 2)))
    postgres.start()
    bench.write((1, total("ann", 2)))
    assert bench.rows("SELECT total FROM totals") == [(Decimal(2),)]


def test_a_server_that_became_read_only_is_left_for_the_one_that_takes_writes(
    bench: Bench, postgres: PostgresServer
) -> None:
    """Its connections work as before: only a new one leads to where writes are taken now."""
    pids = "SELECT pid FROM pg_stat_activity WHERE application_name = 'holdfast history'"
    bench.write((0, total("ann", 1)))
    bench.sink.close()
    with postgres.connect("postgres") as admin:
        admin.execute(f"ALTER DATABASE {bench._database} SET default_transaction_read_only = on")
    with pytest.raises(SinkDown, match="25006"):
        bench.write((1, total("ann", 2)))
    with postgres.connect("postgres") as admin:
        admin.execute(f"ALTER DATABASE {bench._database} RESET default_transaction_read_only")
    bench.write((1, total("ann", 2)))
    first = bench.rows(pids)
    bench.write((2, total("ann", 3)))
    assert bench.rows(pids) == first
    assert bench.rows("SELECT total FROM totals") == [(Decimal(3),)]


def test_a_server_that_hangs_is_given_up_in_time(postgres: PostgresServer, database: str) -> None:
    """It takes the bytes and never answers: no timeout of the server's own can help."""
    bench = Bench(postgres, database, timeout=1.0)
    bench.write((0, total("ann", 1)))
    postgres.freeze()
    try:
        began = time.monotonic()
        with pytest.raises(SinkDown, match="no answer within its timeout of 1 s"):
            bench.write((1, total("ann", 2)))
        assert time.monotonic() - began < 5
    finally:
        postgres.thaw()
    bench.write((1, total("ann", 2)))
    assert bench.rows("SELECT total FROM totals") == [(Decimal(2),)]
    bench.sink.close()


def test_a_port_that_takes_connections_and_never_answers_is_given_up_in_time() -> None:
    """Connecting is bounded as well."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        began = time.monotonic()
        with pytest.raises(SinkDown):
            PostgresSink("history", f"host=127.0.0.1 port={port} dbname=x user=x", "p", 2).write(
                batch((0, total("a", 1)))
            )
        assert time.monotonic() - began < 10


def test_a_lock_that_others_hold_makes_it_wait_and_not_lose(bench: Bench, postgres: PostgresServer) -> None:
    """Somebody else's transaction on the row: the batch is given up, and written when it is tried again."""
    bench = Bench(postgres, bench._database, timeout=1.0)
    bench.write((0, total("ann", 1)))
    holder = psycopg.connect(postgres.dsn(bench._database))
    holder.execute("UPDATE totals SET total = 0 WHERE customer = 'ann'")
    with pytest.raises(
        SinkDown, match=r"longer than the sink's `timeout`; .* somebody else's lock.*\[57014\]"
    ):
        bench.write((1, total("ann", 2)))
    timer = threading.Timer(0.3, holder.rollback)
    timer.start()
    bench.write((1, total("ann", 2)))
    timer.join()
    holder.close()
    assert bench.rows("SELECT total FROM totals") == [(Decimal(2),)]
    bench.sink.close()


def test_a_user_who_may_not_create_tables_is_enough_if_the_positions_are_there(
    postgres: PostgresServer, database: str
) -> None:
    """And without them it is said what is missing."""
    with postgres.connect(database) as admin:
        admin.execute("DROP ROLE IF EXISTS clerk")
        admin.execute("CREATE ROLE clerk LOGIN PASSWORD 'pen'")
        admin.execute("GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO clerk")
    dsn = f"postgresql://clerk:pen@127.0.0.1:{postgres.port}/{database}"
    sink = PostgresSink("history", dsn, "holdfast_positions", 5)
    with pytest.raises(SinkError, match="permission denied for schema public"):
        sink.write(batch((0, total("ann", 1))))
    bench = Bench(postgres, database)
    bench.write()
    with postgres.connect(database) as admin:
        admin.execute("GRANT SELECT, INSERT, UPDATE ON holdfast_positions TO clerk")
    sink.write(batch((0, total("ann", 1))))
    assert bench.rows("SELECT total FROM totals") == [(Decimal(1),)]
    sink.close()
    bench.sink.close()
    with postgres.connect(database) as admin:
        admin.execute("DROP OWNED BY clerk")
        admin.execute("DROP ROLE clerk")
