"""Order to cash on real systems of its own: a payment gateway, PostgreSQL and Redis."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import psycopg
import yaml

from tests.support.gateway import gateway_process
from tests.support.postgres import PostgresServer
from tests.support.redis import RedisServer

ROOT = Path(__file__).parents[2]

OF_FAUST = "processors.invariants:live_spending_matches"
"""The check of the application's view that is made by Faust, which is left out."""


@dataclass(frozen=True)
class Shop:
    """The application, and what its processes need to know.

    Attributes:
        topology: its file.
        environment: variables that tell where the systems are; some hold passwords.
    """

    topology: Path
    environment: Mapping[str, str]


@contextlib.contextmanager
def shop(home: Path) -> Iterator[Shop]:
    """The application of `topology.downstream.yaml` without its Faust part, in a folder of its own.

    Its systems are empty, run while the block lasts, and are given up on soon: a run with faults is short.
    """
    home.mkdir(parents=True)
    for package in ("producers", "processors", "schemas"):
        (home / package).symlink_to(ROOT / package)
    with contextlib.ExitStack() as stack:
        gateway = stack.enter_context(gateway_process(home / "charges.jsonl", limit="1500.00"))
        postgres = stack.enter_context(contextlib.closing(PostgresServer()))
        postgres.start()
        redis = stack.enter_context(contextlib.closing(RedisServer()))
        redis.start()
        dsn = postgres.dsn(stack.enter_context(postgres.database()))
        with psycopg.connect(dsn) as connection:
            connection.execute((ROOT / "schemas" / "history.sql").read_bytes())
        declared = yaml.safe_load((ROOT / "topology.downstream.yaml").read_text())
        declared["sinks"]["gateway"] |= {"url": gateway.url, "call_timeout": "1s", "timeout": "4s"}
        declared["sinks"]["history"] |= {"dsn": "${HISTORY_DSN}", "timeout": "2s"}
        declared["sinks"]["counters"] |= {"url": redis.url, "timeout": "2s"}
        del declared["processors"]["live-spending"]
        declared["checks"].remove(OF_FAUST)
        file = home / "topology.yaml"
        file.write_text(yaml.safe_dump(declared, sort_keys=False))
        environment = {"GATEWAY_URL": gateway.url, "HISTORY_DSN": dsn, "DASHBOARD_URL": redis.url}
        yield Shop(file, environment)
