"""Addresses of PostgreSQL that can never lead to a database: each is told, and no password is."""

from __future__ import annotations

import socket

import psycopg
import pytest

from holdfast.errors import SinkDown, SinkError
from holdfast.sinks.postgres.dsn import dsn_problems
from holdfast.sinks.postgres.judge import judge_connecting
from holdfast.sinks.postgres.sink import PostgresSink

WRONG = {
    "hots=127.0.0.1": 'there is no option "hots"; did you mean "host"?',
    "host=h bogus=1": 'there is no option "bogus"',
    "postgresql://shop:hunter2@h/db?sslmod=require": 'there is no option "sslmod"; did you mean "sslmode"?',
    "postgresql://shop:hunter2@h/db?bogus=1": 'there is no option "bogus"',
    "postgresql://shop:1/x?hunter2=y@h/db": "what follows its `?` is no option; in a name or password a `?` ",
    "host=h password=x hunter2=y": "what stands after `password` is no option; write one with blanks",
    "host=h password=x hunter2": "what stands after `password` has no `=`; write a value with blanks",
    "shop": "it has no option with a value; write a URI (postgresql://user@host/db) or pairs (host=..",
    "hunter2": "it has no option with a value; write a URI",
    "postgresql//x:hunter2@db/x": "it has no option with a value; write a URI",
    "mysql://root:hunter2@h/db": "a URI of PostgreSQL begins with postgresql://, and not with mysql://",
    "host=h password='hunter2": "the quote that `password` begins with has no end",
    "postgresql://shop:hunter2%zz@h/db": "in a URI a `%` is written %25, and two hexadecimal digits follow",
    "postgresql://h/db?sslmode": "what follows the `?` of a URI are options, such as ?sslmode=require&",
    "postgresql://shop:hunter2@[::1/db": "it is no URI that libpq reads, such as postgresql://user@host:5432/db",
    "postgresql://shop:hunter2@h:99999/db": "`port` is a number from 1 to 65535, not '99999'",
    "postgresql://h:0/db": "`port` is a number from 1 to 65535, not '0'",
    "postgresql://h1:5432,h2:543a/db": "`port` is a number from 1 to 65535, not '543a'",
    "host=h port=abc": "`port` is a number from 1 to 65535, not 'abc'",
    "postgresql://shop:hunter2/x@h/db": "`port` is no number from 1 to 65535; in a name or password of a URI",
    "host=a,b port=1,2,3": "`port` has 3 values for 2 of `host`",
    "host=h sslmode=requir": "`sslmode` cannot be 'requir'",
    "postgresql://h/db?target_session_attrs=write": "`target_session_attrs` cannot be 'write'",
    "host=h keepalives_count=many": "`keepalives_count` is no whole number: 'many'",
}

RIGHT = (
    "dbname=shop",
    "postgresql://shop:hunter2@db.internal/shop",
    "postgres://h1:5432,h2:5433/db?target_session_attrs=read-write",
    "host=h1,h2 port=5432",
    "host = h port = ' 5432 ' password = 'a b\\'c'",
    "postgresql://[::1]:5432/db?connect_timeout=5",
    "postgresql://h:/db",
    "service=shop",
    "host=h sslmode=verify-full sslrootcert=/nowhere keepalives=1",
    "postgresql:///db?host=/var/run/postgresql",
    "dbname=shop port=5432,5433 target_session_attrs=read-write",
    "service=shop host=h port=5432,5433",
)


@pytest.mark.parametrize("dsn", WRONG)
def test_an_address_that_can_never_work_is_told_with_its_option(dsn: str) -> None:
    """Before anything connects; a sink of it is not made."""
    (told,) = dsn_problems(dsn)
    assert told.startswith(WRONG[dsn])
    assert "hunter2" not in told
    with pytest.raises(SinkError) as caught:
        PostgresSink("history", dsn, "holdfast_positions", 5)
    assert str(caught.value) == f"sink 'history': its `dsn` cannot be used: {told}"


@pytest.mark.parametrize("dsn", RIGHT)
def test_an_address_that_may_work_is_taken(dsn: str) -> None:
    """Whatever its server says later."""
    assert list(dsn_problems(dsn)) == []


def test_several_mistakes_of_an_address_are_told_together() -> None:
    """But for those that libpq finds one after the other."""
    assert list(dsn_problems("host=h port=0 keepalives=no sslmode=x")) == [
        "`port` is a number from 1 to 65535, not '0'",
        "`keepalives` is no whole number: 'no'",
        "`sslmode` cannot be 'x'",
    ]


def test_a_variable_of_this_machine_is_no_mistake_of_the_address(monkeypatch: pytest.MonkeyPatch) -> None:
    """The worker, which may run elsewhere, has its own."""
    monkeypatch.setenv("PGSSLMODE", "nonsense")
    monkeypatch.setenv("PGSERVICE", "nowhere")
    assert list(dsn_problems("host=h")) == []


@pytest.mark.parametrize("variable", ["PGSERVICE", "PGHOSTADDR"])
def test_ports_are_not_counted_where_a_variable_says_how_many_servers_there_are(
    monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    """For libpq counts the addresses of the variable or the service, and not the names of the `dsn`."""
    assert list(dsn_problems("host=h port=5432,5433")) == ["`port` has 2 values for 1 of `host`"]
    monkeypatch.setenv(variable, "127.0.0.1,127.0.0.2")
    assert list(dsn_problems("host=h port=5432,5433")) == []
    if variable == "PGHOSTADDR":
        found = ["`port` has 3 values for 1 of `hostaddr`"]
        assert list(dsn_problems("host=h hostaddr=127.0.0.1 port=1,2,3")) == found


def test_an_address_is_judged_without_connecting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where libpq's variables say where a server is."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setblocking(False)
        monkeypatch.setenv("PGHOSTADDR", "127.0.0.1")
        monkeypatch.setenv("PGPORT", str(server.getsockname()[1]))
        assert list(dsn_problems("host=h sslmode=disable")) == []
        with pytest.raises(BlockingIOError):
            server.accept()


@pytest.mark.parametrize(
    ("variable", "value"),
    [("PGPORT", "99999"), ("PGPORT", "abc"), ("PGSSLMODE", "nonsense"), ("PGSERVICE", "nowhere")],
)
def test_an_option_of_libpqs_variables_that_leads_nowhere_is_no_outage(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str
) -> None:
    """Waiting would not mend it."""
    monkeypatch.setenv(variable, value)
    with pytest.raises(psycopg.Error) as caught:
        psycopg.connect("host=127.0.0.1 dbname=x user=x")
    judged = judge_connecting(caught.value, "history")
    assert isinstance(judged, SinkError)
    assert not isinstance(judged, SinkDown)
    assert value in str(judged)


def test_a_server_that_is_away_is_an_outage() -> None:
    """Somebody else may be behind that port soon."""
    with pytest.raises(psycopg.Error) as caught:
        psycopg.connect("host=127.0.0.1 port=1 dbname=x user=x")
    assert isinstance(judge_connecting(caught.value, "history"), SinkDown)
