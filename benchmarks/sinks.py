"""How fast one worker writes to downstream systems, from Kafka to their answers and back to the commit.

    python -m benchmarks.sinks [--kinds insert,upsert,redis,kafka,http,ask,bare] [--events N] [--rounds N]

Each round publishes events of some 130 bytes on 10,000 keys to six partitions of three embedded brokers, and
then starts one worker. The rate is that of its committed positions, from the first that is seen to the
last: so it has the fetching, decoding, the handler, the system's answers and the commits on Kafka in it.
Brokers, the system, the worker and this program share the machine.

- insert, upsert: a row of six columns for each event, into a PostgreSQL of Debian's with its default settings
  (fsync and synchronous_commit on), exactly-once. What is in the table is counted afterwards.
- redis: a hash of four fields for each event, into a redis-server that appends to its file (appendfsync
  everysec, its default), exactly-once. The hashes and positions are looked at afterwards.
- kafka: a record for each event, into a second cluster of three brokers, exactly-once. What consumers of
  committed records see there is counted afterwards.
- http: a POST for each event, in the order of each key, to granian with an application that says 201.
- ask: the same from an async handler, whose answers are published, exactly-once.
- bare: as many POSTs by aiohttp alone, without Kafka: what http and ask could reach at most.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import socket
import statistics
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import aiohttp
from rich.console import Console
from rich.table import Table

from benchmarks import environments, report
from holdfast.kafka.admin import TopicAdmin
from holdfast.kafka.groups import GroupAdmin, partitions_of
from holdfast.kafka.scan import LogScanner
from holdfast.local.cluster import EmbeddedCluster
from holdfast.topology import TopicSpec
from tests.support.application import Application
from tests.support.events import Added, Taken
from tests.support.postgres import PostgresServer
from tests.support.redis import RedisServer

SHARDS = 6
KEYS = 10_000
TEXT = "x" * 90
LOOK_S = 0.1
CONCURRENT = 32
"""Calls at once: the default of a sink."""

BARS = {
    "insert": 30_000,
    "upsert": 30_000,
    "redis": 50_000,
    "kafka": 0,
    "http": 3_000,
    "ask": 3_000,
    "bare": 0,
}
EVENTS = {kind: 40_000 if kind in {"http", "ask", "bare"} else 600_000 for kind in BARS}

ROWS = """
from holdfast import Context, processor
from holdfast.sinks.postgres import {write}
from test_events import Added

@processor
def handle(event: Added, at: Context) -> {write}:
    return {write}("rows", {{"key": event.key, "n": event.n, "text": event.text, "shard": at.partition,
                             "at": at.offset, "counted": event.n % 7}})
"""
HASHES = """
from holdfast import Context, processor
from holdfast.sinks.redis import HashSet
from test_events import Added

@processor
def handle(event: Added, at: Context) -> HashSet:
    return HashSet(event.key, {"n": event.n, "text": event.text, "shard": at.partition, "at": at.offset})
"""
RECORDS = """
from holdfast import processor
from holdfast.sinks.kafka import KafkaRecord
from test_events import Added

@processor
def handle(event: Added) -> KafkaRecord:
    return KafkaRecord("mirrored", event.key, event)
"""
CALLS = """
from holdfast import processor
from holdfast.sinks.http import HttpCall
from test_events import Added

@processor
def handle(event: Added) -> HttpCall:
    return HttpCall("POST", "/adds", event)
"""
ASKS = """
from holdfast import processor
from holdfast.sinks.http import HttpClient
from test_events import Added, Taken

@processor
async def handle(event: Added, system: HttpClient) -> Taken:
    answer = await system.post("/adds", json=event)
    assert answer.is_success
    return Taken(key=event.key, n=event.n)
"""
TABLES = {
    "insert": "CREATE TABLE rows (key text, n int, text text, shard int, at bigint, counted int)",
    "upsert": "CREATE TABLE rows (key text PRIMARY KEY, n int, text text, shard int, at bigint, counted int)",
}

console = Console()
Make = Callable[..., Application]


def rate(app: Application, events: int) -> float:
    """Events per second of one worker, from its first commit to its last."""
    inputs = partitions_of([app.names.topic("adds")], SHARDS)
    began = first = 0.0
    # One client for all looks: to make one costs as much as a worker does in that time.
    with GroupAdmin(app.servers) as groups, app.run() as run:
        while True:
            run.let_run(LOOK_S)
            now, done = time.monotonic(), sum(at or 0 for at in groups.committed(app.group, inputs).values())
            if not began and done:
                began, first = now, done
            elif began and done == events:
                return (done - first) / (now - began)


@contextlib.contextmanager
def http_server() -> Iterator[str]:
    """The server, by its URL."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [
        *(str(environments.python("http_server")), "-m", "granian", "--interface", "asgi", "--no-ws"),
        *("--host", "127.0.0.1", "--port", str(port), "--log-level", "error"),
        "benchmarks.runners.http_answers:app",
    ]
    server = subprocess.Popen(command, cwd=environments.REPOSITORY)
    url = f"http://127.0.0.1:{port}"
    try:
        deadline = time.monotonic() + 30
        while True:
            with contextlib.suppress(urllib.error.URLError):
                urllib.request.urlopen(url, timeout=1).close()
                break
            if time.monotonic() > deadline:
                raise TimeoutError("the HTTP server does not answer")
            time.sleep(0.1)
        yield url
    finally:
        server.terminate()
        server.wait()


def to_postgres(kind: str, make: Make, events: int) -> float:
    """Rows per second."""
    server = PostgresServer(fsync=True)
    server.start()
    try:
        with server.database() as name, server.connect(name) as connection:
            connection.execute(TABLES[kind].encode())
            sink = {"type": "postgres", "dsn": server.dsn(name)}
            handler = ROWS.format(write=kind.capitalize())
            app = make(handler, sink, events, sink="system", outputs={})
            found = rate(app, events)
            counted = connection.execute(b"SELECT count(*), count(DISTINCT key) FROM rows").fetchone()
            assert counted == (events if kind == "insert" else KEYS, KEYS), counted
            return found
    finally:
        server.close()


def to_redis(_: str, make: Make, events: int) -> float:
    """Hashes per second."""
    server = RedisServer(appendfsync="everysec")
    server.start()
    try:
        app = make(HASHES, {"type": "redis", "url": server.url}, events, sink="system", outputs={})
        found = rate(app, events)
        with server.client() as client:
            positions = client.hgetall(f"holdfast:positions:{app.group}").values()
            assert sum(int(json.loads(each)["position"]) for each in positions) == events
            assert client.dbsize() == KEYS + 1
            assert int(client.hget("k0", "n")) == (events - 1) // KEYS * KEYS
        return found
    finally:
        server.close()


def to_kafka(_: str, make: Make, events: int) -> float:
    """Records per second."""
    with EmbeddedCluster.temporary() as there:
        servers = there.bootstrap_servers
        TopicAdmin(servers).create([TopicSpec("mirrored", SHARDS, 3, {})])
        sink = {"type": "kafka", "bootstrap_servers": servers}
        found = rate(make(RECORDS, sink, events, sink="system", outputs={}), events)
        seen = sum(1 for _ in LogScanner(servers).topic("mirrored"))
        assert seen == events, seen
        return found


def to_http(kind: str, make: Make, events: int) -> float:
    """Requests per second."""
    with http_server() as url:
        sink = {"type": "http", "url": url}
        if kind == "http":
            return rate(make(CALLS, sink, events, sink="system", outputs={}), events)
        app = make(ASKS, sink, events, asks=["system"], outputs={"taken": (Taken,)})
        found = rate(app, events)
        assert len(app.read("taken")) == events
        return found


def bare(_: str, __: Make, events: int) -> float:
    """Requests per second of aiohttp alone."""
    body = Added(key="k0", n=1, text=TEXT).model_dump_json().encode()

    async def post(url: str) -> float:
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=CONCURRENT)) as session:
            left = iter(range(events))

            async def go_on() -> None:
                for number in left:
                    headers = {"Idempotency-Key": str(number), "Content-Type": "application/json"}
                    async with session.post(f"{url}/adds", data=body, headers=headers) as answer:
                        await answer.read()

            began = time.monotonic()
            await asyncio.gather(*(go_on() for _ in range(CONCURRENT)))
            return events / (time.monotonic() - began)

    with http_server() as url:
        return asyncio.run(post(url))


MEASURES = {
    "insert": to_postgres,
    "upsert": to_postgres,
    "redis": to_redis,
    "kafka": to_kafka,
    "http": to_http,
    "ask": to_http,
    "bare": bare,
}


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description="Speed of sinks.")
    parser.add_argument("--kinds", default=",".join(BARS))
    parser.add_argument("--events", type=int, help="of each round; each kind has its own default")
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    rows: dict[str, list[float]] = {kind: [] for kind in arguments.kinds.split(",")}
    machine = report.machine()
    with EmbeddedCluster.temporary() as cluster, tempfile.TemporaryDirectory() as folder:
        for number in range(arguments.rounds):
            for kind, found in rows.items():

                def make(handler: str, system: object, events: int, **options: object) -> Application:
                    name = f"sinks-{kind}-{number}"  # noqa: B023 - used at once
                    settings = {"commit_interval": "100ms", "session_timeout": "6s", "tables": {}, **options}
                    app = Application(
                        Path(folder) / name,
                        cluster.bootstrap_servers,
                        name,
                        handler=handler,
                        topic={"partitions": SHARDS},
                        sinks={"system": system},
                        **settings,
                    )
                    app.provision()
                    app.publish(*(Added(key=f"k{n % KEYS}", n=n, text=TEXT) for n in range(events)))
                    return app

                events = arguments.events or EVENTS[kind]
                found.append(MEASURES[kind](kind, make, events))
                console.print(f"{kind} {number + 1}: {found[-1]:,.0f}/s")
    table = Table(title=f"one worker; {machine['machine']}, {machine['date']}")
    for column in ("sink", "rounds", "median/s", "least", "most", "bar"):
        table.add_column(column, justify="left" if column == "sink" else "right")
    for kind, found in rows.items():
        figures = (statistics.median(found), min(found), max(found), BARS[kind])
        table.add_row(kind, str(len(found)), *(f"{figure:,.0f}" for figure in figures))
    console.print(table)


if __name__ == "__main__":
    main()
