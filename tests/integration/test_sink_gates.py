"""Gates before databases: what passes, what a fault does to clients, and that nothing is left of it."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psutil
import psycopg
import pytest
import redis

from holdfast.chaos.faults.fault import Fault
from holdfast.chaos.faults.sinks import SystemDown, SystemSlow
from holdfast.chaos.gates.addresses import Behind
from holdfast.chaos.gates.gates import Gates
from holdfast.chaos.gates.manners import Door, Kind, Manner, Upstream
from holdfast.chaos.helpers import Helper
from holdfast.errors import ChaosError, FaultFailed
from holdfast.local.ports import free_ports
from holdfast.sinks.redis.connection import Address, BoundedConnection
from holdfast.topology import Topology
from holdfast.topology.sink_decls import RedisSinkDecl
from tests.support.gates import declared
from tests.support.postgres import PostgresServer
from tests.support.redis import RedisServer, SentinelSetup

pytestmark = [pytest.mark.integration, pytest.mark.timeout(120)]

Declare = Callable[..., Topology]


@pytest.fixture
def declare(tmp_path: Path) -> Declare:
    """Give a function that makes a topology with some sinks."""
    return partial(declared, tmp_path)


@pytest.fixture
def database(postgres: PostgresServer) -> Iterator[str]:
    """A database with a table of numbers, by its address."""
    with postgres.database() as name:
        with postgres.connect(name) as connection:
            connection.execute("CREATE TABLE numbers (n int PRIMARY KEY)")
        yield postgres.dsn(name)


@pytest.fixture
def to_postgres(declare: Declare, database: str) -> Iterator[Gates]:
    """A gate before that database."""
    with Gates(declare(db={"type": "postgres", "dsn": database}), ["db"]) as gates:
        yield gates


@pytest.fixture
def to_redis(declare: Declare, redis_server: RedisServer) -> Iterator[Gates]:
    """A gate before Redis."""
    with Gates(declare(cache={"type": "redis", "url": redis_server.url}), ["cache"]) as gates:
        yield gates


class Writer:
    """Writes 0, 1, 2, ... to a database, each until it is known to be there, on one connection at a time."""

    def __init__(self, dsn: str) -> None:
        self.acknowledged = 0
        self.failures: list[str] = []
        self._dsn = dsn
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._write)

    def __enter__(self) -> Writer:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def wait_for_more(self, count: int) -> None:
        """Until so many more are written."""
        wanted, deadline = self.acknowledged + count, time.monotonic() + 30
        while self.acknowledged < wanted:
            assert time.monotonic() < deadline, self.failures
            time.sleep(0.01)

    def _write(self) -> None:
        while not self._over.is_set():
            try:
                with psycopg.connect(self._dsn, autocommit=True, connect_timeout=5) as connection:
                    while not self._over.is_set():
                        text = "INSERT INTO numbers VALUES (%s) ON CONFLICT DO NOTHING"
                        connection.execute(text, [self.acknowledged])
                        self.acknowledged += 1
            except psycopg.OperationalError as error:
                self.failures.append(str(error))
                self._over.wait(0.05)


def last(fault: Fault, seconds: float) -> tuple[Any, Any]:
    """Let a fault happen for so long; what it says of its begin and its end."""
    began = fault.begin()
    time.sleep(seconds)
    return began, fault.end()


def gate_processes() -> list[psutil.Process]:
    """The processes with gates that are ours."""
    own = psutil.Process().children()
    return [each for each in own if "holdfast.chaos.gates.process" in each.cmdline()]


# -- PostgreSQL


def test_a_writer_survives_that_its_database_is_down_and_slow(to_postgres: Gates, database: str) -> None:
    """What it wrote is there, each number once, and it was hindered both times."""
    dsn = str(to_postgres.keys["db"]["dsn"])
    with Writer(dsn) as writer:
        writer.wait_for_more(50)
        began, ended = last(SystemDown(to_postgres, ["db"]), 0.5)
        assert began == {"refused": ["db"], "reset": {"db": 1}}
        assert ended == {"taken": ["db"]}
        writer.wait_for_more(50)
        _, ended = last(SystemSlow(to_postgres, ["db"], 0.2), 1.5)
        assert ended["held"]["db"] >= 3
        assert 0.2 <= ended["longest"]["db"] < 1.0
        writer.wait_for_more(50)
    assert any("refused" in text for text in writer.failures), writer.failures
    with psycopg.connect(database) as connection:
        found = [n for (n,) in connection.execute("SELECT n FROM numbers ORDER BY n")]
    assert found[: writer.acknowledged] == list(range(writer.acknowledged))


def test_going_down_resets_a_query_that_is_under_way(to_postgres: Gates) -> None:
    dsn = str(to_postgres.keys["db"]["dsn"])
    with psycopg.connect(dsn) as connection, ThreadPoolExecutor(1) as pool:
        asked = pool.submit(connection.execute, "SELECT pg_sleep(60)")
        time.sleep(0.3)
        down = SystemDown(to_postgres, ["db"])
        assert down.begin()["reset"] == {"db": 1}
        with pytest.raises(psycopg.OperationalError):
            asked.result(5)
        down.end()


def test_a_large_answer_passes_a_slow_gate_in_its_order(to_postgres: Gates) -> None:
    """More than a gate holds: it reads on when there is room, and nothing is lost or overtaken."""
    dsn = str(to_postgres.keys["db"]["dsn"])
    with psycopg.connect(dsn) as connection:
        to_postgres.become("db", Manner(Kind.SLOW, delay_s=0.1))
        found = connection.execute(
            "SELECT n, repeat('x', 200) FROM generate_series(1, 20000) AS n"
        ).fetchall()
        assert [n for n, _ in found] == list(range(1, 20_001))


@pytest.mark.parametrize("manner", [Manner(), Manner(Kind.SLOW, delay_s=60.0)], ids=["open", "slow"])
def test_a_gate_holds_little_of_an_answer_that_nobody_reads(to_postgres: Gates, manner: Manner) -> None:
    """The system has to wait then, as it does without a gate; 200 MB would be seen."""
    dsn = str(to_postgres.keys["db"]["dsn"])
    (process,) = gate_processes()
    with psycopg.connect(dsn) as connection:
        to_postgres.become("db", manner)
        before = process.memory_info().rss
        connection.pgconn.send_query(b"SELECT repeat('x', 1000) FROM generate_series(1, 200000)")
        deadline = time.monotonic() + 3
        while time.monotonic() < deadline:
            assert process.memory_info().rss - before < 30_000_000
            time.sleep(0.05)
        connection.pgconn.finish()


def test_an_address_that_is_a_variable_or_that_libpq_completes_leads_to_the_gate(
    declare: Declare, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No password is in what the topology says then."""
    split = urlsplit(database)
    monkeypatch.setenv("DSN", database)
    monkeypatch.setenv("PGHOST", str(split.hostname))
    monkeypatch.setenv("PGPORT", str(split.port))
    monkeypatch.setenv("PGPASSWORD", "secret")
    topology = declare(
        whole={"type": "postgres", "dsn": "${DSN}"},
        pairs={"type": "postgres", "dsn": f"dbname={split.path[1:]} user=postgres"},
        uri={
            "type": "postgres",
            "dsn": f"postgresql://postgres@{split.netloc.rpartition('@')[2]}{split.path}",
        },
    )
    with Gates(topology, ["whole", "pairs", "uri"]) as gates:
        for name in gates.names:
            told = gates.keys[name]["dsn"]
            assert "secret" not in told
            dsn = gates.environment.get("HOLDFAST_GATE_WHOLE", "") if name == "whole" else told
            with psycopg.connect(dsn) as connection:
                assert connection.info.port == gates.ports(name)[0]
                assert connection.execute("SELECT current_database()").fetchone() == (split.path[1:],)


def test_a_socket_of_the_machine_is_reached_through_a_port(declare: Declare, tmp_path: Path) -> None:
    """Bytes go both ways, and the end of one way does not end the other."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / ".s.PGSQL.5433"))
        listener.listen()
        topology = declare(db={"type": "postgres", "dsn": f"host={tmp_path} port=5433"})
        with (
            Gates(topology, ["db"]) as gates,
            socket.create_connection(("127.0.0.1", gates.ports("db")[0]), timeout=10) as client,
        ):
            server, _ = listener.accept()
            with server:
                client.sendall(b"asked")
                client.shutdown(socket.SHUT_WR)
                assert server.recv(100) + server.recv(100) == b"asked"
                server.sendall(b"said")
            assert client.recv(100) + client.recv(100) == b"said"


# -- Redis


def test_redis_is_refused_while_it_is_down_and_late_while_it_is_slow(to_redis: Gates) -> None:
    url = str(to_redis.keys["cache"]["url"])
    with redis.Redis.from_url(url, retry=None, socket_timeout=5) as client:
        client.set("gates", "1")
        down = SystemDown(to_redis, ["cache"])
        down.begin()
        with pytest.raises(redis.ConnectionError):
            client.get("gates")
        with pytest.raises(redis.ConnectionError, match="refused"):
            client.get("gates")
        down.end()
        assert client.get("gates") == b"1"
        slow = SystemSlow(to_redis, ["cache"], 0.3)
        slow.begin()
        began = time.monotonic()
        assert client.incr("gates") == 2
        assert time.monotonic() - began >= 0.3
        assert slow.end()["longest"]["cache"] >= 0.3
        began = time.monotonic()
        assert client.incr("gates") == 3
        assert time.monotonic() - began < 0.3


def test_what_is_held_goes_when_the_gate_is_slow_no_more(to_redis: Gates) -> None:
    url = str(to_redis.keys["cache"]["url"])
    with redis.Redis.from_url(url, retry=None, socket_timeout=20) as client, ThreadPoolExecutor(1) as pool:
        client.ping()
        slow = SystemSlow(to_redis, ["cache"], 15.0)
        slow.begin()
        answer = pool.submit(client.ping)
        time.sleep(0.3)
        assert not answer.done()
        assert slow.end()["held"] == {"cache": 1}
        assert answer.result(2)


def test_a_fault_that_met_nobody_has_not_happened(to_redis: Gates) -> None:
    slow = SystemSlow(to_redis, ["cache"], 1.0)
    slow.begin()
    with pytest.raises(FaultFailed, match="cache said nothing meanwhile"):
        slow.end()


def test_sentinel_leads_through_the_gate_also_after_a_fail_over(
    declare: Declare, redis_sentinel: SentinelSetup
) -> None:
    """The client finds the master as ever, by asking; the gate's door leads to whoever that is."""
    topology = declare(cache={"type": "redis", **redis_sentinel.settings})
    with Gates(topology, ["cache"]) as gates:
        sentinels, decl = tuple(gates.keys["cache"]["sentinels"]), topology.sink("cache")
        assert isinstance(decl, RedisSinkDecl)
        assert [int(pair.rpartition(":")[2]) for pair in sentinels] == list(gates.ports("cache")[1:])
        connection = BoundedConnection(Address(sentinels=sentinels, master=decl.master), 5.0, "cache")
        with connection.used(lambda: None):
            assert connection.server == f"127.0.0.1:{gates.ports('cache')[0]}"
            assert connection.ask("SET", "gates", "before") == b"OK"
        dead = redis_sentinel.kill_master()
        try:
            connection.close()
            with connection.used(lambda: None):
                assert connection.ask("SET", "gates", "after") == b"OK"
            with redis_sentinel.client() as client:
                assert client.get("gates") == "after"
            assert last(SystemDown(gates, ["cache"]), 0.1)[0]["reset"]["cache"] >= 1
        finally:
            dead.start()
            redis_sentinel.wait_until_whole()


# -- the gates themselves


def test_a_system_that_is_down_itself_looks_so_through_its_gate(declare: Declare) -> None:
    (port,) = free_ports(1)
    topology = declare(cache={"type": "redis", "url": f"redis://127.0.0.1:{port}"})
    with Gates(topology, ["cache"]) as gates:
        url = str(gates.keys["cache"]["url"])
        with redis.Redis.from_url(url, retry=None) as client, pytest.raises(redis.ConnectionError):
            client.ping()


def test_what_has_no_address_is_refused_by_name(declare: Declare) -> None:
    topology = declare(files={"type": "parquet", "path": "/data"})
    with pytest.raises(ChaosError, match=r'sink "files".*it is a folder'):
        Gates(topology, ["files"])


def test_gates_go_down_and_up_again_and_again_under_load(to_redis: Gates) -> None:
    """Each time connections are refused, and each time they are taken afterwards."""
    url = str(to_redis.keys["cache"]["url"])
    over = threading.Event()
    seen: Counter[str] = Counter()

    def use() -> None:
        with redis.Redis.from_url(url, retry=None, socket_timeout=5) as client:
            while not over.is_set():
                try:
                    client.ping()
                    seen["answered"] += 1
                except redis.ConnectionError:
                    seen["failed"] += 1

    with ThreadPoolExecutor(8) as pool:
        futures = [pool.submit(use) for _ in range(8)]
        try:
            for _ in range(20):
                last(SystemDown(to_redis, ["cache"]), 0.05)
        finally:
            over.set()
        for future in futures:
            future.result()
    assert seen["answered"]
    assert seen["failed"]


def test_a_port_that_is_shut_is_nobody_elses(to_redis: Gates) -> None:
    """Also after connections of its own, which are forgotten only after a minute."""
    (port,) = to_redis.ports("cache")
    url = str(to_redis.keys["cache"]["url"])
    for _ in range(3):
        with redis.Redis.from_url(url, retry=None) as client:
            assert client.ping()
        to_redis.become("cache", Manner(Kind.DOWN))
        with socket.socket() as other:
            other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            with pytest.raises(OSError, match="in use"):
                other.bind(("127.0.0.1", port))
        to_redis.become("cache", Manner())


def test_gates_are_shut_when_their_process_has_all_the_files_it_may_have(to_redis: Gates) -> None:
    """Under load it may have: nothing has to be opened for that."""
    (process,) = gate_processes()
    limits = process.rlimit(psutil.RLIMIT_NOFILE)
    process.rlimit(psutil.RLIMIT_NOFILE, (3, limits[1]))
    SystemDown(to_redis, ["cache"]).begin()
    process.rlimit(psutil.RLIMIT_NOFILE, limits)
    SystemDown(to_redis, ["cache"]).end()


def test_what_gates_cannot_do_is_told_and_they_go_on(to_redis: Gates) -> None:
    with pytest.raises(ChaosError, match="the gate of sink 'others' cannot do what it was asked: KeyError"):
        to_redis.counts("others")
    assert to_redis.counts("cache").connections == 0


def test_all_doors_of_a_gate_are_open_or_none() -> None:
    """One that cannot listen leaves the gate as it was; that is told, and it can be opened later."""
    nobody = Door(Upstream("127.0.0.1", 1))
    gates = Helper(
        "tests.support.stuck_gates", "gates", {"gates": {"db": [nobody, nobody]}, "seed": 7}, loss=""
    )
    try:
        ports = gates.first["ports"]["db"]
        shut, opened = Manner(Kind.DOWN).as_json(), Manner().as_json()
        gates.ask({"sink": "db", "manner": shut})
        with pytest.raises(ChaosError, match=r"the gate of sink 'db' cannot .*Address already in use"):
            gates.ask({"sink": "db", "manner": opened})
        assert [is_taken(port) for port in ports] == [False, False]
        for manner, is_open in ((opened, True), (shut, False)):
            gates.ask({"sink": "db", "manner": manner})
            assert [is_taken(port) for port in ports] == [is_open, is_open]
    finally:
        gates.end()


def is_taken(port: int) -> bool:
    """Whether a port of loopback takes a connection."""
    try:
        socket.create_connection(("127.0.0.1", port), timeout=5).close()
    except ConnectionRefusedError:
        return False
    except ConnectionResetError:
        pass  # taken, and given up before we were told: there is nobody behind that door
    return True


@pytest.mark.parametrize("error", [KeyboardInterrupt, ChaosError])
def test_no_process_is_left_of_gates_that_are_not_made(
    declare: Declare, monkeypatch: pytest.MonkeyPatch, error: type[BaseException]
) -> None:
    def behind(*_: Any) -> Behind:
        raise error

    monkeypatch.setattr("holdfast.chaos.gates.gates.behind", behind)
    with pytest.raises(error):
        Gates(declare(cache={"type": "redis", "url": "redis://127.0.0.1:1"}), ["cache"])
    assert gate_processes() == []


def test_gates_whose_process_has_ended_say_so(to_redis: Gates) -> None:
    """So a fault that cannot happen any more is told, and nothing waits for it."""
    (process,) = gate_processes()
    process.kill()
    process.wait()
    with pytest.raises(ChaosError, match=f"the process of the gates has ended .pid {process.pid}."):
        SystemDown(to_redis, ["cache"]).begin()


def test_gates_end_with_a_runner_that_is_killed(declare: Declare, redis_server: RedisServer) -> None:
    """Neither their process nor a port that listens is left."""
    topology = declare(cache={"type": "redis", "url": redis_server.url})
    program = (
        "import pathlib, time\n"
        "from holdfast.chaos.gates.gates import Gates\n"
        "from holdfast.topology import load\n"
        f"gates = Gates(load(pathlib.Path({str(topology.source.path)!r})), ['cache'])\n"
        "print(gates.ports('cache')[0], flush=True)\n"
        "time.sleep(60)\n"
    )
    runner = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE)
    assert runner.stdout is not None
    port = int(runner.stdout.readline())
    (process,) = psutil.Process(runner.pid).children()
    socket.create_connection(("127.0.0.1", port)).close()
    os.kill(runner.pid, signal.SIGKILL)
    runner.wait()
    runner.stdout.close()
    process.wait(10)
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port))
