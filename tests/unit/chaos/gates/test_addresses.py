"""What declarations of sinks say once a gate stands before their systems: only the address is another."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from psycopg.conninfo import conninfo_to_dict
from pydantic import TypeAdapter

from holdfast.chaos.gates.addresses import Behind, behind, doors_of
from holdfast.chaos.gates.manners import Door, Speech, Upstream
from holdfast.errors import ChaosError
from holdfast.sinks.postgres.dsn import dsn_problems
from holdfast.sinks.variables import expanded_dsn
from holdfast.topology.sink_decls import SinkDecl

_DECL: TypeAdapter[Any] = TypeAdapter(SinkDecl)


@pytest.fixture(autouse=True)
def no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test depends on what this machine says of a PostgreSQL, or of proxies."""
    of_libpq = ("PGHOST", "PGHOSTADDR", "PGPORT", "PGSERVICE", "PGSERVICEFILE", "PGSSLMODE")
    of_proxies = ("http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY")
    for name in (*of_libpq, *of_proxies):
        monkeypatch.delenv(name, raising=False)


def sink(kind: str, **keys: Any) -> Any:
    """A declaration."""
    return _DECL.validate_python({"type": kind, "<name>": "db-1", **keys})


def led(*ports: int, kind: str = "postgres", **keys: Any) -> tuple[list[Upstream | None], Behind]:
    """Where the system of a declaration is, and what leads to a gate on some ports."""
    decl = sink(kind, **keys)
    return [door.upstream for door in doors_of(decl)], behind(decl, ports)


@pytest.mark.parametrize(
    ("url", "upstream", "instead"),
    [
        ("http://a.internal/v1", Upstream("a.internal", 80), "http://127.0.0.1:7/v1"),
        ("http://[::1]:8080", Upstream("::1", 8080), "http://127.0.0.1:7"),
        ("https://a.internal/v1/", Upstream("a.internal", 443, tls=True), "http://127.0.0.1:7/v1/"),
        ("https://ann:p%40ss@a/@b", Upstream("a", 443, tls=True), "http://ann:p%40ss@127.0.0.1:7/@b"),
    ],
)
def test_a_service_keeps_its_user_and_its_path(url: str, upstream: Upstream, instead: str) -> None:
    decl = sink("http", url=url)
    assert doors_of(decl) == (Door(upstream, Speech.HTTP),)
    assert behind(decl, [7]).keys == {"url": instead}


@pytest.mark.parametrize(
    ("upstream", "said"),
    [
        (Upstream("a", 80), "a"),
        (Upstream("a", 443), "a:443"),
        (Upstream("a", 443, tls=True), "a"),
        (Upstream("::1", 8080), "[::1]:8080"),
    ],
)
def test_a_service_is_called_by_its_name_and_a_port_that_is_not_the_usual_one(
    upstream: Upstream, said: str
) -> None:
    assert upstream.authority == said


@pytest.mark.parametrize(
    ("url", "variable"), [("https://a.internal/v1", "HTTPS_PROXY"), ("http://a.internal", "HTTP_PROXY")]
)
def test_a_service_that_only_a_proxy_reaches_is_refused(
    monkeypatch: pytest.MonkeyPatch, url: str, variable: str
) -> None:
    """The gate would dial it past the proxy. What the proxy is called may hold a password."""
    monkeypatch.setenv(variable, "http://ann:secret@proxy.internal:3128")
    with pytest.raises(ChaosError, match=f"{variable} has a.internal called through a proxy") as refused:
        doors_of(sink("http", url=url))
    assert "secret" not in str(refused.value)
    monkeypatch.setenv("NO_PROXY", ".internal")
    assert doors_of(sink("http", url=url))


def test_redis_keeps_its_user_its_variables_and_its_database(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PASSWORD", "pass@word")
    monkeypatch.setenv("CACHE", "cache.internal")
    url = "rediss://ann:${PASSWORD}@${CACHE}/3"
    found, told = led(7, kind="redis", url=url)
    assert found == [Upstream("cache.internal", 6379, tls=True)]
    assert told.keys == {"url": "redis://ann:${PASSWORD}@127.0.0.1:7/3"}


def test_each_sentinel_has_a_door_and_so_has_the_master() -> None:
    decl = sink("redis", sentinels=["one:1", "[::1]"], master="shop", password="x")
    assert doors_of(decl) == (
        Door(None, master="shop"),
        Door(Upstream("one", 1), Speech.SENTINEL, "shop"),
        Door(Upstream("::1", 26379), Speech.SENTINEL, "shop"),
    )
    assert behind(decl, [7, 8, 9]).keys == {"sentinels": ["127.0.0.1:8", "127.0.0.1:9"]}


@pytest.mark.parametrize(
    "dsn",
    [
        "host=db.internal port=5433 user=ann password='a b' dbname=shop sslmode=verify-full",
        "postgresql://ann:a%20b@db.internal:5433/shop?sslmode=verify-full",
    ],
)
def test_postgres_keeps_everything_but_the_address_that_is_dialled(dsn: str) -> None:
    """The name stays, which certificates and files of passwords are looked up by."""
    found, told = led(7, dsn=dsn)
    assert found == [Upstream("db.internal", 5433)]
    assert told.environment == {}
    assert list(dsn_problems(told.keys["dsn"])) == []
    assert conninfo_to_dict(told.keys["dsn"]) == {
        **conninfo_to_dict(dsn),
        "hostaddr": "127.0.0.1",
        "port": "7",
    }


@pytest.mark.parametrize("dsn", ["host=a,b port=1,2 dbname=shop", "postgresql://a:1,b:2/shop"])
def test_each_of_several_servers_has_a_door(dsn: str) -> None:
    found, told = led(7, 8, dsn=dsn)
    assert found == [Upstream("a", 1), Upstream("b", 2)]
    options = conninfo_to_dict(told.keys["dsn"])
    assert (options["host"], options["hostaddr"], options["port"]) == ("a,b", "127.0.0.1,127.0.0.1", "7,8")


def test_one_port_is_that_of_all_servers_and_an_address_is_dialled_instead_of_a_name() -> None:
    found, told = led(7, 8, dsn="host=a,b hostaddr=10.0.0.1,10.0.0.2 port=1")
    assert found == [Upstream("10.0.0.1", 1), Upstream("10.0.0.2", 1)]
    assert conninfo_to_dict(told.keys["dsn"])["host"] == "a,b"


def test_what_the_address_does_not_say_comes_from_the_variables_of_libpq(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PGHOST", "db.internal")
    monkeypatch.setenv("PGPORT", "5433")
    found, told = led(7, dsn="dbname=shop")
    assert found == [Upstream("db.internal", 5433)]
    assert conninfo_to_dict(told.keys["dsn"]) == {
        "dbname": "shop",
        "host": "db.internal",
        "hostaddr": "127.0.0.1",
        "port": "7",
    }


def test_a_file_of_services_is_read_as_libpq_reads_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "services"
    file.write_text("[shop]\nhost=db.internal\nport=5433\ndbname=orders\n")
    monkeypatch.setenv("PGSERVICEFILE", str(file))
    found, told = led(7, dsn="service=shop user=ann")
    assert found == [Upstream("db.internal", 5433)]
    options = conninfo_to_dict(told.keys["dsn"])
    assert (options["service"], options["hostaddr"], options["port"]) == ("shop", "127.0.0.1", "7")


def test_a_socket_of_the_machine_is_dialled_by_the_gate() -> None:
    """Clients reach it over TCP then, and ask for TLS as little as they did."""
    found, told = led(7, dsn="host=/run/db port=5433 sslmode=require")
    assert found == [Upstream("/run/db/.s.PGSQL.5433", 5433)]
    options = conninfo_to_dict(told.keys["dsn"])
    assert (options["host"], options["sslmode"]) == ("localhost", "disable")


def test_variables_within_an_address_stay_and_one_that_is_all_of_it_gets_another(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """So that no password is written into a file."""
    monkeypatch.setenv("PASSWORD", "it's")
    monkeypatch.setenv("WHOLE", "host=a password=secret")
    _, told = led(7, dsn="host=a password=${PASSWORD}")
    assert "${PASSWORD}" in told.keys["dsn"]
    assert conninfo_to_dict(expanded_dsn(told.keys["dsn"]))["password"] == "it's"
    _, told = led(7, dsn="${WHOLE}")
    assert told.keys == {"dsn": "${HOLDFAST_GATE_DB_1}"}
    options = conninfo_to_dict(told.environment["HOLDFAST_GATE_DB_1"])
    assert (options["password"], options["port"]) == ("secret", "7")
    assert "secret" not in repr(told)


@pytest.mark.parametrize(
    ("kind", "keys"),
    [
        ("http", {"url": "https://a.internal/v1", "headers": {"X-Key": "${KEY}"}, "timeout": "4s"}),
        ("postgres", {"dsn": "host=a", "positions": "mine"}),
        ("redis", {"url": "redis://a/1"}),
        ("redis", {"sentinels": ["a:1", "b:1"], "master": "shop", "replicas": 2}),
    ],
)
def test_a_file_can_say_it_and_all_else_stays(kind: str, keys: dict[str, Any]) -> None:
    decl, told = sink(kind, **keys), behind(sink(kind, **keys), [7, 8, 9])
    again = sink(kind, **{**keys, **told.keys})
    changed = {name for name in type(decl).model_fields if getattr(decl, name) != getattr(again, name)}
    assert changed == set(told.keys)


@pytest.mark.parametrize(
    ("decl", "text"),
    [
        (sink("parquet", path="/data"), r'sink "db-1" \(parquet\): it is a folder'),
        (sink("kafka", bootstrap_servers="a:1"), "lead them past any gate"),
        (sink("custom", sink="shop:Sink"), "only its own class"),
        (sink("postgres", dsn="${NOT_THERE}"), "needs the environment variable NOT_THERE"),
    ],
)
def test_what_no_gate_can_stand_before_is_refused(decl: Any, text: str) -> None:
    with pytest.raises(ChaosError, match=text):
        doors_of(decl)
